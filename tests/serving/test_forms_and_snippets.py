"""A form whose answer follows its values, and code of other clients, beside a real endpoint."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fitted_models import save_fitted
from hypothesis import given
from hypothesis import strategies as st
from model_folders import Case, Endpoint
from sklearn.linear_model import LinearRegression, LogisticRegression

from mlops_workbench.client.examples import endpoint_example
from mlops_workbench.client.what_if import RowAsker
from mlops_workbench.commands.snippets import snippets_of
from mlops_workbench.core import endpoints
from mlops_workbench.core.model_schema import SCHEMA_FILE, InputSpec, decode_schema
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.widgets.endpoint_form import EndpointForm
from mlops_workbench.widgets.form_fields import field_of

CLIENTS = Path(__file__).parents[2] / "build" / "environments" / "clients" / "venv" / "bin" / "python"
Cases = Callable[[str], Case]
Serve = Callable[..., Endpoint]


def served(endpoint: Endpoint) -> endpoints.Endpoint:
    return endpoints.Endpoint("eta", "eta@champion", 1, 1, 0, "ready", endpoint.url, 1, 0, runtime="sklearn")


def shown(value: Any) -> str:
    """What a client prints of an answer, without the last digits of a number."""
    return str(value) if isinstance(value, str | np.integer) else f"{value:.4f}"[:-1].rstrip("0")


@pytest.mark.parametrize("name", ["linear", "boosted", "mixed", "text labels", "int labels"])
def test_code_for_clients_gets_the_answer_of_the_model(cases: Cases, serve: Serve, name: str) -> None:
    case = cases(name)
    endpoint = serve(case.folder)
    expected = shown(case.estimator.predict(case.rows[:1])[0])
    made = snippets_of("eta", endpoint.url, endpoint_example(served(endpoint)), has_token=False)
    for client in ("httpx", "mlflow"):
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(made[client], {})
        assert expected in output.getvalue(), client
    done = subprocess.run(["bash", "-c", made["curl"]], capture_output=True, text=True, timeout=60, check=True)
    assert expected in str(json.loads(done.stdout)["predictions"])


@pytest.mark.process
@pytest.mark.long
@pytest.mark.parametrize("client", ["triton", "kserve"])
@pytest.mark.parametrize("name", ["linear", "boosted", "mixed", "text labels", "int labels"])
def test_code_for_clients_of_others_gets_the_answer_of_the_model(
    cases: Cases, serve: Serve, name: str, client: str
) -> None:
    if not CLIENTS.exists():
        pytest.skip("'.ci/environments clients' makes the environment with the clients")
    case = cases(name)
    endpoint = serve(case.folder)
    made = snippets_of("eta", endpoint.url, endpoint_example(served(endpoint)), has_token=False)
    done = subprocess.run([str(CLIENTS), "-c", made[client]], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert shown(case.estimator.predict(case.rows[:1])[0]) in done.stdout


def test_no_text_of_an_example_is_code() -> None:
    from mlops_workbench.client.examples import Example

    nasty = """'; touch owned; echo ' "$(touch owned)" \\ {x} \n"""
    split = {"dataframe_split": {"columns": [nasty], "data": [[nasty]]}}
    tensors = [{"name": nasty, "datatype": "BYTES", "shape": [1], "data": [nasty]}]
    made = snippets_of("eta", "http://127.0.0.1:9", Example(split, tensors), has_token=True)
    for client in ("python", "httpx", "mlflow", "kserve", "triton"):
        compile(made[client], client, "exec")
    words = ["bash", "-c", made["curl"].replace("curl", "printf '%s\\n'", 1)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True, env={**os.environ})
    assert json.loads(done.stdout.rsplit("-d\n", 1)[1]) == split


class Publisher:
    """Keeps what a notebook would show."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, Any]] = []

    def publish(self, data: dict[str, Any], *_: object, **__: object) -> None:
        self.outputs.append(data)


def test_the_answer_of_a_form_follows_its_values(serve: Serve, tmp_path: Path) -> None:
    pytest.importorskip("ipywidgets")
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=200), "n": rng.integers(0, 9, 200), "day": pd.Timestamp("2026-01-01")})
    y = np.where(X["a"] + X["n"] > 4, "<b>big</b>", "small")
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline

    numbers = make_column_transformer(("passthrough", ["a", "n"]))
    model = make_pipeline(numbers, LogisticRegression()).fit(X, y)
    save_fitted(Workspace.init(tmp_path / "home"), tmp_path / "m", model, X, y)
    endpoint = serve(tmp_path / "m")
    schema = decode_schema((tmp_path / "m" / SCHEMA_FILE).read_bytes())
    publisher = Publisher()
    row = {"a": -1.5, "n": 1, "day": "2026-01-01T00:00:00"}
    form = EndpointForm(RowAsker(served(endpoint), schema), row, publisher)
    form._ipython_display_()
    for name, value in (("a", 2.5), ("n", 8), ("a", -99.0), ("day", datetime(2026, 5, 1))):
        form.controls[name].value = value
        row[name] = value
        asked = pd.DataFrame([row]).astype({"day": "datetime64[ns]"})
        assert form.answer is not None
        assert form.answer.outputs["predict"] == model.predict(asked).tolist()
        np.testing.assert_allclose(form.answer.outputs["predict_proba"], model.predict_proba(asked)[0])
    last = publisher.outputs[-1]
    assert "<b>big" not in last["text/html"]
    assert "-99.0" in last["text/plain"] and "version" in last["text/plain"] and "sklearn" in last["text/plain"]
    # What the endpoint refuses is said, and the next value is answered again.
    form.set("n", None)
    assert form.answer is None
    assert "column 'n'" in publisher.outputs[-1]["text/plain"]
    form.set("n", 3)
    assert form.answer is not None


def form_of_a_number(serve: Serve, folder: Path, values: Any, example: float) -> tuple[EndpointForm, Any, Any]:
    """The form of a model of one number, with the field and the slider."""
    X = pd.DataFrame({"x": values})
    save_fitted(Workspace.init(folder / "home"), folder / "m", LinearRegression().fit(X, X["x"]), X, X["x"])
    schema = decode_schema((folder / "m" / SCHEMA_FILE).read_bytes())
    form = EndpointForm(RowAsker(served(serve(folder / "m")), schema), {"x": example}, Publisher())
    field, slider = form._box(form._fields[0]).children[:2]
    return form, field, slider


def test_a_slider_that_a_browser_moves_to_its_next_step_leaves_the_example_as_it_is(
    serve: Serve, tmp_path: Path
) -> None:
    form, field, slider = form_of_a_number(serve, tmp_path, np.linspace(1.36, 3.23, 200), 2.4337)
    assert slider.step == 0.01
    slider.value = 1.36 + 107 * 0.01
    assert form.row["x"] == field.value == 2.4337
    slider.value = 1.36 + 114 * 0.01
    assert form.row["x"] == field.value == 2.5


def test_a_slider_has_the_ends_of_the_range_and_values_of_few_digits(serve: Serve, tmp_path: Path) -> None:
    form, field, slider = form_of_a_number(serve, tmp_path, np.linspace(0.123456, 250.5, 200), 100.0)
    assert slider.step == 2
    for moved, value in ((slider.min, 0.123456), (slider.min + 6, 6.1), (slider.max, 250.5)):
        slider.value = moved
        assert form.row["x"] == field.value == value


@given(st.floats(1e-300, 1e307), st.floats(-1e3, 1e3))
def test_the_step_of_a_slider_has_one_digit(width: float, low: float) -> None:
    made = field_of(InputSpec("x", "double", "float64", low=low, high=low + width), None)
    if made.step is not None:
        assert made.step > 0 and f"{made.step:e}"[:2] in ("1.", "2.", "5.")
        assert 90 < (low + width - low) / made.step < 260


NUMBERS = st.none() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=True, allow_infinity=True)


@given(
    st.sampled_from(["boolean", "integer", "long", "float", "double", "string", "datetime"]),
    st.booleans(),
    st.none() | st.booleans(),
    NUMBERS,
    NUMBERS,
    st.lists(st.text(max_size=5), max_size=4, unique=True),
    NUMBERS | st.text(max_size=5) | st.booleans(),
)
def test_every_input_has_a_field_with_a_value_that_it_can_have(
    kind: Any, required: bool, nullable: bool | None, low: Any, high: Any, values: list[str], example: Any
) -> None:
    spec = InputSpec("x", kind, kind, required, nullable, low=low, high=high, values=values)
    made = field_of(spec, example)
    if made.value is None:
        assert made.missing
    elif made.kind in ("integer", "number"):
        assert isinstance(made.value, int if made.kind == "integer" else float)
        assert made.value == made.value
    elif made.kind == "choice":
        assert made.value in made.choices
    if made.low is not None:
        assert made.high is not None and made.step is not None
        assert made.low < made.high and made.step > 0

"""NaN, infinities and huge integers are shown as what they are, and not as missing, wherever a user looks."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time

import httpx
import nbformat
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from mlops_workbench import runs
from mlops_workbench.capture.session.session import Session
from mlops_workbench.client.bodies import PromoteRequest, RegisterRequest
from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import token_file
from mlops_workbench.commands.runs.comparison import compare_view
from mlops_workbench.commands.runs.page import run_view
from mlops_workbench.commands.runs.table import runs_view
from mlops_workbench.core.errors import GateFailed
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process

HUGE = 10**400
VALUES = {"loss": math.nan, "far": math.inf, "low": -math.inf, "huge": HUGE, "mae": 1.5}
WORDS = {"loss": "NaN", "far": "Infinity", "low": "-Infinity", "huge": str(HUGE), "mae": 1.5}
SHOWN = {"loss": "NaN", "far": "∞", "low": "−∞", "huge": "1e400", "mae": "1.5"}


@pytest.fixture
def logged(session: Session, running: Client) -> Client:
    """A run with the values, as steps too, a run without them, and a run with better ones."""
    for name, values in (("none", {}), ("odd", VALUES), ("good", {"loss": 0.5, "far": 2.0}), ("fair", {"loss": 0.7})):
        run = session.start_run(name, experiment="e")
        run.log_params({"rate": math.inf, "list": [1.0, math.nan]})
        for step in range(3):
            run.log({key: value for key, value in values.items()}, step=step)
        run.end()
    return running


def own(metrics: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in metrics.items() if not name.startswith("system/")}


def mlops(workspace: Workspace, *words: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "mlops_workbench.cli", *words], cwd=workspace.root, capture_output=True, text=True,
        check=True, timeout=120,
    ).stdout  # fmt: skip


def test_the_api_and_json_tell_them_from_missing_values(logged: Client, workspace: Workspace) -> None:
    odd = logged.run("odd").run
    assert own(odd.metrics) == WORDS
    assert [point.value for point in logged.history("odd", "low")] == ["-Infinity"] * 3
    headers = {"Authorization": f"Bearer {token_file(workspace).read_text()}"}
    with httpx.Client(base_url=logged.url, headers=headers, trust_env=False) as http:
        answer = http.get("/api/runs", params={"name": "odd"})
    assert json.loads(answer.content, parse_constant=pytest.fail)[0]["metrics"].items() >= WORDS.items()
    listed = {run["name"]: own(run["metrics"]) for run in json.loads(mlops(workspace, "runs", "-e", "e", "--json"))}
    assert listed == {"none": {}, "odd": WORDS, "good": {"loss": 0.5, "far": 2.0}, "fair": {"loss": 0.7}}
    assert json.loads(mlops(workspace, "show", "odd", "--json"))["history"]["far"][2]["value"] == "Infinity"
    assert odd.params["list"] == '[1.0, "NaN"]'


def test_lists_pages_and_comparisons_show_them(logged: Client, workspace: Workspace) -> None:
    found = logged.runs("e")
    for view in (runs_view(found, "runs"), compare_view(found), run_view(logged.run("odd"))):
        text = view.text(width=400)
        assert all(word in text for word in SHOWN.values()), text
        assert all(word in view.html() for word in SHOWN.values())
    table = compare_view(found)
    for plot in table.plots:
        json.dumps(plot.make().to_plotly_json(), allow_nan=False, default=list)
    assert "loss 0.5 by good" in " ".join(table.notes)


def test_what_is_not_a_number_comes_last_and_infinities_at_the_ends(logged: Client) -> None:
    order = [run.name for run in logged.runs("e", order_by="metrics.loss", descending=False)]
    assert order[:2] == ["good", "fair"]
    assert [run.name for run in logged.runs("e", order_by="metrics.loss")][:2] == ["fair", "good"]
    assert [run.name for run in logged.runs("e", order_by="metrics.far")][:2] == ["odd", "good"]
    assert [run.name for run in logged.runs("e", order_by="metrics.far", descending=False)][:2] == ["good", "odd"]


def test_a_frame_has_them_as_floats(logged: Client, workspace: Workspace) -> None:
    frame = runs(experiment="e").set_index("run_name")
    assert frame.dtypes["metrics.huge"] == "float64"
    odd = frame.loc["odd"]
    assert math.isnan(odd["metrics.loss"])
    assert (odd["metrics.far"], odd["metrics.low"], odd["metrics.huge"]) == (math.inf, -math.inf, math.inf)


def test_a_version_keeps_them_and_a_gate_says_what_it_met(session: Session, running: Client) -> None:
    X = pd.DataFrame({"a": [1.0, 2.0, 3.0]})
    run = session.start_run("fitted", experiment="e")
    run.log(VALUES)
    run.log_model(LinearRegression().fit(X, [1.0, 2.0, 3.0]), X=X)
    run.end()
    version = running.register("m", RegisterRequest("fitted"))
    assert {name: version.metrics[name] for name in WORDS} == WORDS
    assert running.versions("m")[0].metrics["huge"] == str(HUGE)
    with pytest.raises(GateFailed, match="'loss' of the candidate is not a finite number, but NaN"):
        running.promote("m", 1, PromoteRequest(gate=["loss < 1"]))
    with pytest.raises(GateFailed, match="but ∞"):
        running.promote("m", 1, PromoteRequest(gate=["far < 1"]))


def test_a_pipeline_gets_them_as_its_parameters(running: Client, workspace: Workspace) -> None:
    (specs := workspace.pipeline_specs).mkdir(parents=True, exist_ok=True)
    parameters = nbformat.v4.new_code_cell("rate: float = 0.5\ncount: int = 1\nstart: float = float('inf')")
    parameters.metadata.tags = ["parameters"]
    check = nbformat.v4.new_code_cell(
        "import math\nassert math.isnan(rate) and start == -math.inf and count == 10**400"
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[parameters, check]), specs / "train.ipynb")
    (specs / "odd.yaml").write_text(
        "version: 1\nparams:\n  rate: 0.5\n  count: 1\n  start: .inf\n"
        "stages:\n  train:\n    notebook: train.ipynb\n"
        "    params: [rate, count, start]\n"
    )
    [pipeline] = running.pipelines()
    assert not pipeline.problem
    assert {param.name: param.default for param in pipeline.params}["start"] == "inf"
    shown = mlops(workspace, "pipeline", "run", "odd", "-p", "rate=.nan", "-p", f"count={HUGE}", "-p", "start=-.inf")
    assert "succeeded" in shown
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (found := running.pipeline_runs()):
        time.sleep(0.1)
    assert found[0].params == {"rate": "nan", "count": str(HUGE), "start": "-inf"}

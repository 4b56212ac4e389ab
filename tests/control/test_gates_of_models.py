"""Gates of the settings: answers, latency and size are checked, shown, recorded, and overridden only with a reason."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from fitted_models import StoringRecorder
from nbclient import NotebookClient
from recorder import Recorder
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from mlops_workbench.capture.run.models import save_model
from mlops_workbench.client.bodies import PromoteRequest, RegisterRequest
from mlops_workbench.client.client import Client
from mlops_workbench.commands.models import version_view
from mlops_workbench.core.errors import GateFailed, SettingsError
from mlops_workbench.core.model_gates import ModelGate, gate_of
from mlops_workbench.core.models import ProvenRuntime
from mlops_workbench.core.workspace import FILE, Workspace
from mlops_workbench.data.reference import sample_fit_data
from mlops_workbench.registry.cards.sections import card_sections


@pytest.fixture(autouse=True)
def _spare_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gates ask copies of it, as they do for users."""
    monkeypatch.delenv("MLOPS_SERVING_SPARE_PROCESS")


def registered(workspace: Workspace, name: str) -> None:
    """A run `name` with a model of two columns, in the journal."""
    X = pd.DataFrame({"a": np.linspace(-1, 1, 50), "b": np.linspace(3, 1, 50)})
    session = Recorder(workspace)
    uid = session.start(name)
    saving = StoringRecorder(workspace)
    saving.write = lambda record, sync=False: session.put(record)  # type: ignore[method-assign]
    model = LinearRegression().fit(X, X.a)
    assert save_model(saving, uid, model, "model", sample_fit_data(X, X.a))  # type: ignore[arg-type]
    session.end(uid)


def ask(workspace: Workspace, text: str) -> None:
    (workspace.root / FILE).write_text(text)


@pytest.mark.long
@pytest.mark.process
def test_a_champion_has_shown_what_the_settings_ask_for(tmp_path: Path, stopped: Callable[[Workspace], None]) -> None:
    workspace = Workspace.init(tmp_path)
    registered(workspace, "first")
    registered(workspace, "second")
    stopped(workspace)
    ask(workspace, '[gates.models."m*"]\ngolden = true\nlatency_ms = 20000\nsize_mb = 5\n')
    with Client.connect(workspace) as client:
        version = client.register("m", RegisterRequest("first", alias="champion"))
        assert version.gate is not None and version.gate.passed
        checks = {check.kind: check for check in version.gate.checks}
        assert list(checks) == ["size", "golden", "latency"]
        assert checks["golden"].detail == (
            "rows with its own answers: 50 training, 4 boundary, 50 perturbed; sklearn-compiled answers"
        )
        assert re.fullmatch(r"p95 \S+ ms, p50 \S+ ms in \d+ requests of one row", checks["latency"].detail)
        shown = version_view(version, "registered", "mlops")
        assert any(section.title == "gate" and len(section.rows) == 3 for section in shown.sections)

        # Changed while it runs; any other alias is not asked for it.
        ask(workspace, "[gates.models.m]\nsize_mb = 0.0001\ngolden = true\n")
        second = client.register("m", RegisterRequest("second", alias="challenger"))
        assert second.version == 2 and second.gate is None
        with pytest.raises(GateFailed, match=r"size <= 0.0001 MB \([\d.]+ MB\)") as failed:
            client.promote("m", 2, PromoteRequest())
        assert "mlops promote m/2 --override REASON" in failed.value.hint
        assert client.models()[0].aliases["champion"] == 1

        promoted = client.promote("m", 2, PromoteRequest(override="the size is of no matter here"))
        assert promoted.aliases == ["challenger", "champion"]
        assert promoted.gate is not None and not promoted.gate.passed
        assert promoted.gate.override == "the size is of no matter here"
        entries = [(e.action, e.outcome, e.reason) for e in client.audit("m") if e.subject.version == 2]
    assert [action for action, *_ in entries] == ["model.promote", "model.refuse", "model.promote", "model.register"]
    assert "the size is of no matter here" in entries[0][2] and entries[1][1] == "refused"


def registered_table(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run ``table`` with an own model that reads a file when it answers; returns the file."""
    root = workspace.root
    (root / "own_table.py").write_text(
        "import pathlib\nfrom sklearn.base import BaseEstimator, RegressorMixin\n"
        "class Table(RegressorMixin, BaseEstimator):\n"
        "    def fit(self, X, y=None):\n        self.fitted_ = True\n        return self\n"
        "    def predict(self, X):\n"
        "        return X['a'].to_numpy() * float(pathlib.Path('factor.txt').read_text())\n"
    )
    (root / "factor.txt").write_text("2")
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.chdir(root)
    from own_table import Table  # type: ignore[import-not-found]

    X = pd.DataFrame({"a": np.linspace(1, 2, 30)})
    session = Recorder(workspace)
    uid = session.start("table")
    saving = StoringRecorder(workspace)
    saving.write = lambda record, sync=False: session.put(record)  # type: ignore[method-assign]
    assert save_model(saving, uid, Table().fit(X), "model", sample_fit_data(X, X.a))  # type: ignore[arg-type]
    session.end(uid)
    return root / "factor.txt"


@pytest.mark.long
@pytest.mark.process
def test_answers_that_are_not_the_models_own_keep_a_version_from_the_champion(
    tmp_path: Path, stopped: Callable[[Workspace], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table that its transformer reads has changed since it was fitted."""
    workspace = Workspace.init(tmp_path)
    stopped(workspace)
    factor = registered_table(workspace, monkeypatch)
    ask(workspace, '[serving]\ntrusted_types = ["own_table.Table"]\n[gates.models.m]\ngolden = true\n')
    with Client.connect(workspace) as client:
        assert client.register("m", RegisterRequest("table", alias="champion")).gate.passed
        factor.write_text("3")
        with pytest.raises(GateFailed, match=r"own answers to the training rows .* predict is 3\.0 and not 2\.0"):
            client.promote("m", 1, PromoteRequest())


@pytest.mark.process
def test_a_version_is_proven_when_it_is_registered(
    tmp_path: Path, stopped: Callable[[Workspace], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLOPS_GATES_PROVE_ON_REGISTER")
    workspace = Workspace.init(tmp_path)
    stopped(workspace)
    registered(workspace, "line")
    factor = registered_table(workspace, monkeypatch)
    ask(workspace, "[gates.models.line]\ngolden = true\n")
    with Client.connect(workspace) as client:
        version = client.register("line", RegisterRequest("line", alias="champion"))
        assert version.runtime == ProvenRuntime("sklearn-compiled", "", 104)
        assert version.gate is not None and "sklearn-compiled answers" in version.gate.checks[0].detail
        shown = "sklearn-compiled, proven on 104 rows"
        assert ("answered by", shown) in version_view(version, "registered", "mlops").facts
        assert client.versions("line")[0].runtime == version.runtime
        assert ("answered by", shown) in card_sections(client.card("line", 1))[0].facts

        # Types that are not trusted would only be refused again.
        untrusted = client.register("table", RegisterRequest("table"))
        assert untrusted.untrusted == ["own_table.Table"] and untrusted.runtime is None and not untrusted.notice
        ask(workspace, '[serving]\ntrusted_types = ["own_table.Table"]\n')
        factor.write_text("3")
        refused = client.register("table", RegisterRequest("table"))
        assert (refused.version, refused.runtime) == (1, None)
        assert re.match(r"endpoints would refuse it: .* own answers to the training rows", refused.notice)
        factor.write_text("2")
        proven = client.register("table", RegisterRequest("table"))
        assert proven.runtime is not None and not proven.notice
        assert proven.runtime.name == "sklearn" and proven.runtime.uncompiled and proven.runtime.rows == 62
        # It is known, and endpoints find out anew.
        factor.write_text("3")
        assert client.register("table", RegisterRequest("table")).runtime == proven.runtime
        assert client.versions("table")[0].runtime == proven.runtime


def delays(rows: int, seed: int) -> pd.DataFrame:
    chance = np.random.default_rng(seed)
    return pd.DataFrame({"a": chance.normal(size=rows), "carrier": chance.choice(["AA", "UA", "WN"], rows)})


def with_test_rows(workspace: Workspace, name: str, worse: float, where: str = "") -> None:
    """A run with a model that was tested on rows of its own; it is `worse` in its predictions, for one carrier."""
    train, test = delays(400, 0), delays(900, 1)
    encode = make_column_transformer((OneHotEncoder(), ["carrier"]), remainder="passthrough")
    target = [frame.a * 10 + np.random.default_rng(2).normal(size=len(frame)) for frame in (train, test)]
    spoiled = target[0] + worse * (train.carrier == where if where else 1)
    model = make_pipeline(encode, LinearRegression()).fit(train, spoiled)
    session = Recorder(workspace)
    uid = session.start(name)
    saving = StoringRecorder(workspace)
    saving.write = lambda record, sync=False: session.put(record)  # type: ignore[method-assign]
    data = replace(sample_fit_data(train, spoiled), test=sample_fit_data(test, target[1]))
    assert save_model(saving, uid, model, "model", data)  # type: ignore[arg-type]
    session.end(uid)


@pytest.mark.process
def test_a_version_must_not_be_worse_than_the_champion_on_the_same_rows(
    tmp_path: Path, stopped: Callable[[Workspace], None]
) -> None:
    workspace = Workspace.init(tmp_path)
    stopped(workspace)
    for name, worse, where in (("first", 0.5, ""), ("better", 0, ""), ("worse", 1.0, ""), ("hurts", 1.0, "WN")):
        with_test_rows(workspace, name, worse, where)
    registered(workspace, "untested")
    ask(
        workspace,
        '[gates.models.m.champion]\nmetric = "mae"\nmargin = 0.2\nslices = ["carrier"]\nslice_margin = 0.2\n',
    )
    with Client.connect(workspace) as client:
        first = client.register("m", RegisterRequest("first", alias="champion"))
        assert first.gate.passed and "no other champion" in first.gate.checks[0].detail

        better = client.register("m", RegisterRequest("better", alias="champion"))
        assert better.gate.passed
        whole, slices = better.gate.checks
        assert whole.condition == "mae not worse than the champion's by more than 0.2"
        assert "of version 1 in 900 rows: better by" in whole.detail and "paired bootstrap" in whole.detail
        assert slices.condition == "mae in no slice of 'carrier' worse by more than 0.2"

        with pytest.raises(GateFailed, match=r"not worse than the champion's .* of version 2 in 900 rows: worse by"):
            client.register("m", RegisterRequest("worse", alias="champion"))
        # Within the margin as a whole, but not for one carrier.
        with pytest.raises(GateFailed, match=r"in no slice of 'carrier' .*WN: .* worse by") as failed:
            client.register("m", RegisterRequest("hurts", alias="champion"))
        assert "champion's by more than 0.2 (" not in failed.value.message
        with pytest.raises(GateFailed, match=r"no predictions were compared with true values.*X_test"):
            client.register("m", RegisterRequest("untested", alias="champion"))
        assert client.models()[0].aliases["champion"] == 2


def test_all_gates_whose_pattern_matches_count_and_the_tightest_limit_holds() -> None:
    gates = {
        "flight-*": ModelGate(conditions=["mae < 9"], latency_ms=20),
        "*": ModelGate(conditions=["mae < 9", "r2 > 0"], golden=True, latency_ms=50, size_mb=7),
        "other": ModelGate(size_mb=1),
    }
    both = ModelGate(conditions=["mae < 9", "r2 > 0"], golden=True, latency_ms=20, size_mb=7)
    assert gate_of(gates, "flight-delays") == both
    assert gate_of({}, "x") == ModelGate()


def test_a_gate_that_is_not_valid_is_named(tmp_path: Path) -> None:
    for text, message in (
        ("[gates.models.m]\nsiez_mb = 5\n", "siez_mb"),
        ("[gates.models.m]\nlatency_ms = -1\n", "latency_ms"),
        ("[gates.models.m]\nlatency_ms = inf\n", "latency_ms"),
        ("[gates.models.m]\nconditions = ['mae <']\n", "mae <"),
        ("[gates]\nmodels = 5\n", "models"),
    ):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(SettingsError, match=message):
            Workspace.open(tmp_path)


@pytest.mark.process
def test_training_data_is_checked_by_that_of_the_champion(tmp_path: Path, stopped: Callable[[Workspace], None]) -> None:
    workspace = Workspace.init(tmp_path)
    stopped(workspace)
    ask(workspace, "[gates.models.m]\ndata = true\n")

    def trained(name: str, rows: int, **changed: object) -> None:
        X = delays(rows, 3).assign(**changed)
        encode = make_column_transformer((OneHotEncoder(), ["carrier"]), remainder="passthrough")
        session = Recorder(workspace)
        uid = session.start(name)
        saving = StoringRecorder(workspace)
        saving.write = lambda record, sync=False: session.put(record)  # type: ignore[method-assign]
        model = make_pipeline(encode, LinearRegression()).fit(X, X.a)
        assert save_model(saving, uid, model, "model", sample_fit_data(X, X.a))  # type: ignore[arg-type]
        session.end(uid)

    trained("first", 500)
    trained("alike", 600)
    trained("other", 500, carrier="ZZ")
    with Client.connect(workspace) as client:
        assert client.register("m", RegisterRequest("first", alias="champion")).gate.passed
        alike = client.register("m", RegisterRequest("alike", alias="champion"))
        assert [check.detail for check in alike.gate.checks] == ["2 columns in 600 rows, as in version 1"]
        with pytest.raises(GateFailed, match=r"'carrier': one of .*AA.*not so in 500 rows, such as ZZ"):
            client.register("m", RegisterRequest("other", alias="champion"))


@pytest.mark.process
def test_the_tests_in_a_notebook_are_run_for_a_version(tmp_path: Path, stopped: Callable[[Workspace], None]) -> None:
    """A real kernel runs the notebook; the tests have the model, and the rows that it was tested on."""
    workspace = Workspace.init(tmp_path)
    stopped(workspace)
    ask(workspace, "[gates.models.m]\ntests = true\n")
    train = (
        "%load_ext mlops_workbench",
        "import numpy as np, pandas as pd\nfrom sklearn.linear_model import LinearRegression\n"
        "from sklearn.metrics import mean_absolute_error\n"
        "X = pd.DataFrame({'distance': np.arange(100.0), 'noise': np.arange(100) % 7})\ny = X.distance * 3 + 1",
        "%%track first\nmodel = LinearRegression().fit(X[:80], y[:80])\n"
        "mae = mean_absolute_error(y[80:], model.predict(X[80:]))",
        "def test_farther_takes_longer(model, X):\n"
        "    assert (model.predict(X.assign(distance=X.distance + 1)) > model.predict(X)).all()\n"
        "def test_nothing_is_far_off(model, X, y):\n    assert abs(model.predict(X) - y).max() < 1\n",
        "%mlops register first --as m --alias champion",
        "def test_of_another_cell(model):\n    assert False",
    )
    shown = run_notebook(tmp_path / "train.ipynb", train, {3: "model-test"})
    assert "model test test_farther_takes_longer" in shown[4] and "registered m/1" in shown[4]
    with Client.connect(workspace) as client:
        (version,) = client.versions("m")
        assert version.aliases == ["champion"]
        assert [(check.condition, check.passed) for check in version.gate.checks] == [
            ("model test test_farther_takes_longer", True), ("model test test_nothing_is_far_off", True),
        ]  # fmt: skip

    wrong = [*train[:3], train[3].replace("distance + 1", "distance - 1"), train[4]]
    shown = run_notebook(tmp_path / "again.ipynb", wrong, {3: "model-test"})
    assert "did not pass its gate: model test test_farther_takes_longer" in shown[4]
    assert "line 2: assert (model.predict(X.assign(distance=X.distance - 1))" in " ".join(shown[4].split())


def run_notebook(path: Path, cells: Sequence[str], tags: dict[int, str]) -> list[str]:
    """Run a saved notebook in a kernel that knows its path, as Jupyter Server starts one; the texts that it showed."""
    document = nbformat.v4.new_notebook()
    document.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    for place, tag in tags.items():
        document.cells[place].metadata["tags"] = [tag]
    nbformat.write(document, path)
    client = NotebookClient(
        document, timeout=120, allow_errors=True, resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute(env={**os.environ, "JPY_SESSION_NAME": str(path)})
    return [
        "".join(
            output.get("text") or output.get("data", {}).get("text/plain") or "\n".join(output.get("traceback", []))
            for output in cell.outputs
        )
        for cell in document.cells
    ]

"""What the cells of a stage's kernel do is recorded into the run of the stage, as a tracked cell records it."""

from __future__ import annotations

import json

import pytest
from kernels import Kernel

from mlops_workbench.core.gates import evaluate
from mlops_workbench.core.records import Artifact, Dataset, Metrics, Params, RunStart, Tags
from mlops_workbench.core.stage_io import write_stage_io
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process

STAGE = "ab" * 16
DATA = """
import numpy as np
from sklearn.linear_model import Lasso, Ridge
from sklearn.metrics import mean_absolute_error
X = np.random.default_rng(0).normal(size=(60, 3))
y = X.sum(axis=1)
"""


@pytest.fixture
def stage(tmp_path, request):
    """The kernel of a stage whose process recorded the parameters `alpha` and `seed`; the mark adds variables."""
    root = Workspace.init(tmp_path / "space").root
    write_stage_io(tmp_path / "stage.json", params={"alpha": 0.5, "seed": 7})
    more = getattr(request, "param", {})
    kernel = Kernel(
        root, MLOPS_RUN_UID=STAGE, MLOPS_EXPERIMENT="shop", MLOPS_STAGE=str(tmp_path / "stage.json"), **more
    )
    yield kernel
    kernel.close()


def of_stage(kernel, kind):
    return [record for record in kernel.records.of(kind) if record.run_uid == STAGE]


def values(kernel, kind):
    return {name: value for record in of_stage(kernel, kind) for name, value in record.values.items()}


def test_a_gate_finds_the_metric_that_a_cell_assigned(stage):
    stage.run(DATA)
    stage.run("model = Ridge().fit(X, y)\nmae = mean_absolute_error(y, model.predict(X))")
    assert evaluate(["mae < 1000"], values(stage, Metrics), at_ms=1).passed
    assert not evaluate(["mae < 0"], values(stage, Metrics), at_ms=1).passed
    assert [record.run_uid for record in stage.records.of(RunStart)] == []


def test_of_a_metric_the_last_cell_counts_and_its_history_is_kept(stage):
    stage.run(DATA)
    stage.run("mae = mean_absolute_error(y, y + 3)")
    stage.run("mae = mean_absolute_error(y, y + 2)")
    stage.run("losses = [mean_absolute_error(y, y + i) for i in (5, 4)]")
    stage.run(
        "mae = mean_absolute_error(y, y + 1)\nlosses = []\n"
        "for i in (3, 2):\n    losses.append(mean_absolute_error(y, y + i))"
    )
    points = [
        (record.step, name, round(value, 6))
        for record in of_stage(stage, Metrics)
        for name, value in record.values.items()
    ]
    assert [point for point in points if point[1] == "mae"] == [(0, "mae", 3), (1, "mae", 2), (2, "mae", 1)]
    steps = [point[0] for point in points if point[1] == "losses"]
    assert steps == sorted(set(steps)) and points[-1][1:] == ("losses", 2)


@pytest.mark.long
def test_a_logged_metric_is_not_replaced_by_an_observed_one(stage):
    stage.run(DATA + "from mlops_workbench import log\nlog(mae=0.25)")
    stage.run("mae = mean_absolute_error(y, y + 2)")
    assert values(stage, Metrics)["mae"] == 0.25
    stage.run("rmse = mean_absolute_error(y, y + 2)")
    stage.run("log(rmse=9.0)")
    last = max((r.step, r.values["rmse"]) for r in of_stage(stage, Metrics) if "rmse" in r.values)
    assert last == (1, 9.0)


def test_literals_are_parameters_but_not_the_injected_ones_again(stage):
    stage.run("alpha = 0.1  # the default\nseed = 7\ndepth = 3")
    stage.run("# Parameters\nalpha = 0.5\nseed = 7")
    assert values(stage, Params) == {"depth": 3}
    stage.run("depth = 4")
    # The notebook itself changes an injected parameter.
    stage.run("seed = 8")
    assert values(stage, Params) == {"depth": 4, "seed": 8}


def test_models_of_several_cells_keep_their_settings_apart(stage):
    stage.run(DATA)
    stage.run("ridge = Ridge(alpha=2.0).fit(X, y)")
    stage.run("lasso = Lasso(alpha=3.0).fit(X, y)")
    found = values(stage, Params)
    assert (found["estimator"], found["ridge.alpha"]) == ("Ridge", 2.0)
    assert (found["lasso.estimator"], found["lasso.alpha"]) == ("Lasso", 3.0)
    assert {(data.name, data.context) for data in of_stage(stage, Dataset)} >= {("X", "training"), ("y", "training")}
    # A model that an earlier cell fitted is saved with its training data.
    stage.run("from mlops_workbench import log_model\nlog_model(ridge, 'first')")
    (model,) = [record for record in stage.records.all() if type(record).__name__ == "Model"]
    assert "mlops/reference.parquet" in model.files


@pytest.mark.long
def test_figures_tables_and_warnings_of_all_cells_are_kept(stage):
    stage.run("import warnings\nimport pandas as pd\nimport matplotlib.pyplot as plt\nwarnings.warn('hot')")
    stage.run("plt.plot([1, 2])\nplt.show()\nwarnings.warn('cold')")
    stage.run("pd.DataFrame({'a': [1, 2]})")
    stage.run("plt.plot([3, 1])\nplt.show()")
    stage.run("pass")
    paths = {artifact.path for artifact in of_stage(stage, Artifact)}
    assert {"figure.png", "figure-2.png", "table.json"} <= paths
    assert values(stage, Tags)["mlops.warnings"].splitlines() == ["1 x UserWarning: hot", "1 x UserWarning: cold"]


def test_runs_inside_of_a_stage_stay_its_children(stage):
    stage.run(DATA)
    stage.run("%%track child\ndepth = 3\nmae = mean_absolute_error(y, y + 1)")
    stage.run("from mlops_workbench import track\nwith track('block'):\n    r2 = mean_absolute_error(y, y + 4)")
    stage.run("pass")
    assert values(stage, Metrics) == {} and values(stage, Params) == {}
    for name, metric in (("child", "mae"), ("block", "r2")):
        assert stage.records.start(name).parent_uid == STAGE
        assert metric in stage.records.values(Metrics, name)


def test_the_candidates_of_a_search_are_children_of_the_stage(stage):
    stage.run(DATA)
    stage.run(
        "from sklearn.model_selection import GridSearchCV\n"
        "search = GridSearchCV(Ridge(), {'alpha': [0.1, 1.0]}, cv=2).fit(X, y)"
    )
    stage.run("pass")
    starts = stage.records.of(RunStart)
    assert [(start.name, start.parent_uid) for start in starts] == [("search/1", STAGE), ("search/2", STAGE)]
    assert values(stage, Metrics)["candidates"] == 2


def test_what_a_failing_cell_did_before_its_error_is_recorded(stage):
    stage.run(DATA)
    stage.run("mae = mean_absolute_error(y, y + 1)\n1 / 0", fails=True)
    stage.run("pass")
    assert values(stage, Metrics) == {"mae": pytest.approx(1)}


@pytest.mark.parametrize("stage", [{"MLOPS_CAPTURE_STAGES": "false"}], indirect=True)
def test_a_setting_turns_it_off(stage):
    stage.run(DATA)
    stage.run("depth = 3\nmae = mean_absolute_error(y, y + 1)\nfrom mlops_workbench import log\nlog(own=1)")
    assert values(stage, Metrics) == {"own": 1} and values(stage, Params) == {}


@pytest.mark.parametrize("stage", [{"MLOPS_CAPTURE_AUTOTRACK": "true"}], indirect=True)
def test_the_setting_autotrack_makes_no_runs_of_the_cells_of_a_stage(stage):
    stage.run(DATA)
    stage.run("model = Ridge().fit(X, y)\nmae = mean_absolute_error(y, model.predict(X))")
    assert stage.records.of(RunStart) == [] and "mae" in values(stage, Metrics)


def test_a_damaged_file_of_the_stage_is_reported_and_the_cells_run(tmp_path):
    root = Workspace.init(tmp_path / "space").root
    (tmp_path / "stage.json").write_text(json.dumps({"inputs": 3}))
    kernel = Kernel(root, MLOPS_RUN_UID=STAGE, MLOPS_STAGE=str(tmp_path / "stage.json"))
    try:
        said = "".join(o.get("text", "") for code in ("depth = 3", "depth = 4") for o in kernel.run(code))
        assert "the inputs and outputs of the stage cannot be read" in said
        assert values(kernel, Params) == {"depth": 4}
    finally:
        kernel.close()

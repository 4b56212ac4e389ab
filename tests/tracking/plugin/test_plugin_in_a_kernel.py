"""MLflow code, autologging and tracked cells in one real kernel."""

from __future__ import annotations

import json

import pytest
from kernels import Kernel

from mlops_workbench.core.records import Metrics, Params, RunEnd, RunStart

pytestmark = pytest.mark.process

SETUP = """
import json, os
os.environ["MLFLOW_TRACKING_URI"] = "mlops://"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
import mlflow, numpy as np, pandas as pd
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from mlops_workbench import log, track
from mlops_workbench.magics import register
register(get_ipython())
chance = np.random.default_rng(0)
X = pd.DataFrame({"a": chance.normal(size=80), "b": chance.normal(size=80)})
y = X["a"] * 2 + X["b"]
"""


@pytest.fixture(scope="module", autouse=True)
def prepared(kernel: Kernel) -> None:
    kernel.run(SETUP)


def said(outputs: list[dict]) -> str:
    return "".join(o["text"] for o in outputs if o["output_type"] == "stream" and o["name"] == "stdout").strip()


def starts(kernel: Kernel) -> list[str]:
    return [start.run_uid for start in kernel.records.of(RunStart)]


def test_what_mlflow_logs_in_a_tracked_cell_joins_its_run(kernel: Kernel) -> None:
    before = starts(kernel)
    told = said(
        kernel.run(
            "%%track joined\n"
            "alpha = 0.5\n"
            "mlflow.log_metric('mse', 2.5, step=1)\n"
            "mlflow.log_param('kind', 'ridge')\n"
            "log(own=1.5)\n"
            "seen = mlflow.get_run(mlflow.active_run().info.run_id)\n"
            "print(json.dumps([seen.info.run_id, seen.info.run_name, seen.data.metrics, seen.data.params]))"
        )
    )
    uid = kernel.records.start("joined").run_uid
    assert [run for run in starts(kernel) if run not in before] == [uid]
    assert json.loads(told) == [uid, "joined", {"mse": 2.5, "own": 1.5}, {"alpha": "0.5", "kind": "ridge"}]
    assert kernel.records.values(Metrics, uid) == {"mse": 2.5, "own": 1.5}
    assert kernel.records.values(Params, uid) == {"alpha": 0.5, "kind": "ridge"}
    assert kernel.records.end(uid).status == "FINISHED"
    assert said(kernel.run("print(mlflow.active_run())")) == "None"
    stored = said(kernel.run(f"print(json.dumps(mlflow.get_run('{uid}').data.metrics))"))
    assert {name: value for name, value in json.loads(stored).items() if not name.startswith("system/")} == {
        "mse": 2.5,
        "own": 1.5,
    }


def test_mlflow_code_sees_the_same_tags_of_a_tracked_run_at_each_read(kernel: Kernel) -> None:
    read = "seen = mlflow.get_run('{uid}').data; print(json.dumps(sorted(seen.tags.items())))"
    within = "%%track told\nmlflow.log_metric('m', 1)\nuid = mlflow.active_run().info.run_id\n"
    told = said(kernel.run(within + read.replace("'{uid}'", "uid")))
    uid = kernel.records.start("told").run_uid
    first = dict(json.loads(told))
    assert (first["mlflow.runName"], first["mlflow.source.type"]) == ("told", "LOCAL")
    assert not [name for name in first if name.startswith("mlops.")]
    kernel.run("from mlops_workbench.tracking.plugin.stores import journal_store")
    kernel.run("journal_store('mlops://').real.deliver()")
    later = dict(json.loads(said(kernel.run(read.format(uid=uid)))))
    assert {name: text for name, text in later.items() if ".git." not in name} == first


def test_a_run_that_the_user_begins_in_a_tracked_cell_is_its_child(kernel: Kernel) -> None:
    kernel.run("%%track around\nwith mlflow.start_run(run_name='inner'):\n    mlflow.log_metric('m', 1)\nlog(outer=2)")
    around, inner = kernel.records.start("around"), kernel.records.start("inner")
    assert inner.parent_uid == around.run_uid
    assert kernel.records.values(Metrics, inner.run_uid) == {"m": 1.0}
    assert kernel.records.values(Metrics, around.run_uid) == {"outer": 2}
    assert (kernel.records.end("around").status, kernel.records.end("inner").status) == ("FINISHED", "FINISHED")


def test_our_own_log_writes_to_the_active_mlflow_run(kernel: Kernel) -> None:
    told = said(
        kernel.run(
            "with mlflow.start_run(run_name='theirs') as run:\n"
            "    log(ours=3.5)\n"
            "    with track('within'):\n"
            "        log(deep=1)\n"
            "    seen = mlflow.get_run(run.info.run_id).data.metrics\n"
            "print(json.dumps(seen))"
        )
    )
    assert json.loads(told) == {"ours": 3.5}
    assert kernel.records.start("within").parent_uid == kernel.records.start("theirs").run_uid


def test_a_cell_that_fails_leaves_no_mlflow_run_behind(kernel: Kernel) -> None:
    kernel.run("%%track broken\nmlflow.log_metric('m', 1)\n1 / 0", fails=True)
    assert kernel.records.end("broken").status == "FAILED"
    assert said(kernel.run("print(mlflow.active_run())")) == "None"
    kernel.run("with mlflow.start_run(run_name='fails'):\n    1 / 0", fails=True)
    end = kernel.records.end("fails")
    assert (end.status, end.error) == ("FAILED", "ZeroDivisionError: division by zero")
    assert "1 / 0" in kernel.records.start("fails").source


def test_autologging_joins_a_tracked_cell_and_makes_runs_elsewhere(kernel: Kernel) -> None:
    assert "is off" in said(kernel.run("print(get_ipython().run_line_magic('mlops', 'autolog status').text())"))
    kernel.run("%mlops autolog sklearn")
    before = starts(kernel)
    kernel.run("%%track fitted\nmodel = Ridge(alpha=0.25).fit(X, y)")
    uid = kernel.records.start("fitted").run_uid
    assert [run for run in starts(kernel) if run not in before] == [uid]
    params, metrics = kernel.records.values(Params, uid), kernel.records.values(Metrics, uid)
    assert params["alpha"] in (0.25, "0.25") and "training_r2_score" in metrics
    kernel.run("Ridge(alpha=0.75).fit(X, y)")
    alone = kernel.records.of(RunStart)[-1]
    assert alone.run_uid != uid and kernel.records.values(Params, alone.run_uid)["alpha"] == "0.75"
    assert alone.experiment == kernel.records.start("fitted").experiment
    kernel.run("%%track search\nGridSearchCV(Ridge(), {'alpha': [0.1, 1.0]}, cv=2).fit(X, y)")
    search = kernel.records.start("search").run_uid
    children = [start for start in kernel.records.of(RunStart) if start.parent_uid == search]
    assert sorted(kernel.records.values(Params, child.run_uid)["alpha"] for child in children) == ["0.1", "1.0"]
    kernel.run("%mlops autolog off")
    kernel.run("%mlops autolog")
    told = said(kernel.run("print(get_ipython().run_line_magic('mlops', 'autolog status').text())"))
    assert "autologging is on for all" in told
    kernel.run("%mlops autolog off")
    before = starts(kernel)
    kernel.run("Ridge(alpha=0.75).fit(X, y)\nprint(mlflow.active_run())")
    assert starts(kernel) == before


def test_runs_begun_by_mlflow_are_listed_with_the_others(kernel: Kernel) -> None:
    kernel.run("%mlops experiment shared")
    kernel.run("with mlflow.start_run(run_name='listed'):\n    mlflow.log_metric('auc', 0.75)")
    kernel.run("%%track beside\nlog(auc=0.5)")
    told = said(kernel.run("from mlops_workbench import runs\nprint(runs(experiment='shared').to_json())"))
    kernel.run("get_ipython().run_line_magic('mlops', 'down')")
    table = json.loads(told)
    assert sorted(table["run_name"].values()) == ["beside", "listed"]


def test_an_mlflow_run_left_open_is_finished_when_the_kernel_ends(kernel: Kernel) -> None:
    kernel.run("mlflow.start_run(run_name='open'); mlflow.log_metric('m', 1)")
    kernel.manager.shutdown_kernel(now=False)
    assert kernel.records.of(RunEnd, "open")[0].status == "FINISHED"

"""The metrics of a run are in the journals at once, before the read index or MLflow has them."""

from __future__ import annotations

import math
import os

from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Metrics
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.runs.metrics import read_metrics


def test_the_last_value_of_each_metric_is_read_in_the_order_of_first_use(workspace: Workspace) -> None:
    session = Session(workspace)
    run, other = session.start_run("one"), session.start_run("two")
    run.log(loss=3.0, step=0)
    run.log(loss=1.0, step=2)
    run.log(loss=2.0, step=1)
    run.log({"größe/a b": math.nan, "n": 2**80})
    other.log(loss=7.0)
    session.close()
    found = read_metrics(workspace.journal, [run.uid, other.uid], now_ms())
    assert list(found[run.uid]) == ["loss", "größe/a b", "n"]
    assert found[run.uid]["loss"] == 1.0 and found[run.uid]["n"] == 2**80
    assert math.isnan(found[run.uid]["größe/a b"])
    assert found[other.uid] == {"loss": 7.0}


def test_a_value_that_was_nan_is_replaced_by_a_later_one(workspace: Workspace) -> None:
    session = Session(workspace)
    run = session.start_run("one")
    for at_ms, value in ((1, math.nan), (2, 0.5), (2, 0.25)):
        session.write(Metrics(run.uid, at_ms, 0, {"auc": value}))
    session.close()
    assert read_metrics(workspace.journal, [run.uid], now_ms())[run.uid] == {"auc": 0.5}


def test_the_use_of_resources_is_not_among_them(workspace: Workspace) -> None:
    session = Session(workspace)
    run = session.start_run("one")
    session.write(Metrics(run.uid, 1, 0, {"system/cpu_seconds": 4.0}, origin="system"))
    session.write(Metrics(run.uid, 1, 0, {"mae": 4.0}, origin="observed"))
    session.close()
    assert read_metrics(workspace.journal, [run.uid], now_ms())[run.uid] == {"mae": 4.0}


def test_a_damaged_journal_and_one_that_ended_long_ago_are_passed_over(workspace: Workspace) -> None:
    session = Session(workspace)
    run = session.start_run("one")
    run.log(auc=0.5)
    session.close()
    (file,) = workspace.journal.glob("*.mlj")
    file.with_name("damaged-0000.mlj").write_bytes(b"\xff" * 5000)
    assert read_metrics(workspace.journal, [run.uid], now_ms())[run.uid] == {"auc": 0.5}
    os.utime(file, (1, 1))
    assert read_metrics(workspace.journal, [run.uid], now_ms())[run.uid] == {}


def test_a_run_without_metrics_has_none(workspace: Workspace) -> None:
    assert read_metrics(workspace.journal / "none", ["0" * 32], 0) == {"0" * 32: {}}

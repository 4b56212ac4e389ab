"""Ranking of a run among those of the session and of the workspace's index."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.run_ranking import RunRanking
from mlops_workbench.core.runs import Run
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.magics.shown.ranking import ranking
from mlops_workbench.tracking.index.past import read_past
from mlops_workbench.tracking.index.schema import connect
from mlops_workbench.tracking.index.writer import IndexWriter
from mlops_workbench.tracking.journals.files import Cursor, journal_files, read_batch


@pytest.fixture
def session(workspace: Workspace) -> Iterator[Session]:
    session = Session(workspace)
    session.experiment = "e"
    yield session
    session.close()


def make(session: Session, name: str, *, status: str = "FINISHED", **values: float) -> RunRanking:
    run = session.start_run(name)
    run.log_params({key: value for key, value in values.items() if key.startswith("p_")})
    run.log({key: value for key, value in values.items() if not key.startswith("p_")})
    run.end(status)
    return ranking(session, run)


def differences(found: RunRanking) -> dict[str, tuple[float | None, float | None]]:
    return {change.name: (change.previous, change.best) for change in found.metrics}


def test_the_first_run_has_nothing_to_be_compared_with(session: Session) -> None:
    found = make(session, "a", mae=1.0, p_x=1)
    assert (found.previous, found.params) == ("", []) and differences(found) == {"mae": (None, None)}


def test_a_run_is_compared_with_the_run_before_and_the_best(session: Session) -> None:
    make(session, "a", mae=1.0, auc=0.9, p_x=1, p_y=1)
    make(session, "b", mae=3.0, auc=0.5, p_x=2)
    found = make(session, "a", mae=2.0, auc=0.95, other=1.0, p_x=3, p_y=1)
    assert found.previous == "b" and differences(found) == {"mae": (3.0, 1.0), "auc": (0.5, 0.9), "other": (None, None)}
    assert [(c.improved, c.is_best) for c in found.metrics] == [(True, False), (True, True), (None, False)]
    assert [(c.name, c.value, c.before) for c in found.params] == [("p_x", "3", "1")]


def test_failed_nested_and_foreign_runs_are_not_compared(session: Session) -> None:
    make(session, "a", mae=5.0)
    make(session, "failed", status="FAILED", mae=0.1)
    outer = session.start_run("outer")
    inner = session.start_run("inner", parent_uid=outer.uid)
    inner.log(mae=0.2)
    inner.end()
    outer.end("KILLED")
    session.experiment = "another"
    make(session, "foreign", mae=0.3)
    session.experiment = "e"
    assert differences(make(session, "b", mae=4.0)) == {"mae": (5.0, 5.0)}


def test_values_that_are_not_finite_are_not_compared(session: Session) -> None:
    make(session, "a", mae=float("nan"), auc=1.0)
    make(session, "b", mae=float("inf"), auc=float("nan"))
    found = make(session, "c", mae=2.0, auc=float("nan"))
    assert differences(found) == {"mae": (None, None), "auc": (None, 1.0)}
    assert found.metrics[1].value is None and found.metrics[1].improved is None


def fill(workspace: Workspace) -> None:
    """Bring the index up to date with the journals, as the ingest does."""
    writer = IndexWriter(workspace.index)
    for file in journal_files(workspace.journal):
        writer.apply(file, read_batch(file.path, Cursor()), done=False)
    writer.close()


def test_runs_of_earlier_sessions_are_known_from_the_index(workspace: Workspace, session: Session) -> None:
    earlier = Session(workspace)
    earlier.experiment = "e"
    make(earlier, "a", mae=1.0, p_x=1)
    make(earlier, "b", mae=float("-inf"), p_x=2)
    earlier.close()
    assert differences(make(session, "a", mae=2.0)) == {"mae": (None, None)}, "there is no index yet"
    fill(workspace)
    found = make(session, "a", mae=3.0, p_x=7)
    assert differences(found) == {"mae": (2.0, 1.0)} and found.previous == "a"
    assert [(c.name, c.value, c.before) for c in found.params] == [("p_x", "7", None)]
    assert not list(workspace.index.parent.glob("index.db-journal"))


def test_no_index_is_created_and_one_of_another_version_is_not_changed(workspace: Workspace) -> None:
    run = Run("u", "", "e", "n", "run", "FINISHED", 5, 6, metrics={"mae": 1.0})
    assert read_past(workspace.index, run) is None and not workspace.index.exists()
    connect(workspace.index).close()
    assert read_past(workspace.index, run) is not None
    connection = sqlite3.connect(workspace.index)
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    assert read_past(workspace.index, run) is None
    workspace.index.write_bytes(b"no database" * 1000)
    assert read_past(workspace.index, run) is None

"""A live run of ``mlops://`` has in memory what its journal has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from test_plugin_oracle import forget

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking.plugin.journal_store import JournalStore


@pytest.fixture
def store(stored_workspace: Workspace) -> Iterator[JournalStore]:
    """The store behind MLflow's functions; MLflow's global state is as before, afterwards."""
    forget()
    mlflow.set_tracking_uri(f"mlops://{stored_workspace.root}")
    yield MlflowClient()._tracking_client.store
    forget()
    mlflow.set_tracking_uri(None)


def test_values_that_could_not_be_written_are_not_in_memory(
    store: JournalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mlflow.start_run() as run:
        uid = run.info.run_id
        mlflow.log_metric("loss", 2.0, step=1)
        live = store.runs.by_id[uid]

        def full(*_: Any, **__: Any) -> None:
            raise StorageError("the disk is full")

        # A full disk cannot be had in a test.
        with monkeypatch.context() as patched:
            patched.setattr(store._journal, "_write", full)
            patched.setattr(live.run, "_write", full)
            for log in (
                lambda: store.log_metric(uid, Metric("loss", 1.0, 5, 2)),
                lambda: store.log_param(uid, Param("depth", "3")),
                lambda: store.set_tag(uid, RunTag("mlflow.runName", "renamed")),
            ):
                with pytest.raises(StorageError):
                    log()
        found = mlflow.get_run(uid)
        assert (found.data.metrics, found.data.params) == ({"loss": 2.0}, {})
        assert found.info.run_name == run.info.run_name == found.data.tags["mlflow.runName"]
        # And can be logged again.
        mlflow.log_metric("loss", 1.0, step=2)
        mlflow.log_param("depth", "4")
        assert [point.value for point in MlflowClient().get_metric_history(uid, "loss")] == [2.0, 1.0]
    assert mlflow.get_run(uid).data.params == {"depth": "4"}


def test_metrics_of_one_name_and_time_all_reach_the_journal(store: JournalStore) -> None:
    values = [("a", 1.0, 0), ("b", 2.0, 0), ("a", 3.0, 0), ("a", 4.0, 1), ("b", float("inf"), 1)]
    with mlflow.start_run() as run:
        MlflowClient().log_batch(run.info.run_id, [Metric(name, value, 7, step) for name, value, step in values])
        before = {name: MlflowClient().get_metric_history(run.info.run_id, name) for name in "ab"}
    store.real.deliver()
    store.runs.by_id.clear()
    after = {name: MlflowClient().get_metric_history(run.info.run_id, name) for name in "ab"}
    assert [point.value for point in after["a"]] == [1.0, 3.0, 4.0]
    assert {name: [(p.step, p.value) for p in points] for name, points in before.items()} == {
        name: [(p.step, p.value) for p in points] for name, points in after.items()
    }


def test_a_run_that_another_thread_removed_is_not_found(store: JournalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with mlflow.start_run() as run:
        pass
    store.real.deliver()
    is_delivered = store.runs._is_delivered

    def removed_meanwhile(live: Any) -> bool:
        store.runs.by_id.pop(live.uid)
        return is_delivered(live)

    monkeypatch.setattr(store.runs, "_is_delivered", removed_meanwhile)
    assert store.runs.find(run.info.run_id) is None


def test_both_writers_of_mlflows_tables_make_the_same_run(store: JournalStore) -> None:
    database = store.real.tracking.connection.database
    assert database is not None and database.writer is not None
    experiment = mlflow.create_experiment("both")
    tags = {"mlflow.user": "ann", "team": "b"}
    made = []
    for number, (name, given) in enumerate([("", tags), ("named", tags), ("", {**tags, "mlflow.runName": "tagged"})]):
        one, other = f"{number:024x}00000001", f"{number + 8:024x}00000001"
        database.create_run(one, experiment, name, 5, given)
        with database.writer.transaction() as opened:
            opened.create_run(other, experiment, name, 5, given)
            assert opened.find_run(one) == one
        assert database.find_run(other) == other
        runs = [database.store.get_run(uid) for uid in (one, other)]
        made.append([json.dumps(run.to_dictionary(), sort_keys=True).replace(run.info.run_id, "ID") for run in runs])
    assert [one for one, _ in made] == [other for _, other in made]

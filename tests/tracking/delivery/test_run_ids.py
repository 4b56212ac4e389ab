"""In a database that we open ourselves a run has one id, in the journal and in MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from recorder import Recorder

from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Metrics, Params, RunStart
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest, TrackingStore
from mlops_workbench.tracking.mlflow import database as mlflow_database


@contextmanager
def _unknown_schema(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(mlflow_database, "KNOWN_REVISIONS", frozenset({"of another MLflow"}))
        yield


def _record(workspace: Workspace) -> str:
    recorder = Recorder(workspace)
    uid = recorder.start("böosted", tags={"team": "a"})
    recorder.put(Params(uid, {"depth": 6}), Metrics(uid, now_ms(), 3, {"mae": 0.5}))
    recorder.end(uid)
    recorder.close()
    return uid


def _client(store: TrackingStore) -> MlflowClient:
    return MlflowClient(store.uri, store.uri)


def test_a_run_has_the_same_id_everywhere_and_is_whole_to_mlflow(stored_workspace: Workspace) -> None:
    uid = _record(stored_workspace)
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        assert ingest.index.find(uid).run_id == uid
        client = _client(ingest.store)
        found = client.get_run(uid)
        peer = client.create_run(found.info.experiment_id, 1, {"mlflow.user": "ann"}, "peer")
        assert (found.info.run_name, found.data.tags["mlflow.runName"]) == ("böosted", "böosted")
        assert (found.data.params, found.data.metrics) == ({"depth": "6"}, {"mae": 0.5})
        assert found.info.user_id == peer.info.user_id == "ann"
        assert found.info.artifact_uri == peer.info.artifact_uri.replace(peer.info.run_id, uid)
        # What MLflow itself does with a run, it does with this one.
        client.log_batch(uid, [Metric("later", 1.0, 1, 0)], [Param("p", "1")], [RunTag("t", "x")])
        client.delete_run(uid)
        assert client.get_run(uid).info.lifecycle_stage == "deleted"
        client.restore_run(uid)
        assert [run.info.run_id for run in client.search_runs([found.info.experiment_id], "params.depth = '6'")] == [
            uid
        ]


def test_a_database_of_another_schema_gets_its_runs_through_the_client(
    stored_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = _record(stored_workspace)
    with _unknown_schema(monkeypatch), Ingest(stored_workspace) as ingest:
        ingest.drain()
        run_id = ingest.index.find(uid).run_id
        assert run_id not in ("", uid)
        assert _client(ingest.store).get_run(run_id).data.tags["mlops.run_uid"] == uid


def test_runs_whose_id_mlflow_chose_keep_it(stored_workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(stored_workspace)
    uid = recorder.start()
    with _unknown_schema(monkeypatch), Ingest(stored_workspace) as ingest:
        ingest.drain()
        run_id, log = ingest.index.find(uid).run_id, ingest.log.path
    # Also when the acknowledgement is lost.
    for path in log.parent.glob(log.name + "*"):
        path.unlink()
    recorder.put(Metrics(uid, now_ms(), 0, {"mae": 1.0}))
    recorder.end(uid)
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        client = _client(ingest.store)
        experiment = client.get_run(run_id).info.experiment_id
        assert [run.info.run_id for run in client.search_runs([experiment], run_view_type=ViewType.ALL)] == [run_id]
        assert client.get_run(run_id).data.metrics == {"mae": 1.0}


def test_a_database_that_the_user_names_has_the_same_ids(workspace: Workspace, mlflow_database: Path) -> None:
    database = workspace.root / "team.db"
    database.write_bytes(mlflow_database.read_bytes())
    named = Workspace.open(workspace.root, {"tracking.uri": f"sqlite:///{database}"})
    uid = _record(named)
    with Ingest(named) as ingest:
        ingest.drain()
        assert _client(ingest.store).get_run(uid).info.status == "FINISHED"


@pytest.mark.parametrize("uid", ["nightly", "Größe/7", "0" * 40])
def test_a_uid_that_mlflow_cannot_have_as_an_id_is_found_by_its_tag(stored_workspace: Workspace, uid: str) -> None:
    recorder = Recorder(stored_workspace)
    parent = recorder.start("parent")
    recorder.put(RunStart(uid, "odd", "flights", now_ms(), parent_uid=parent), Params(uid, {"depth": 6}))
    recorder.end(uid)
    recorder.put(RunStart(uid, "odd", "flights", now_ms()), Params(uid, {"later": 1}))
    recorder.end(uid)
    recorder.close()
    for again in (False, True):
        with Ingest(stored_workspace) as ingest:
            if again:
                ingest.log.reset()
            ingest.drain()
            client = _client(ingest.store)
            experiment = client.get_experiment_by_name("flights").experiment_id
            found = [run for run in client.search_runs([experiment]) if run.info.run_name == "odd"]
            assert [(run.info.status, run.data.params) for run in found] == [("FINISHED", {"depth": "6", "later": "1"})]
            assert found[0].data.tags["mlflow.parentRunId"] == parent
            assert ingest.refused() == []

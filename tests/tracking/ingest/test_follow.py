"""Runs that others wrote to the same MLflow are in the index as well."""

from __future__ import annotations

import math
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow_server import free_port, mlflow_server
from recorder import Recorder
from sklearn.linear_model import LinearRegression

from mlops_workbench.core.errors import NotFound
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Metrics, Params
from mlops_workbench.core.runs import Run
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest
from mlops_workbench.tracking.mlflow import runs as mlflow_runs
from mlops_workbench.tracking.mlflow.runs import ClientRuns, SqliteRuns


@pytest.fixture(scope="module", params=["database", pytest.param("server", marks=pytest.mark.process)])
def shared(
    request: pytest.FixtureRequest, mlflow_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """URI of an MLflow that several people use."""
    folder = tmp_path_factory.mktemp("shared mlflow")
    shutil.copyfile(mlflow_database, folder / "server.db")
    if request.param == "database":
        yield f"sqlite:///{folder / 'server.db'}"
        return
    port = free_port()
    with mlflow_server(folder, port):
        client = MlflowClient(f"http://127.0.0.1:{port}")
        _until(lambda: _answers(client), 120)
        yield f"http://127.0.0.1:{port}"


def _answers(client: MlflowClient) -> bool:
    try:
        client.search_experiments(max_results=1)
    except Exception:
        return False
    return True


def _until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def _look(ingest: Ingest) -> None:
    ingest.step()
    while ingest.follow():
        pass


def _look_only(ingest: Ingest) -> None:
    ingest.open_index()
    while ingest.follow():
        pass


def _named(ingest: Ingest, name: str) -> Run | None:
    try:
        return ingest.index.find(name)
    except NotFound:
        return None


@pytest.mark.long
@pytest.mark.process
@pytest.mark.timeout(300)
def test_runs_of_plain_mlflow_code_are_followed_to_their_end_and_beyond(shared: str, workspace: Workspace) -> None:
    workspace = Workspace.open(workspace.root, {"tracking.uri": shared})
    client = MlflowClient(shared, shared)
    experiment = client.create_experiment(f"theirs {time.time_ns()}")
    name = client.get_experiment(experiment).name
    own = Recorder(workspace)
    uid = own.start("own", name)
    own.put(Params(uid, {"a": 1}), Metrics(uid, now_ms(), 0, {"auc": 0.5}))
    with Ingest(workspace) as ingest:
        ingest.drain(timeout=120)
        _look(ingest)
        parent = client.create_run(experiment, run_name="parent", tags={"mlflow.user": "bob"})
        child = client.create_run(experiment, run_name="child", tags={"mlflow.parentRunId": parent.info.run_id})
        run_id = child.info.run_id
        client.log_param(run_id, "depth", "6")
        client.log_metric(run_id, "loss", 1.0, step=0)
        client.set_tag(run_id, "team", "b")
        _look(ingest)
        found = ingest.index.find(run_id)
        assert (found.uid, found.run_id, found.experiment, found.name) == (run_id, run_id, name, "child")
        assert (found.status, found.origin, found.parent_uid) == ("RUNNING", "mlflow", parent.info.run_id)
        assert (found.params, found.metrics, found.tags) == ({"depth": "6"}, {"loss": 1.0}, {"team": "b"})
        assert ingest.index.find("parent").user == "bob"

        # While it runs.
        client.log_metric(run_id, "loss", 0.25, step=1)
        client.log_metric(run_id, "odd", math.nan)
        _look(ingest)
        assert ingest.index.find(run_id).metrics == {"loss": 0.25, "odd": "NaN"}
        assert [run.uid for run in ingest.index.runs(filter="metrics.loss < 0.5 and tags.team = 'b'")] == [run_id]
        # Its history is asked for when it is looked at.
        assert [(p.step, p.value) for p in ingest.history(run_id, "loss")] == [(0, 1.0), (1, 0.25)]
        assert [p.value for p in ingest.history(run_id, "odd")] == ["NaN"]
        detail = ingest.detail(run_id)
        assert [p.value for p in detail.history["loss"]] == [1.0, 0.25]
        assert detail.points == {"loss": 2, "odd": 1}
        with pytest.raises(NotFound):
            ingest.history(run_id, "no such")

        client.set_terminated(run_id, "FAILED", end_time=now_ms())
        _look(ingest)
        assert ingest.index.find(run_id).status == "FAILED"
        assert ingest.index.find(run_id).end_ms > 0

        # Nothing changed: nothing is told as changed.
        revision = ingest.index.revision()
        _look(ingest)
        assert ingest.index.revision() == revision

        # Late: it started before all others.
        client.create_run(experiment, start_time=1_600_000_000_000, run_name="late")
        _until(lambda: _look(ingest) or _named(ingest, "late"))

        # Deleted, theirs and ours.
        client.delete_run(run_id)
        own_id = ingest.index.find("own").run_id
        client.delete_run(own_id)
        _until(lambda: _look(ingest) or not (_named(ingest, "child") or _named(ingest, "own")))
        client.restore_run(run_id)
        client.restore_run(own_id)
        _until(lambda: _look(ingest) or (_named(ingest, "child") and _named(ingest, "own")))
        assert ingest.index.find("own").origin == ""
        assert len(ingest.index.detail(ingest.index.find("own").uid).history["auc"]) == 1


@pytest.mark.timeout(300)
def test_a_run_of_another_machines_workbench_keeps_its_uid(shared: str, tmp_path: Path) -> None:
    name = f"team {time.time_ns()}"
    here, there = (
        Workspace.open(Workspace.init(tmp_path / place).root, {"tracking.uri": shared}) for place in ("a", "b")
    )
    recorder = Recorder(there)
    parent = recorder.start("pipeline", name, kind="pipeline")
    uid = recorder.start("stage", name, kind="stage", parent_uid=parent, notebook="a.ipynb")
    recorder.put(Metrics(uid, now_ms(), 3, {"auc": 0.75}))
    with Ingest(there) as ingest:
        ingest.drain(timeout=120)
    with Ingest(here) as ingest:
        Recorder(here).start("mine", name)
        ingest.drain(timeout=120)
        _look(ingest)
        found = ingest.index.find(uid)
        assert (found.uid, found.kind, found.parent_uid, found.notebook) == (uid, "stage", parent, "a.ipynb")
        assert (found.origin, found.user, found.metrics) == ("mlflow", "ann", {"auc": 0.75})
        assert [run.name for run in ingest.index.runs(name, parent=parent)] == ["stage"]
        assert {run.name: run.origin for run in ingest.index.runs(name)} == {
            "mine": "",
            "pipeline": "mlflow",
            "stage": "mlflow",
        }


def test_more_runs_than_a_page_are_all_found_and_those_deleted_go(
    stored_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqliteRuns, "page_size", 7)
    monkeypatch.setattr(ClientRuns, "page_size", 7)
    with Ingest(stored_workspace) as ingest:
        ingest.store.ping()
        client = MlflowClient(ingest.store.uri, ingest.store.uri)
        ids = [client.create_run("0", start_time=1000 + number // 3).info.run_id for number in range(40)]
        for run_id in ids:
            client.set_terminated(run_id)
        Recorder(stored_workspace).start("own")
        ingest.drain()
        for source in (None, ClientRuns(ingest.store)):
            if source is not None:
                ingest.follower.source = source
            _look(ingest)
            assert {run.uid for run in ingest.index.runs("Default", limit=100)} == set(ids)
            for run_id in (ids[0], ids[20], ids[39]):
                client.delete_run(run_id)
            _until(lambda: _look(ingest) or len(ingest.index.runs("Default", limit=100)) == 37)
            for run_id in (ids[0], ids[20], ids[39]):
                client.restore_run(run_id)
            _until(lambda: _look(ingest) or len(ingest.index.runs("Default", limit=100)) == 40)


def test_a_workspace_that_is_pointed_at_another_store_keeps_its_own_runs_in_sight(
    stored_workspace: Workspace, mlflow_database: Path
) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0]})
    recorder = Recorder(stored_workspace)
    uid = recorder.start("own")
    recorder.model(uid, LinearRegression().fit(frame, frame["x"]), frame)
    with Ingest(stored_workspace) as ingest:
        client = MlflowClient(ingest.store.uri)
        client.create_run("0", run_name="theirs")
        ingest.drain()
        _look(ingest)
        first = ingest.index.find("own").run_id
        (model,) = ingest.detail(uid).models
        assert _named(ingest, "theirs") and client.get_logged_model(model.model_id).source_run_id == first

    shutil.copyfile(mlflow_database, stored_workspace.root / "other.db")
    moved = Workspace.open(stored_workspace.root, {"tracking.uri": f"sqlite:///{stored_workspace.root / 'other.db'}"})
    client = MlflowClient(moved.tracking_uri)
    # A server once gave the run an id of its own.
    experiment = client.create_experiment("flights", (stored_workspace.root / "files").as_uri())
    client.create_run(experiment, tags={"mlops.run_uid": uid})
    with Ingest(moved) as ingest:
        # Before anything was delivered there.
        _look_only(ingest)
        assert _named(ingest, "own") and not _named(ingest, "theirs")
        ingest.drain()
        for _ in range(3):
            revision = ingest.index.revision()
            _look(ingest)
            assert ingest.index.find("own").run_id not in ("", uid)
        assert ingest.index.revision() == revision
        assert client.get_run(ingest.index.find("own").run_id).data.tags["mlops.run_uid"] == uid
        (model,) = ingest.detail(uid).models
        assert client.get_logged_model(model.model_id).source_run_id == ingest.index.find("own").run_id

    # Back again: it is known there.
    with Ingest(stored_workspace) as ingest:
        _look(ingest)
        assert ingest.index.find("own").run_id == first and _named(ingest, "theirs")


def test_a_database_at_rest_is_not_read_again(stored_workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ingest(stored_workspace) as ingest:
        Recorder(stored_workspace).start("own")
        ingest.drain()
        _look(ingest)
        _look(ingest)
        pages: list[object] = []
        original = SqliteRuns.page

        def page(self: SqliteRuns, *args: object, **kwargs: object) -> mlflow_runs.RunPage:
            pages.append(args)
            return original(self, *args, **kwargs)  # type: ignore[arg-type]

        monkeypatch.setattr(SqliteRuns, "page", page)
        for _ in range(5):
            ingest.follow()
        assert pages == []
        with sqlite3.connect(stored_workspace.state / "mlflow.db") as other:
            other.execute("UPDATE runs SET name = 'other'")
        ingest.follow()
        assert pages


def test_a_run_that_is_in_mlflow_before_its_journal_is_read_becomes_the_journals(stored_workspace: Workspace) -> None:
    recorder = Recorder(stored_workspace)
    uid = recorder.start("own")
    recorder.put(Params(uid, {"a": 1}), *(Metrics(uid, now_ms() + s, s, {"auc": s / 4}) for s in range(4)))
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        log = ingest.log.path.parent
        journal = stored_workspace.journal.rename(stored_workspace.state / "away")
        stored_workspace.journal.mkdir()
    stored_workspace.index.unlink()
    with Ingest(stored_workspace) as ingest:
        Recorder(stored_workspace).start("new")
        ingest.drain()
        _look(ingest)
        assert ingest.index.find(uid).origin == "mlflow"
        for path in journal.glob("*.mlj"):
            path.rename(log / path.name)
        ingest.drain()
        found = ingest.detail(uid)
        assert (found.run.origin, found.run.params, found.run.metrics) == ("", {"a": "1"}, {"auc": 0.75})
        assert [p.value for p in found.history["auc"]] == [0.0, 0.25, 0.5, 0.75]

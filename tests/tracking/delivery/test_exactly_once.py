"""Delivery may stop at any moment and is done again; MLflow has everything once."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from recorder import Recorder, flights
from sklearn.linear_model import LinearRegression

from mlops_workbench.core.errors import Unavailable
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Column, Dataset, Metrics, Params, Tags
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest, TrackingStore


def _record(workspace: Workspace, runs: int = 2, metrics: int = 40) -> list[str]:
    """Runs with every kind of record, in two sessions, the second with several files."""
    frame = flights()[["distance", "delay"]].fillna(0.0)
    estimator = LinearRegression().fit(frame, frame["distance"])
    uids = []
    pipeline = Recorder(workspace)
    parent = pipeline.start("pipeline", kind="pipeline")
    recorder = Recorder(workspace, segment_bytes=4096)
    for number in range(runs):
        uid = recorder.start(f"run {number}", parent_uid=parent)
        uids.append(uid)
        recorder.put(Params(uid, {"n": number, "bad|name": 1}), Params(uid, {"n": number + 10}))
        at = now_ms()
        for step in range(metrics):
            recorder.put(Metrics(uid, at + step, step, {"mae": float(step), "f1@k": 0.5}))
        recorder.put(Tags(uid, {"team": "a"}), Dataset(uid, "train", "training", "d" * 40, 10, [Column("x", "double")]))
        recorder.artifact(uid, "a/b.txt", f"text {number}".encode())
        recorder.model(uid, estimator, frame)
        recorder.end(uid, output="hello")
    recorder.close()
    pipeline.end(parent)
    pipeline.close()
    return [parent, *uids]


def _content(store: TrackingStore) -> dict[str, object]:
    """Everything in MLflow, without the ids that MLflow gives."""
    client = MlflowClient(store.uri, store.uri)
    experiment = client.get_experiment_by_name("flights")
    if experiment is None:
        return {}
    found = client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL)
    names = {run.info.run_id: run.data.tags["mlops.run_uid"] for run in found}
    content: dict[str, object] = {"runs": sorted(names.values())}
    for run in found:
        uid = names[run.info.run_id]
        tags = dict(run.data.tags)
        if "mlflow.parentRunId" in tags:
            tags["mlflow.parentRunId"] = names[tags["mlflow.parentRunId"]]
        content[uid] = (
            run.info.status, run.info.end_time, dict(run.data.params), tags,
            {key: [(m.step, m.value, m.timestamp) for m in client.get_metric_history(run.info.run_id, key)]
             for key in run.data.metrics},
            [(d.dataset.name, d.dataset.digest) for d in run.inputs.dataset_inputs],
            sorted(_tree(client, run.info.run_id)),
        )  # fmt: skip
    models = client.search_logged_models([experiment.experiment_id])
    content["models"] = sorted((names[m.source_run_id], m.name, str(m.status), len(m.metrics)) for m in models)
    content["outputs"] = sorted(
        (names[run.info.run_id], len(run.outputs.model_outputs) if run.outputs else 0) for run in found
    )
    return content


def _tree(client: MlflowClient, run_id: str, path: str | None = None) -> list[str]:
    files = []
    for item in client.list_artifacts(run_id, path):
        files += _tree(client, run_id, item.path) if item.is_dir else [item.path]
    return files


def _assert_complete(content: dict[str, object], uids: list[str]) -> None:
    assert content["runs"] == sorted(uids)
    for number, uid in enumerate(uids[1:]):
        status, _, params, tags, metrics, datasets, files = content[uid]  # type: ignore[misc]
        assert status == "FINISHED"
        assert params["n"] == str(number)
        assert tags["mlops.param.n.2"] == str(number + 10)
        assert tags["mlflow.parentRunId"] == uids[0]
        assert [step for step, *_ in metrics["mae"]] == list(range(len(metrics["mae"])))
        assert (len(datasets), files) == (1, ["a/b.txt", "logs/output.txt"])
    assert [m[:3] for m in content["models"]] == [(u, "model", "READY") for u in sorted(uids[1:])]  # type: ignore[index]
    assert dict(content["outputs"]) == {uids[0]: 0, **dict.fromkeys(uids[1:], 1)}  # type: ignore[call-overload]


def test_a_second_delivery_of_everything_changes_nothing(stored_workspace: Workspace) -> None:
    uids = _record(stored_workspace)
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        log = ingest.log.path
        before = _content(ingest.store)
        _assert_complete(before, uids)

    # Every acknowledgement is lost.
    for path in log.parent.glob(log.name + "*"):
        path.unlink()
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        assert _content(ingest.store) == before

    # The acknowledgements are there, the cursors are not.
    with contextlib.closing(sqlite3.connect(log)) as connection, connection:
        connection.execute("DELETE FROM cursors")
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        assert _content(ingest.store) == before
        assert ingest.refused() == []


CALLS = [
    "experiment_id", "create_run", "log_params", "log_metrics", "set_tags", "log_file", "log_text", "create_model",
    "finish_model", "log_datasets", "end_run", "latest_metrics",
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "done"),
    # Before a call is after the one before it, except where an acknowledgement lies between the two.
    [(call, True) for call in CALLS] + [("create_run", False), ("finish_model", False), ("end_run", False)],
)
def test_a_stop_around_any_call_loses_nothing_and_doubles_nothing(
    call: str, done: bool, stored_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(BaseException):
        """Not an error that anything may handle: the process is gone."""

    uids = _record(stored_workspace, metrics=4)
    original: Callable[..., object] = getattr(TrackingStore, call)

    def stop(self: TrackingStore, *args: object, **kwargs: object) -> object:
        if done:
            original(self, *args, **kwargs)
        raise Stopped

    with monkeypatch.context() as patch, Ingest(stored_workspace) as ingest:
        patch.setattr(TrackingStore, call, stop)
        with pytest.raises(Stopped):
            ingest.drain()
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        _assert_complete(_content(ingest.store), uids)
        assert ingest.refused() == []


_WORKER = """
import sys, time
from pathlib import Path
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest
ingest = Ingest(Workspace.open(Path(sys.argv[1])))
while True:
    ingest.step()
    time.sleep(0.01)
"""


@pytest.mark.long
@pytest.mark.process
def test_ingest_killed_again_and_again_delivers_exactly_once(stored_workspace: Workspace) -> None:
    uids = _record(stored_workspace, runs=6)
    store = TrackingStore(stored_workspace)
    runs_seen = 0
    for wanted in (1, 5):
        worker = subprocess.Popen([sys.executable, "-c", _WORKER, str(stored_workspace.root)])
        try:
            deadline = time.monotonic() + 60
            # Killed while it works: some runs are there, not all are finished.
            while runs_seen < wanted and time.monotonic() < deadline:
                runs_seen = _count_runs(store)
        finally:
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        _assert_complete(_content(store), uids)
        assert ingest.status().backlog_bytes == 0


def _count_runs(store: TrackingStore) -> int:
    path = store.workspace.state / "mlflow.db"
    with contextlib.closing(sqlite3.connect(path, timeout=20)) as connection:
        return int(connection.execute("SELECT count(*) FROM runs").fetchone()[0])


def test_one_process_delivers_and_another_waits_for_it(stored_workspace: Workspace) -> None:
    uids = _record(stored_workspace, metrics=2)
    with Ingest(stored_workspace) as owner, Ingest(stored_workspace) as other:
        assert owner.step()
        assert not other.step()
        owner.drain()
        other.drain(uids[1], timeout=5)
        Recorder(stored_workspace).start("late")
        with pytest.raises(Unavailable):
            other.drain(timeout=0.2)


@pytest.mark.timeout(120)
def test_a_process_that_waits_for_another_gets_the_problem_of_its_delivery(stored_workspace: Workspace) -> None:
    uid = Recorder(stored_workspace).start()
    database = stored_workspace.state / "mlflow.db"
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        connection.execute("UPDATE alembic_version SET version_num = 'from_the_future'")
    with Ingest(stored_workspace) as owner, Ingest(stored_workspace) as other:
        owner.step()
        with pytest.raises(Unavailable, match="another version of MLflow"):
            other.drain(uid, timeout=600, patience=0.1)
        assert "another version of MLflow" in other.status().problem
        with contextlib.closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        owner.drain(timeout=60)
        assert other.status().problem == ""
        other.drain(uid, timeout=60, patience=0.1)


def test_a_new_database_gets_everything_again(stored_workspace: Workspace, mlflow_database: Path) -> None:
    uids = _record(stored_workspace, metrics=2)
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
    moved = Workspace.open(stored_workspace.root, {"tracking.uri": f"sqlite:///{stored_workspace.root / 'other.db'}"})
    (stored_workspace.root / "other.db").write_bytes(mlflow_database.read_bytes())
    with Ingest(moved) as ingest:
        ingest.drain()
        _assert_complete(_content(ingest.store), uids)


def test_a_deleted_database_gets_everything_again_and_what_it_alone_had_is_said_to_be_lost(
    stored_workspace: Workspace, mlflow_database: Path
) -> None:
    uids = _record(stored_workspace, metrics=2)
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        assert ingest.identity.notice == ""
    for path in stored_workspace.state.glob("mlflow.db*"):
        path.unlink()
    # MLflow keeps its connections to the deleted file as long as its process lives.
    for engine in SqlAlchemyStore._engine_map.values():
        engine.dispose()
    (stored_workspace.state / "mlflow.db").write_bytes(mlflow_database.read_bytes())
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        _assert_complete(_content(ingest.store), uids)
        assert "delivered again" in ingest.identity.notice and "what MLflow alone had" in ingest.identity.notice


def test_a_parameter_that_was_repeated_has_the_values_it_had_when_it_is_delivered_again(
    stored_workspace: Workspace,
) -> None:
    recorder, long = Recorder(stored_workspace), "x" * 7000
    uid = recorder.start()
    for value in ("1", "1", "2"):
        recorder.put(Params(uid, {"a": value, "long": value + long}))
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        client = MlflowClient(ingest.store.uri)
        before = client.get_run(uid).data
        assert before.params["a"] == "1"
        invented = {name for name in before.tags if name.startswith("mlops.param.")}
        assert invented == {"mlops.param.a.2", "mlops.param.long.2"}
        with contextlib.closing(sqlite3.connect(ingest.log.path)) as connection, connection:
            connection.execute("DELETE FROM cursors")
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        after = client.get_run(uid).data
        assert (after.params, after.tags) == (before.params, before.tags)

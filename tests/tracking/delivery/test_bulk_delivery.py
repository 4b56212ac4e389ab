"""A batch is one transaction of MLflow's database, and what MLflow reads is what MLflow itself would have written."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities import Metric
from recorder import Recorder

from mlops_workbench.core.errors import Unavailable
from mlops_workbench.core.ids import new_id, now_ms
from mlops_workbench.core.records import Metrics, Params, Tags
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest, TrackingStore
from mlops_workbench.tracking.delivery.log import DeliveryLog
from mlops_workbench.tracking.mlflow.transaction import SqliteTransaction, SqliteWriter


class Stopped(BaseException):
    """Not an error that anything may handle: the process is gone."""


def _record(workspace: Workspace, runs: int = 6, steps: int = 50) -> list[str]:
    recorder = Recorder(workspace, segment_bytes=1 << 13)
    uids = []
    for number in range(runs):
        uid = recorder.start(f"run {number}")
        uids.append(uid)
        recorder.put(Params(uid, {"n": number}), Params(uid, {"n": number + 10}), Tags(uid, {"team": "a"}))
        for step in range(steps):
            recorder.put(Metrics(uid, 1000 + step, step, {"mae": step / 8, "odd": math.nan if step % 2 else math.inf}))
        recorder.end(uid)
    recorder.close()
    return uids


def _rows(workspace: Workspace) -> dict[str, list[tuple[object, ...]]]:
    with contextlib.closing(sqlite3.connect(workspace.state / "mlflow.db", timeout=20)) as connection:
        return {
            table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
            for table in ("runs", "params", "tags", "metrics", "latest_metrics")
        }


def _assert_once(workspace: Workspace, uids: list[str], steps: int = 50) -> None:
    rows = _rows(workspace)
    assert sorted(row[0] for row in rows["runs"]) == sorted(uids)
    assert len(rows["metrics"]) == len(uids) * steps * 2
    assert len(rows["latest_metrics"]) == len(uids) * 2
    assert len(rows["params"]) == len(uids)


STOPS = [
    (SqliteTransaction, "create_run"), (SqliteTransaction, "log_params"), (SqliteTransaction, "log_metrics"),
    (SqliteTransaction, "set_tags"), (SqliteTransaction, "end_run"), (DeliveryLog, "ack_run"),
    (DeliveryLog, "set_ended"), (DeliveryLog, "set_cursor"),
]  # fmt: skip


@pytest.mark.parametrize(("owner", "call"), STOPS)
@pytest.mark.parametrize("nth", [1, 4])
def test_a_stop_anywhere_in_a_batch_leaves_nothing_of_it_and_loses_nothing(
    owner: type, call: str, nth: int, stored_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    uids = _record(stored_workspace)
    original, calls = getattr(owner, call), []

    def stop(self: object, *args: object, **kwargs: object) -> object:
        result = original(self, *args, **kwargs)
        calls.append(1)
        if len(calls) == nth:
            raise Stopped
        return result

    with monkeypatch.context() as patch, Ingest(stored_workspace) as ingest:
        patch.setattr(owner, call, stop)
        with pytest.raises(Stopped):
            ingest.drain()
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        assert ingest.refused() == []
    _assert_once(stored_workspace, uids)


@pytest.mark.parametrize("committed", [True, False])
def test_a_stop_between_the_two_commits_doubles_nothing(
    committed: bool, stored_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow has the batch, its acknowledgement is lost; or neither is there."""
    uids = _record(stored_workspace)
    original = SqliteWriter.transaction

    @contextlib.contextmanager
    def stop(self: SqliteWriter) -> Iterator[SqliteTransaction]:
        with original(self) as opened:
            yield opened
            if not committed:
                raise Stopped
        raise Stopped

    with monkeypatch.context() as patch, Ingest(stored_workspace) as ingest:
        patch.setattr(SqliteWriter, "transaction", stop)
        with pytest.raises(Stopped):
            ingest.drain()
        assert all(not cursor.offset for cursor in ingest.log.cursors().values())
    assert bool(_rows(stored_workspace)["runs"]) == committed
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        assert ingest.refused() == []
    _assert_once(stored_workspace, uids)


_WORKER = """
import sys
from pathlib import Path
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest
ingest = Ingest(Workspace.open(Path(sys.argv[1])))
print("ready", flush=True)
while True:
    ingest.step()
"""


@pytest.mark.long
@pytest.mark.process
@pytest.mark.timeout(300)
def test_killed_in_the_middle_of_large_batches_everything_is_there_once(stored_workspace: Workspace) -> None:
    uids = _record(stored_workspace, runs=30, steps=1500)
    TrackingStore(stored_workspace).ping()
    wanted = 0
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(stored_workspace.root)], stdout=subprocess.PIPE
        ) as worker:
            assert worker.stdout is not None and worker.stdout.readline() == b"ready\n"
            deadline = time.monotonic() + 60
            # In the middle: something is there that was not, and not all of it.
            while _count(stored_workspace) <= wanted and time.monotonic() < deadline:
                time.sleep(0.01)
            os.kill(worker.pid, signal.SIGKILL)
        wanted = _count(stored_workspace)
    with Ingest(stored_workspace) as ingest:
        ingest.drain(timeout=120)
        assert ingest.refused() == []
    _assert_once(stored_workspace, uids, steps=1500)


def _count(workspace: Workspace) -> int:
    with contextlib.closing(sqlite3.connect(workspace.state / "mlflow.db", timeout=20)) as connection:
        return int(connection.execute("SELECT count(*) FROM metrics").fetchone()[0])


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path
) -> Iterator[tuple[TrackingStore, MlflowClient]]:
    workspace = Workspace.init(tmp_path_factory.mktemp("pair"))
    shutil.copyfile(mlflow_database, workspace.state / "mlflow.db")
    store = TrackingStore(workspace)
    store.ping()
    yield store, MlflowClient(store.uri, store.uri)


_VALUES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308]),
    st.floats(width=64),
)


@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from("abc"), _VALUES, st.integers(0, 3), st.integers(-2, 2)), min_size=1, max_size=12
        ),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_rows_are_those_that_mlflow_writes(
    pair: tuple[TrackingStore, MlflowClient], batches: list[list[tuple[str, float, int, int]]]
) -> None:
    """Any values, times and steps, in any order, some of them twice."""
    from mlops_workbench.tracking.mapping.metric_rows import metric_rows

    store, client = pair
    ours, theirs = new_id(), client.create_run("0").info.run_id
    records = [[Metrics(ours, at, step, {key: value}) for key, value, at, step in batch] for batch in batches]
    for batch in [*records, records[0]]:
        with store.transaction():
            store.create_run(ours, "0", "x", 1, {})
            store.log_metrics(ours, metric_rows(batch, {}))
    for batch in [*batches, batches[0]]:
        for key, value, at, step in batch:
            client.log_batch(theirs, [Metric(key, value, at, step)])
    path = store.workspace.state / "mlflow.db"
    with contextlib.closing(sqlite3.connect(path, timeout=20)) as connection:
        for table in ("metrics", "latest_metrics"):
            columns = "key, value, timestamp, step, is_nan"
            found = [
                sorted(connection.execute(f"SELECT {columns} FROM {table} WHERE run_uuid = ?", (run_id,)).fetchall())
                for run_id in (ours, theirs)
            ]
            assert found[0] == found[1]


def test_a_transaction_waits_for_other_writers_and_they_for_it(stored_workspace: Workspace) -> None:
    uids = _record(stored_workspace, runs=4, steps=400)
    store = TrackingStore(stored_workspace)
    client = MlflowClient(store.uri, store.uri)
    run_id = client.create_run("0").info.run_id
    stop, logged = threading.Event(), []

    def write() -> None:
        while not stop.is_set():
            client.log_metric(run_id, "theirs", 1.0, step=len(logged))
            logged.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with Ingest(stored_workspace) as ingest:
            ingest.drain(timeout=120)
            assert ingest.refused() == []
    finally:
        stop.set()
        writer.join()
    rows = _rows(stored_workspace)["metrics"]
    assert sum(row[0] == "theirs" for row in rows) == len(logged) > 0
    assert sum(row[0] != "theirs" for row in rows) == len(uids) * 800


def test_a_locked_database_delays_delivery_and_is_reported(
    stored_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops_workbench.tracking.mlflow.transaction._BUSY_SECONDS", 0.2)
    uids = _record(stored_workspace)
    with Ingest(stored_workspace) as ingest:
        ingest.store.ping()
        ingest.step()
        Recorder(stored_workspace).start("later")
        with contextlib.closing(sqlite3.connect(stored_workspace.state / "mlflow.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable, match="locked"):
                ingest.drain(timeout=1.5)
            assert "locked" in ingest.status().problem
            other.execute("ROLLBACK")
        ingest.drain()
        assert ingest.status().problem == ""
        assert len(_rows(stored_workspace)["runs"]) == len(uids) + 1


def test_a_refused_parameter_does_not_block_metrics(stored_workspace: Workspace) -> None:
    recorder = Recorder(stored_workspace)
    uid = recorder.start()
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        client = MlflowClient(ingest.store.uri, ingest.store.uri)
        # Somebody else has written another value under the same name.
        client.log_param(uid, "depth", "theirs")
        recorder.put(Params(uid, {"depth": 6, "rate": 0.5}), Metrics(uid, now_ms(), 0, {"mae": 1.0}))
        recorder.end(uid)
        ingest.drain()
        found = client.get_run(uid)
        assert found.data.params == {"depth": "theirs", "rate": "0.5"}
        assert found.data.tags["mlops.param.depth.2"] == "6"
        assert (found.data.metrics, found.info.status) == ({"mae": 1.0}, "FINISHED")


def test_two_workspaces_may_share_a_database(tmp_path: Path, mlflow_database: Path) -> None:
    database = tmp_path / "team.db"
    shutil.copyfile(mlflow_database, database)
    spaces = [
        Workspace.open(Workspace.init(tmp_path / name).root, {"tracking.uri": f"sqlite:///{database}"})
        for name in ("a", "b")
    ]
    uids = [uid for space in spaces for uid in _record(space, runs=4, steps=200)]
    threads = []
    for space in spaces:
        threads.append(threading.Thread(target=_drain, args=(space,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert {row[0] for row in connection.execute("SELECT run_uuid FROM runs")} == set(uids)
        assert connection.execute("SELECT count(*) FROM metrics").fetchone()[0] == 8 * 400


def _drain(workspace: Workspace) -> None:
    with Ingest(workspace) as ingest:
        ingest.drain(timeout=120)

"""Damaged, empty and deleted state files are recovered and named, and take nothing else down."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from recorder import Recorder
from sklearn.dummy import DummyRegressor

from mlops_workbench.client.bodies import DeployRequest, RegisterRequest
from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import read_address
from mlops_workbench.control.auth import read_or_make_token
from mlops_workbench.control.backups import KEPT, Backups
from mlops_workbench.control.database import Database
from mlops_workbench.control.tables import EndpointRow, MonitorRow
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.monitors import MonitorSpec
from mlops_workbench.core.records import Metrics
from mlops_workbench.core.workspace import Workspace

Harm = Callable[[Path], object]


def truncated(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2 - 100)


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    for place in range(0, len(content), 1000):
        content[place] ^= 0xFF
    file.write_bytes(content)


def overwritten(file: Path) -> None:
    file.write_bytes(b"no database at all " * 1000)


def emptied(file: Path) -> None:
    file.write_bytes(b"")


HARMS: list[Harm] = [truncated, flipped, overwritten, emptied, Path.unlink]


def fold(file: Path) -> None:
    """Move what is in the write-ahead log into the file."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_database_is_restored_with_the_last_change(tmp_path: Path, harm: Harm) -> None:
    file = tmp_path / "control.db"
    first = Database(f"sqlite:///{file}")
    for number in range(KEPT + 2):
        with first.change() as session:
            session.add(EndpointRow(name=f"e{number}", model="m@champion", version=1))
    first.close()
    fold(file)
    harm(file)
    second = Database(f"sqlite:///{file}")
    with second.session() as session:
        assert {row.name for row in session.query(EndpointRow)} == {f"e{number}" for number in range(KEPT + 2)}
    assert "restored from the copy of" in second.notice and not second.is_new
    second.close()
    assert len(list((tmp_path / "backups").iterdir())) == KEPT
    assert bool(list(tmp_path.glob("control.db.damaged-*"))) == (harm not in (emptied, Path.unlink))
    third = Database(f"sqlite:///{file}")
    assert third.notice == ""
    third.close()


def test_a_damaged_copy_is_passed_over_and_without_one_the_database_begins_again(tmp_path: Path) -> None:
    file = tmp_path / "control.db"
    first = Database(f"sqlite:///{file}")
    for name in ("a", "b"):
        with first.change() as session:
            session.add(EndpointRow(name=name, model="m@champion", version=1))
    first.close()
    copies = sorted((tmp_path / "backups").iterdir())
    overwritten(copies[-1])
    overwritten(file)
    second = Database(f"sqlite:///{file}")
    with second.session() as session:
        assert [row.name for row in session.query(EndpointRow)] == ["a"]
    second.close()
    for copy in (tmp_path / "backups").iterdir():
        copy.unlink()
    overwritten(file)
    third = Database(f"sqlite:///{file}")
    assert third.is_new and "there was no good copy" in third.notice
    third.close()


def test_a_damaged_database_is_not_copied_over_good_copies(tmp_path: Path) -> None:
    file = tmp_path / "control.db"
    database = Database(f"sqlite:///{file}")
    for number in range(3):
        with database.change() as session:
            session.add(EndpointRow(name=f"e{number}", model="m@champion", version=1))
    database.close()
    fold(file)
    backups, copies = Backups(file), Backups(file).copies()
    content = bytearray(file.read_bytes())
    content[4096 * 2 : 4096 * 3] = b"x" * 4096
    file.write_bytes(content)
    for _ in range(KEPT + 1):
        backups.make()
    assert backups.copies() == copies and list((tmp_path / "backups").glob("*.tmp")) == []


def test_what_is_computed_again_makes_no_copy(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'control.db'}")
    with database.change() as session:
        session.add(MonitorRow(endpoint="e", spec={"window": "day"}, windows=[], evaluated_ms=0))
    copies = sorted((tmp_path / "backups").iterdir())
    with database.change() as session:
        row = session.get(MonitorRow, "e")
        assert row is not None
        row.windows, row.evaluated_ms = [{"label": "x"}], 7
    assert sorted((tmp_path / "backups").iterdir()) == copies
    with database.change() as session:
        row = session.get(MonitorRow, "e")
        assert row is not None
        row.spec = {"window": "hour"}
    assert len(list((tmp_path / "backups").iterdir())) == len(copies) + 1
    database.close()


def kill(workspace: Workspace) -> None:
    address = read_address(workspace)
    assert address is not None
    os.kill(address.pid, signal.SIGKILL)
    address.process.stop(grace=0)


@pytest.fixture
def served(running: Client, workspace: Workspace) -> Iterator[Client]:
    """A control plane with a run, an endpoint and a monitor."""
    import pandas as pd

    recorder = Recorder(workspace)
    uid = recorder.start("mean")
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0]})
    recorder.model(uid, DummyRegressor().fit(frame, frame["x"]), frame)
    recorder.end(uid)
    running.register("sizes", RegisterRequest(uid, alias="champion"))
    running.deploy("sizes", DeployRequest("sizes@champion"), timeout=120)
    running.put_monitor(MonitorSpec("sizes", window="day", metric="mae", max_degradation=0.25))
    return running


@pytest.mark.process
@pytest.mark.timeout(300)
def test_a_lost_control_database_forgets_no_endpoint_and_no_monitor(served: Client, workspace: Workspace) -> None:
    before = served.endpoint("sizes")
    kill(workspace)
    file = workspace.state / "control.db"
    fold(file)
    overwritten(file)
    after = served.wait_endpoint("sizes", 1)
    assert (after.pid, after.model) == (before.pid, "sizes@champion")
    assert served.monitor("sizes").spec.max_degradation == 0.25
    [plane, *_] = served.status().processes
    assert "control.db was damaged and is restored" in plane.state

    # Nothing is left but the folders of the endpoints, which say what they are.
    kill(workspace)
    file.unlink()
    for copy in (workspace.state / "backups").iterdir():
        copy.unlink()
    after = served.wait_endpoint("sizes", 1)
    assert (after.pid, after.model, after.digest) == (before.pid, "sizes@champion", before.digest)
    assert "endpoints taken over, with new monitors: sizes" in served.status().processes[0].state


@pytest.mark.process
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "harm", [pytest.param(harm, marks=() if harm is truncated else pytest.mark.long) for harm in HARMS]
)
def test_a_lost_delivery_log_takes_nothing_down_and_doubles_nothing(
    running: Client, workspace: Workspace, harm: Harm
) -> None:
    recorder = Recorder(workspace)
    record(recorder, "first")
    delivered(running, "first")
    kill(workspace)
    file = workspace.journal / "delivery-local.db"
    fold(file)
    harm(file)
    record(recorder, "second")
    delivered(running, "second")
    client = MlflowClient(workspace.tracking_uri)
    found = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert sorted(run.info.run_name for run in found) == ["first", "second"]
    for run in found:
        assert len(client.get_metric_history(run.info.run_id, "loss")) == 1


def record(recorder: Recorder, name: str) -> None:
    uid = recorder.start(name)
    recorder.put(Metrics(uid, now_ms(), 0, {"loss": 0.5}))
    recorder.end(uid)


def delivered(client: Client, name: str) -> None:
    deadline = time.monotonic() + 120
    while not any(run.run_id for run in client.runs() if run.name == name):
        assert time.monotonic() < deadline, f"{name} is not delivered"
        time.sleep(0.1)


@pytest.mark.parametrize("content", [b"", b"short", b"\x00" * 50, b"not ascii: \xff\xfe and long enough", None])
def test_a_token_file_without_a_token_lets_nobody_in_and_is_replaced(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "run" / "token"
    first = read_or_make_token(path)
    assert read_or_make_token(path) == first
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    token = read_or_make_token(path)
    assert len(token) > 40 and token != first
    assert path.read_text() == token and path.stat().st_mode & 0o077 == 0
    assert len(list(path.parent.iterdir())) == 2, "the old file is kept"

"""Of the control planes that use one database, one changes it; the others stand by, say so, and take over."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from postgresql import LONG_WITH_POSTGRESQL
from sqlalchemy import create_engine, text

from mlops_workbench.client.bodies import DeployRequest
from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import read_address
from mlops_workbench.control.database import Database
from mlops_workbench.control.tables import EndpointRow, MonitorRow, PipelineRunRow
from mlops_workbench.core.errors import Unavailable
from mlops_workbench.core.workspace import Workspace


def add(database: Database, name: str) -> None:
    with database.change() as session:
        session.add(EndpointRow(name=name, model="m@champion", version=1))


def test_the_second_changes_nothing_until_the_first_is_gone(database_url: str) -> None:
    first, second = Database(database_url), Database(database_url)
    assert (first.leads(), second.leads(), first.leads()) == (True, False, True)
    add(first, "a")
    with pytest.raises(Unavailable, match="stands by") as refused:
        add(second, "b")
    assert f"process {os.getpid()}" in str(refused.value)
    with second.session() as session:
        assert session.get(EndpointRow, "a") is not None
    first.close()
    deadline = time.monotonic() + 30
    while not second.leads():
        assert time.monotonic() < deadline
    add(second, "b")
    second.close()


def test_who_loses_the_connection_to_the_server_loses_the_lead(database_url: str) -> None:
    if not database_url.startswith("postgresql"):
        pytest.skip("an SQLite file has no server")
    first, second = Database(database_url), Database(database_url)
    engine = create_engine(database_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        own = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'mlops: %'"
        connection.execute(text(own))
    engine.dispose()
    deadline = time.monotonic() + 30
    while not second.leads():
        assert time.monotonic() < deadline
    with pytest.raises(Unavailable):
        add(first, "a")
    second.close()
    # The server frees the lock a moment after the connection is closed.
    deadline = time.monotonic() + 30
    while not first.leads():
        assert time.monotonic() < deadline
    add(first, "a")
    first.close()


def test_every_database_keeps_what_others_determine(database_url: str) -> None:
    database = Database(database_url)
    odd = "a\x00b\ud800c \N{GRINNING FACE} " + "x" * 5000
    window = {"value": float("nan"), "limit": float("-inf"), "sizes": [float("inf"), 1.5], odd: odd}
    with database.change() as session:
        session.add(PipelineRunRow(id="1" * 32, publish="failed", published=odd, message=odd))
        session.add(EndpointRow(name="e", model=odd, version=1))
        session.add(PipelineRunRow(id="a copy of the folder of a run", publish="x" * 100))
        session.add(MonitorRow(endpoint="e", spec={}, windows=[window], evaluated_ms=0))
    database.close()
    database = Database(database_url)
    kept = odd.replace("\x00", "\N{REPLACEMENT CHARACTER}").replace("\ud800", "\N{REPLACEMENT CHARACTER}")
    with database.session() as session:
        run, endpoint, monitor = (
            session.get(PipelineRunRow, "1" * 32), session.get(EndpointRow, "e"), session.get(MonitorRow, "e")
        )  # fmt: skip
        assert run is not None and endpoint is not None and monitor is not None
        assert (run.message, run.published, endpoint.model) == (kept, kept, kept)
        text = odd.replace("\ud800", "\\ud800")
        assert monitor.windows == [{"value": "NaN", "limit": "-Infinity", "sizes": ["Infinity", 1.5], text: text}]
    database.close()


@LONG_WITH_POSTGRESQL
@pytest.mark.process
@pytest.mark.timeout(300)
def test_a_second_control_plane_stands_by_says_so_and_takes_over(
    database_url: str, workspace: Workspace, tmp_path: Path, stopped: Callable[[Workspace], None]
) -> None:
    (tmp_path / "other").mkdir()
    other = Workspace.init(tmp_path / "other")
    stopped(other)
    stopped(workspace)
    with Client.connect(workspace) as first, Client.connect(other) as second:
        leader = read_address(workspace)
        assert leader is not None
        assert first.status().processes[0].state == "running"
        state = second.status().processes[0].state
        assert f"stands by: process {leader.process.pid} on" in state
        with pytest.raises(Unavailable, match="stands by") as refused:
            second.deploy("e", DeployRequest("m@champion"), timeout=0)
        assert str(leader.process.pid) in str(refused.value)
        assert second.endpoints() == []
        assert second.runs() == []

        os.kill(leader.process.pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while second.status().processes[0].state != "running":
            assert time.monotonic() < deadline
            time.sleep(0.2)

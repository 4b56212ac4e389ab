"""A control plane that is killed at any moment loses no start and makes none twice."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import nbformat
import pytest
from conftest import stop

from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import read_address
from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.schedules import Occasion
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process


@pytest.fixture
def watched(stored_workspace: Workspace) -> Iterator[Path]:
    """A file that a pipeline watches, which takes the file's number as its result."""
    file = stored_workspace.root / "number.txt"
    file.write_text("0")
    folder = stored_workspace.pipeline_specs
    folder.mkdir()
    cell = nbformat.v4.new_code_cell("print(open('../number.txt').read())")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / "a.ipynb")
    (folder / "p.yaml").write_text(
        "version: 2\nstages:\n  a: {notebook: a.ipynb}\non:\n  change: ../number.txt\n"
        "  webhook: {secret: HOOK}\nmax_active: 1\n"
    )
    yield file
    stop(stored_workspace)


def until(workspace: Workspace, found: Callable[[Client], bool]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with Client.connect(workspace) as client:
                if found(client):
                    return
        except WorkbenchError:
            pass  # it ends, or starts
        time.sleep(0.1)
    raise AssertionError("it did not happen")


def kill(workspace: Workspace) -> None:
    address = read_address(workspace)
    assert address is not None
    os.kill(address.pid, signal.SIGKILL)
    while address.process.alive():
        time.sleep(0.02)


@pytest.mark.long
def test_a_kill_between_a_change_and_its_run_loses_and_doubles_nothing(
    stored_workspace: Workspace, watched: Path
) -> None:
    seed = random.randrange(10**9)
    print("seed", seed)
    random.seed(seed)

    def occasions(client: Client) -> list[Occasion]:
        return client.occasions("p")

    until(stored_workspace, lambda client: bool(client.schedules()) and has_looked(stored_workspace))
    for number in range(1, 5):
        watched.write_text(str(number))
        # From before the change is noticed to after its run was started.
        time.sleep(random.uniform(0.5, 5.0))
        kill(stored_workspace)
        until(stored_workspace, lambda client, n=number: len(occasions(client)) >= n and settled(client))
    with Client.connect(stored_workspace) as client:
        found, runs = occasions(client), client.pipeline_runs()
    assert [occasion.state for occasion in found] == ["started"] * 4
    # Each once; a run whose process was never started, as the kill came before, has no stage that ran.
    ran = [run for run in runs if run.state == "succeeded"]
    assert sorted(run.reason for run in ran) == sorted(occasion.reason for occasion in found)
    assert {occasion.run for occasion in found} == {run.id for run in ran}


def has_looked(workspace: Workspace) -> bool:
    """Whether the file as it is now is known."""
    with closing(sqlite3.connect(workspace.state / "control.db")) as connection:
        return bool(connection.execute("SELECT 1 FROM triggers WHERE kind = 'change' AND seen IS NOT NULL").fetchall())


def settled(client: Client) -> bool:
    return all(o.state == "started" for o in client.occasions("p")) and not any(
        run.active for run in client.pipeline_runs()
    )

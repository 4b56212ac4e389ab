"""On a full disk, every command says what is the matter, where, and how to mend it."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from recorder import Recorder
from small_disk import mounted
from sqlalchemy.exc import OperationalError

from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import read_address
from mlops_workbench.core.errors import StorageError, WorkbenchError
from mlops_workbench.core.files import disk_error, write_atomic
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Metrics, Params
from mlops_workbench.core.workspace import Workspace

COMMANDS = (
    ("runs",), ("runs", "-e", "flights", "--json"), ("show", "boosted"), ("compare",), ("experiment",), ("models",),
    ("register", "boosted", "--as", "taxi"), ("deploy", "taxi"), ("endpoints",), ("pipeline",),
    ("pipeline", "run", "daily"), ("monitor",), ("alerts",), ("status",), ("data", "list", "boosted"), ("up",),
)  # fmt: skip
WRITE = {("register", "boosted", "--as", "taxi"), ("pipeline", "run", "daily")}
#: The run may have been read into the index in the moment in which a database gave the space of its log back.
READ = {("show", "boosted"), ("data", "list", "boosted")}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", megabytes=24) as folder:
        yield folder


def mlops(workspace: Workspace, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlops_workbench.cli", *words], cwd=workspace.root, capture_output=True, text=True,
        check=False, timeout=170,
    )  # fmt: skip


def fill(folder: Path) -> Path:
    """Take all space of a file system that is free."""
    ballast = folder / "ballast"
    with open(ballast, "ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError as error:
                assert error.errno == errno.ENOSPC
    return ballast


def is_clear(done: subprocess.CompletedProcess[str], folder: Path) -> bool:
    said = done.stdout + done.stderr
    assert "Traceback" not in said and "defect" not in said, said
    if done.returncode == 0 or "no registered model" in said or "no endpoint" in said:
        # It needs no space, or would be refused with space too.
        return False
    assert "is full" in said or "No space left" in said, said
    assert "[SQL" not in said, said
    assert str(folder) in said and "hint:" in said, said
    return True


def record(workspace: Workspace, name: str) -> None:
    recorder = Recorder(workspace)
    uid = recorder.start(name, "flights")
    recorder.put(Params(uid, {"depth": 3}), *(Metrics(uid, now_ms(), step, {"mae": 1.0}) for step in range(2000)))
    recorder.end(uid)
    recorder.close()


@pytest.mark.process
def test_commands_on_a_full_disk_say_so_and_work_again_with_space(small_disk: Path) -> None:
    workspace = Workspace.init(small_disk / "work")
    try:
        record(workspace, "early")
        with Client.connect(workspace) as client:
            deadline = time.monotonic() + 120
            while client.status().ingest.backlog_bytes and time.monotonic() < deadline:
                time.sleep(0.1)
        workspace.pipeline_specs.mkdir()
        cell = nbformat.v4.new_code_cell("1 + 1")
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), workspace.pipeline_specs / "one.ipynb")
        (workspace.pipeline_specs / "daily.yaml").write_text("version: 1\nstages: {one: {notebook: one.ipynb}}\n")
        # What comes in is to be read into the index by the commands.
        record(workspace, "boosted")
        ballast = fill(small_disk)
        done = mlops(workspace, "runs")
        assert done.returncode == 0 and "early" in done.stdout, "what was read before is shown"
        refused = set()
        for words in COMMANDS:
            fill(small_disk)  # a database that is closed gives the space of its log back
            if is_clear(mlops(workspace, *words), small_disk):
                refused.add(words)
        # What needs space, or the run that could not be read for lack of it.
        assert WRITE <= refused <= WRITE | READ
        ballast.unlink()
        done = mlops(workspace, "runs")
        assert done.returncode == 0 and "boosted" in done.stdout, done.stderr
    finally:
        address = read_address(workspace)
        if address is not None:
            address.process.stop(grace=20)


@pytest.mark.process
def test_a_control_plane_that_cannot_start_on_a_full_disk_says_so(small_disk: Path) -> None:
    workspace = Workspace.init(small_disk / "work")
    fill(small_disk)
    assert is_clear(mlops(workspace, "runs"), small_disk)
    assert is_clear(mlops(workspace, "up"), small_disk)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_each_failure_of_the_disk_has_its_words_and_its_remedy(number: int, tmp_path: Path) -> None:
    cause = OSError(number, os.strerror(number), str(tmp_path / "index.db"))
    wrapped = RuntimeError("x")
    wrapped.__cause__ = cause
    for error in (cause, wrapped):
        found = disk_error(error, tmp_path)
        assert found is not None and found.where == str(tmp_path / "index.db") and found.hint
    assert disk_error(OSError(errno.ECONNREFUSED, "refused"), tmp_path) is None
    assert disk_error(ValueError("database or disk is full"), tmp_path) is None


@pytest.mark.parametrize(
    "words", ["database or disk is full", "attempt to write a readonly database", "unable to open database file"]
)
def test_databases_name_the_disk_too(words: str, tmp_path: Path) -> None:
    driver = sqlite3.OperationalError(words)
    for error in (driver, OperationalError("SELECT 1", {}, driver)):
        found = disk_error(error, tmp_path)
        assert found is not None and found.where == str(tmp_path) and found.hint
    assert disk_error(sqlite3.OperationalError("no such table: runs"), tmp_path) is None


def test_a_file_that_cannot_be_written_has_the_remedy_of_its_cause(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(StorageError) as raised:
        write_atomic(tmp_path / "folder" / "x", b"")
    assert raised.value.hint and isinstance(raised.value, WorkbenchError)

"""Schedules are set, listed, paused and explained from a shell and a notebook alike."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import read_address
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process


@pytest.fixture
def home(workspace: Workspace) -> Iterator[Workspace]:
    """A workspace with a notebook and a pipeline."""
    cells = [
        nbformat.v4.new_code_cell("x: int = 1", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("print(x)"),
    ]
    for folder in (workspace.root / "reports", workspace.pipeline_specs):
        folder.mkdir()
        nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "weekly.ipynb")
    spec = "version: 2\nstages:\n  a: {notebook: weekly.ipynb}  # the only one\n"
    (workspace.pipeline_specs / "train.yaml").write_text(spec)
    yield workspace
    address = read_address(workspace)
    if address is not None:
        address.process.stop(grace=20)


def mlops(workspace: Workspace, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "mlops_workbench.cli", *words], cwd=workspace.root, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_schedules_of_notebooks_and_pipelines(home: Workspace) -> None:
    file = home.root / "schedules.yaml"
    code, text = mlops(home, "schedule", "reports/weekly.ipynb", "0 6 * * 1", "--tz", "Europe/Berlin", "-p", "x=5")
    assert code == 0 and text.count("Mon ") == 3 and "06:00 CE" in text
    assert 'notebook: "reports/weekly.ipynb"' in file.read_text() and "params: {x: 5}" in file.read_text()
    code, text = mlops(home, "schedule", "train", "30 2 * * *", "--catchup", "once")
    assert code == 0 and "# the only one" in (home.pipeline_specs / "train.yaml").read_text()
    with Client.connect(home) as client:
        while len(client.schedules()) < 2:
            time.sleep(0.1)
    code, text = mlops(home, "schedules")
    assert code == 0 and "0 6 * * 1 Europe/Berlin" in text and "30 2 * * * UTC" in text
    assert mlops(home, "schedules", "pause", "weekly")[0] == 0
    assert "paused" in mlops(home, "schedules")[1]
    assert "starts by itself again" in mlops(home, "schedules", "resume", "weekly")[1]
    assert "nothing has happened to train yet" in mlops(home, "schedules", "why", "train")[1]
    before = file.read_text()
    for words in (
        ("schedule", "reports/weekly.ipynb", "0 6 * * 1", "-p", "x=five"),
        ("schedule", "reports/weekly.ipynb", "0 6 * *"),
        ("schedule", "reports/weekly.ipynb", "0 6 * * 1", "--tz", "Europe/Berlinn"),
        ("schedule", "reports/none.ipynb", "0 6 * * 1"),
        ("schedule", "reports/weekly.ipynb", "0 6 * * 1", "--name", "train"),
        ("schedule", "train", "0 6 * * 1", "-p", "x=1"),
        ("schedule", "train"),
        ("schedules", "why", "weekley"),
    ):
        code, text = mlops(home, *words)
        assert code in (1, 2) and text.startswith("mlops: "), (words, text)
    assert file.read_text() == before
    assert mlops(home, "schedule", "reports/weekly.ipynb", "--remove")[0] == 0
    assert mlops(home, "schedule", "train", "--remove")[0] == 0
    assert "\non:" not in (home.pipeline_specs / "train.yaml").read_text() and "weekly" not in file.read_text()


def test_a_notebook_outside_of_the_workspace_is_refused(home: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "outside.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), outside)
    code, text = mlops(home, "schedule", str(outside), "0 6 * * 1")
    assert code != 0 and "outside the workspace" in text

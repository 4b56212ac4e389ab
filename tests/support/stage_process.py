"""The process of one attempt at a stage, run to its end."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.notebooks.document import code_cells, write_notebook
from mlops_workbench.pipelines.runs.events import AttemptEnded, CellEnded, read_stage_events
from mlops_workbench.pipelines.runs.folder import write_struct
from mlops_workbench.pipelines.runs.requests import StageJob, StageRequest


@dataclass
class Attempt:
    """What an attempt left behind.

    Attributes
    ----------
    ended : AttemptEnded
        Its result.
    cells : list of str
        How the cells that ran ended.
    executed : NotebookNode
        The executed notebook.
    log : str
        Output of the process.
    """

    folder: Path
    ended: AttemptEnded
    cells: list[str]
    executed: nbformat.NotebookNode
    log: str

    @property
    def states(self) -> list[str]:
        """States of the code cells."""
        return [cell.metadata.papermill["status"] for cell in self.executed.cells if cell.cell_type == "code"]

    def output(self, cell: int) -> str:
        """What a code cell printed and showed, as text."""
        found = [one for one in self.executed.cells if one.cell_type == "code"][cell]
        return "".join(
            output.get("text") or output.get("data", {}).get("text/plain", "") or "\n".join(output.get("traceback", []))
            for output in found.outputs
        )


def start_stage(
    workspace: Workspace, notebook: nbformat.NotebookNode, environment: dict[str, str] | None = None, **request: Any
) -> tuple[subprocess.Popen[bytes], Path]:
    """Start the process of an attempt; its folder."""
    folder = workspace.state / "attempt of a test"
    folder.mkdir(parents=True, exist_ok=True)
    write_notebook(notebook, folder / "notebook.ipynb")
    runner = ProcessIdentity.of()
    assert runner is not None
    stage = StageRequest(
        **{
            "name": "only", "stage": "only", "notebook": "only.ipynb", "source": str(workspace.root / "only.ipynb"),
            "injected": len(notebook.cells), "cells": sum(1 for _ in code_cells(notebook)), **request,
        }
    )  # fmt: skip
    files = (str(folder / name) for name in ("notebook.ipynb", "executed.ipynb", "events.jsonl"))
    write_struct(folder / "stage.json", StageJob(stage, *files, runner.pid, runner.started))
    with open(folder / "process.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mlops_workbench.pipelines.stages.stage", str(folder / "stage.json")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={
                **os.environ,
                "MLOPS_WORKSPACE": str(workspace.root),
                "MLOPS_RUN_UID": "01a0000000000000000000000000cafe",
                "MLOPS_EXPERIMENT": "tests",
                **(environment or {}),
            },
        )
    return process, folder


def run_stage(
    workspace: Workspace, notebook: nbformat.NotebookNode, environment: dict[str, str] | None = None, **request: Any
) -> Attempt:
    """Run an attempt to its end."""
    process, folder = start_stage(workspace, notebook, environment, **request)
    process.wait(timeout=170)
    return attempt_in(folder)


def attempt_in(folder: Path) -> Attempt:
    """What is in the folder of an attempt."""
    events = read_stage_events(folder / "events.jsonl")
    executed = folder / "executed.ipynb"
    return Attempt(
        folder,
        next(event for event in events if isinstance(event, AttemptEnded)),
        [event.status for event in events if isinstance(event, CellEnded)],
        nbformat.read(executed, as_version=4) if executed.exists() else nbformat.v4.new_notebook(),
        (folder / "process.log").read_text(errors="replace"),
    )

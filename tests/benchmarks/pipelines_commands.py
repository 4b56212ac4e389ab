"""Commands of the benchmarks of pipelines: a workspace, a notebook, and the time of a command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

_BIN = Path(sys.executable).parent
_LONGEST = 900


@contextmanager
def workspace(settings: str = "") -> Iterator[Path]:
    """A fresh workspace; its control plane is stopped afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-pipelines-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        (root / "workbench.toml").write_text(settings)
        try:
            yield root
        finally:
            command(root, "mlops", "down")


def write_notebook(path: Path, sources: Sequence[str], parameters: str = "") -> None:
    """Write a notebook of code cells, the first one tagged as its parameters if given."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    if parameters:
        cells.insert(0, nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)


def command(root: Path, *words: str) -> tuple[float, str]:
    """Run a program of this environment in a folder; return its seconds and what it printed.

    Raises
    ------
    RuntimeError
        It failed.
    """
    environment = {**os.environ, "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}"}
    program = str(_BIN / words[0])
    begun = time.perf_counter()
    done = subprocess.run(
        [program, *words[1:]], cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=_LONGEST
    )
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return seconds, done.stdout


def check_complete(path: Path, cells: int) -> None:
    """Raise an error unless a notebook has the outputs of this number of executed cells."""
    notebook = nbformat.read(path, as_version=4)
    executed = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.execution_count]
    lacking = [cell for cell in executed if not cell.outputs]
    if len(executed) != cells or lacking:
        raise RuntimeError(f"{path}: {len(executed)} of {cells} cells were executed, {len(lacking)} without output")


def check_succeeded(run: dict[str, Any]) -> None:
    """Raise an error unless a run of the workbench has succeeded and is on record."""
    if run["state"] != "succeeded" or not run["run_uid"]:
        raise RuntimeError(f"the run did not succeed: {json.dumps(run)}")

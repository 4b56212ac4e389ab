"""Every snippet that a page shows runs as it is shown, one after the other, in a fresh workspace."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process

SOURCES = Path(__file__).parents[1] / "labextension" / "src"
SNIPPETS = json.loads((SOURCES / "snippets.json").read_text(encoding="utf-8"))
#: What pages put in place of the names in braces.
VALUES = {
    "model": "my-model",
    "version": "1",
    "endpoint": "my-model",
    "notebook": "'my notebook.ipynb'",
    "pipeline": "my-pipeline",
}


@pytest.mark.timeout(400)
def test_snippets_run_as_they_are_shown(tmp_path: Path) -> None:
    Workspace.init(tmp_path)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(1)")])
    nbformat.write(notebook, tmp_path / "my notebook.ipynb")
    cells = [
        re.sub(r"\{(\w+)\}", lambda found: VALUES.get(found[1], found[0]), cell)
        for one in SNIPPETS.values()
        for cell in one["cells"]
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(
        notebook, timeout=180, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    try:
        client.execute()
    finally:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("MLOPS_")}
        down = [sys.executable, "-m", "mlops_workbench.cli", "down"]
        subprocess.run(down, cwd=tmp_path, env=environ, check=False, capture_output=True, timeout=120)
    said = json.dumps(notebook.cells)
    for part in ("registered my-model/1", "deployed my-model", "my-pipeline"):
        assert part in said


def test_pages_show_no_code_of_their_own() -> None:
    for path in SOURCES.rglob("*.tsx"):
        if "__tests__" not in path.parts:
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"(code|cells)=\{?[\"'`]", text), path
            # Names of commands stand in sentences, and not in code to copy.
            assert not re.search(r"[`'\"]%mlops ", text), path

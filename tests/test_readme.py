"""The README's tour works as it is written: every cell, then every shell block, in a fresh workspace."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
TOUR = TEXT[TEXT.index("## A five-minute tour") : TEXT.index("## What is captured")]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TOUR, flags=re.DOTALL)


@pytest.mark.timeout(400)
def test_the_tour_works_as_written(tmp_path: Path) -> None:
    tour = tmp_path / "build" / "tour"
    tour.mkdir(parents=True)
    binaries = Path(sys.executable).parent
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MLOPS_")}
    environ["PATH"] = f"{binaries}{os.pathsep}{environ['PATH']}"
    subprocess.run(["mlops", "init", str(tour)], check=True, env=environ, capture_output=True)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(block) for block in blocks("python")])
    assert len(notebook.cells) >= 12
    try:
        NotebookClient(
            notebook, timeout=180, kernel_name="python3", resources={"metadata": {"path": str(tour)}}
        ).execute()
        texts = ["".join(_text(output) for output in cell.outputs) for cell in notebook.cells]
        said = "\n".join(texts)
        for part in ("run forest", "registered wine/1", "deployed wine", "5 predictions of wine", "registered wine/2"):
            assert part in said, said
        assert "rolled back wine" in said
        assert "accuracy" in texts[-1]
        # What the shell blocks need beside the endpoint is curl and python; the first block is make's.
        shell = next(block for block in blocks("bash") if "curl" in block).replace("cd build/tour\n", "")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", shell.replace("$PWD/../../.venv/bin", str(binaries))],
            cwd=tour, env=environ, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert '"name":"wine"' in done.stdout.replace(" ", ""), done.stderr
        assert "# HELP" in done.stdout
    finally:
        subprocess.run(["mlops", "down"], cwd=tour, env=environ, check=False, capture_output=True, timeout=120)


def test_what_the_readme_names_exists() -> None:
    for path in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / path).exists(), path
    targets = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z]+)", TEXT)):
        assert re.search(rf"^{target}:", targets, flags=re.MULTILINE), target


def _text(output: nbformat.NotebookNode) -> str:
    if output.output_type == "stream":
        return str(output.text)
    return str(output.get("data", {}).get("text/plain", ""))

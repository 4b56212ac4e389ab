"""Notebooks for tests, written as code."""

from __future__ import annotations

from pathlib import Path

import nbformat


def notebook(*sources: str, parameters: str = "") -> nbformat.NotebookNode:
    """A notebook of code cells; the first holds the parameters, if any."""
    cells = [nbformat.v4.new_markdown_cell("# A notebook of the tests")]
    if parameters:
        cells.append(nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    cells += [nbformat.v4.new_code_cell(source) for source in sources]
    kernelspec = {"name": "python3", "language": "python", "display_name": "Python 3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec})


def write(path: Path, *sources: str, parameters: str = "") -> Path:
    """Write such a notebook to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook(*sources, parameters=parameters), path)
    return path

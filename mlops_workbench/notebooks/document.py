"""Read and write notebooks; a write is atomic."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.core.errors import InvalidInput, NotFound, StorageError
from mlops_workbench.core.files import write_atomic

if TYPE_CHECKING:
    from nbformat import NotebookNode

#: Endings of notebooks that are text, which jupytext reads.
TEXT_ENDINGS = (".py", ".md", ".markdown", ".rmd", ".qmd")

PARAMETERS_TAG = "parameters"
INJECTED_TAG = "injected-parameters"

_CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")

# nbformat takes 0.3 to 2 seconds to import, so functions import it and processes that open no notebook do not.


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook of any format version, upgraded to version 4 in memory.

    Scripts with cells (``# %%``) and Markdown with code are read by jupytext, which the extra ``text`` installs. What
    Jupyter reads in spite of the format, such as cells without an id or with that of another one, is
    mended in memory.

    Raises
    ------
    NotFound
        The file does not exist.
    InvalidInput
        The file is not a valid notebook.
    StorageError
        The file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise NotFound(f"there is no notebook {path.name}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path.name} is not UTF-8 text: {error.reason}", where=str(path)) from error
    except OSError as error:
        raise StorageError(f"cannot read {path.name}: {error.strerror or error}", where=str(path)) from error
    if path.suffix.lower() in TEXT_ENDINGS:
        return _parse_text(text, path)
    return parse_notebook(text, where=str(path))


def parse_notebook(text: str, *, where: str | None = None) -> NotebookNode:
    """Parse the JSON text of a notebook; see `read_notebook`."""
    from mlops_workbench.notebooks.format import nbformat

    hint = "open it in JupyterLab and save it again, or restore it from version control"
    try:
        notebook: NotebookNode = nbformat.convert(nbformat.reader.reads(text), 4)  # type: ignore[no-untyped-call]
        _mend(notebook)
        nbformat.validate(notebook, relax_add_props=True)
    except nbformat.reader.NotJSONError as error:
        raise InvalidInput("not a notebook: the file is not valid JSON", where=where, hint=hint) from error
    except nbformat.ValidationError as error:
        raise InvalidInput(f"not a valid notebook: {error.message}", where=where, hint=hint) from error
    except RecursionError as error:
        raise InvalidInput("not a notebook: it is nested too deeply", where=where, hint=hint) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # nbformat fails in various ways to upgrade JSON that is not a notebook.
        raise InvalidInput(f"not a notebook: {error!r}", where=where, hint=hint) from error
    return notebook


def _mend(notebook: NotebookNode) -> None:
    """Give a notebook what the format demands and Jupyter does not miss."""
    spec = notebook.metadata.get("kernelspec")
    if isinstance(spec, dict):
        if not isinstance(spec.get("name"), str):
            language = notebook.metadata.pop("kernelspec").get("language")
            if isinstance(language, str):
                notebook.metadata.setdefault("language_info", {"name": language})
        else:
            spec.setdefault("display_name", spec["name"])
    with_ids = (notebook.nbformat, notebook.get("nbformat_minor", 0)) >= (4, 5)
    known: set[str] = set()
    for number, cell in enumerate(notebook.cells):
        cell.setdefault("metadata", {})
        if isinstance(tags := cell.metadata.get("tags"), str):
            cell.metadata["tags"] = [tags]
        if cell.cell_type == "code":
            cell.setdefault("outputs", [])
            cell.setdefault("execution_count", None)
        cell_id = cell.pop("id", None)
        if with_ids:
            valid = isinstance(cell_id, str) and _CELL_ID.fullmatch(cell_id) is not None and cell_id not in known
            cell["id"] = cell_id if valid else f"cell-{number}-{len(known)}"
            known.add(cell["id"])


def _parse_text(text: str, path: Path) -> NotebookNode:
    """Parse a script or Markdown as a notebook."""
    try:
        import jupytext
    except ImportError as error:
        raise InvalidInput(
            f"{path.name} is a notebook as text, which jupytext reads; it is not installed",
            where=str(path),
            hint="pip install mlops-workbench[text]",
        ) from error
    try:
        notebook: NotebookNode = jupytext.reads(text, fmt={"extension": path.suffix})
    except Exception as error:  # jupytext's readers and the programs that they call fail in many ways
        raise InvalidInput(
            f"{path.name} is not a notebook that jupytext can read: {str(error).strip().partition(chr(10))[0]}",
            where=str(path),
            hint="see jupytext's documentation for the formats of text notebooks",
        ) from error
    # A copy of the notebook is not paired with the file.
    notebook.metadata.pop("jupytext", None)
    _mend(notebook)
    return notebook


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook atomically: readers get the old content or the new one.

    Raises
    ------
    StorageError
        The folder cannot be written.
    """
    from mlops_workbench.notebooks.format import nbformat

    text: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    write_atomic(path, text if text.endswith("\n") else text + "\n")


def cell_tags(cell: Any) -> list[str]:
    """Return the tags of a cell."""
    tags = cell.metadata.get("tags", [])
    return [str(tag) for tag in tags] if isinstance(tags, list) else []


def tagged_cell(notebook: NotebookNode, tag: str) -> int | None:
    """Return the index of the first cell with a tag, or None."""
    return next((index for index, cell in enumerate(notebook.cells) if tag in cell_tags(cell)), None)


def code_cells(notebook: NotebookNode) -> Iterator[tuple[int, str]]:
    """Yield index and source of each code cell that is not blank."""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.source.strip():
            yield index, cell.source


def language(notebook: NotebookNode) -> str:
    """Return the language of the notebook's kernel in lower case; ``python`` by default."""
    metadata = notebook.metadata
    name = metadata.get("kernelspec", {}).get("language") or metadata.get("language_info", {}).get("name")
    return str(name).lower() if name else "python"


def kernel_name(notebook: NotebookNode) -> str:
    """Return the name of the notebook's kernel; ``python3`` by default."""
    return str(notebook.metadata.get("kernelspec", {}).get("name") or "python3")

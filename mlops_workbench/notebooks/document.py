"""Notebooks on disk: read with a clear error, written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.core.errors import InvalidInput, NotFound, StorageError
from mlops_workbench.core.files import write_atomic

if TYPE_CHECKING:
    from nbformat import NotebookNode

PARAMETERS_TAG = "parameters"
INJECTED_TAG = "injected-parameters"

# nbformat takes 0.3 to 2 seconds to import, which a process that never opens a notebook should not pay:
# hence the imports inside the functions.


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook of any format version, upgraded to version 4 in memory.

    Raises
    ------
    NotFound
        There is no such file.
    InvalidInput
        The file is not a notebook; the message says what is broken.
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
    return parse_notebook(text, where=str(path))


def parse_notebook(text: str, *, where: str | None = None) -> NotebookNode:
    """The notebook in a JSON text; see `read_notebook`."""
    import nbformat

    hint = "open it in JupyterLab and save it again, or restore it from version control"
    try:
        notebook: NotebookNode = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
        nbformat.validate(notebook)
    except nbformat.reader.NotJSONError as error:
        raise InvalidInput("not a notebook: the file is not valid JSON", where=where, hint=hint) from error
    except nbformat.ValidationError as error:
        raise InvalidInput(f"not a valid notebook: {error.message}", where=where, hint=hint) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # The upgrade of a document that is JSON but no notebook fails in whatever line meets it first.
        raise InvalidInput(f"not a notebook: {error!r}", where=where, hint=hint) from error
    return notebook


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook so that a reader sees the old content or the new one.

    Raises
    ------
    StorageError
        The folder cannot be written.
    """
    import nbformat

    text: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    write_atomic(path, text if text.endswith("\n") else text + "\n")


def cell_tags(cell: Any) -> list[str]:
    """Tags of a cell."""
    tags = cell.metadata.get("tags", [])
    return [str(tag) for tag in tags] if isinstance(tags, list) else []


def tagged_cell(notebook: NotebookNode, tag: str) -> int | None:
    """Index of the first cell with a tag."""
    return next((index for index, cell in enumerate(notebook.cells) if tag in cell_tags(cell)), None)


def code_cells(notebook: NotebookNode) -> Iterator[tuple[int, str]]:
    """Index and source of the code cells that a kernel would be sent."""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.source.strip():
            yield index, cell.source


def language(notebook: NotebookNode) -> str:
    """Language of the notebook's kernel in lower case; ``python`` when it does not say."""
    metadata = notebook.metadata
    name = metadata.get("kernelspec", {}).get("language") or metadata.get("language_info", {}).get("name")
    return str(name).lower() if name else "python"


def kernel_name(notebook: NotebookNode) -> str:
    """Name of the notebook's kernel; ``python3`` when it does not say."""
    return str(notebook.metadata.get("kernelspec", {}).get("name") or "python3")

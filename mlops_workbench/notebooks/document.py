"""Read and write notebooks; a write is atomic."""

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

# nbformat takes 0.3 to 2 seconds to import, so functions import it and processes that open no notebook do not.


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook of any format version, upgraded to version 4 in memory.

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
    return parse_notebook(text, where=str(path))


def parse_notebook(text: str, *, where: str | None = None) -> NotebookNode:
    """Parse the JSON text of a notebook; see `read_notebook`."""
    import nbformat

    hint = "open it in JupyterLab and save it again, or restore it from version control"
    try:
        notebook: NotebookNode = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
        nbformat.validate(notebook)
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


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook atomically: readers get the old content or the new one.

    Raises
    ------
    StorageError
        The folder cannot be written.
    """
    import nbformat

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

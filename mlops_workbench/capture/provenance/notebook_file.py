"""The notebook file of this session."""

from __future__ import annotations

import json
from pathlib import Path

from mlops_workbench.capture.kernel.place import notebook_path
from mlops_workbench.notebooks.lineage.reproducibility import SavedCell, SavedNotebook

#: Largest file that is read; a larger one, including outputs, would delay the cell.
_MAX_BYTES = 64 << 20


class NotebookFile:
    """Reader of the notebook file, which caches its content."""

    def __init__(self) -> None:
        self._stamp: tuple[str, int, int] | None = None
        self._notebook: SavedNotebook | None = None

    def read(self) -> SavedNotebook | None:
        """Return the notebook, or None when its path is unknown or the file is not a notebook."""
        path = notebook_path()
        if not path.endswith(".ipynb"):
            return None
        try:
            stat = Path(path).stat()
            stamp = path, stat.st_mtime_ns, stat.st_size
            if stamp != self._stamp:
                self._notebook = _read(Path(path), stat.st_mtime_ns) if stat.st_size <= _MAX_BYTES else None
                self._stamp = stamp
        except (OSError, ValueError):
            return None
        return self._notebook


def _read(path: Path, saved_ns: int) -> SavedNotebook | None:
    document = json.loads(path.read_bytes())
    cells = document.get("cells") if isinstance(document, dict) else None
    if not isinstance(cells, list):
        return None
    return SavedNotebook(
        tuple(
            SavedCell(str(cell.get("id") or ""), _joined(cell.get("source")))
            for cell in cells
            if isinstance(cell, dict) and cell.get("cell_type") == "code"
        ),
        saved_ns // 1_000_000,
    )


def _joined(source: object) -> str:
    return "".join(map(str, source)) if isinstance(source, list) else str(source or "")

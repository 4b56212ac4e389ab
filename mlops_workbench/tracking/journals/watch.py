"""Whether the journals have new records, without reading them.

Size and time of a file do not change with a record: its space is reserved, and it is written through a memory map. The
byte after the last frame that was read does: it is zero until the next frame is written.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from mlops_workbench.journal.format import HEADER_BYTES
from mlops_workbench.tracking.journals.files import Cursor, JournalFile, journal_files

#: Resolution of a folder's modification time, in seconds: two changes within it may look like one.
_TICK = 1.0
#: Longest time between two reads, which also find dead processes.
_WHOLE = 1.0


class JournalFolder:
    """The journal files of a folder, listed again when the folder changed.

    Parameters
    ----------
    folder : Path
        Journals of a workspace.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: list[JournalFile] = []
        self._listed_ns = -1

    def files(self) -> list[JournalFile]:
        """All journal files: see :func:`journal_files`."""
        changed_ns = self._changed_ns()
        if changed_ns != self._listed_ns:
            self._files = journal_files(self.folder)
            stable = changed_ns < time.time_ns() - int(_TICK * 1e9)
            self._listed_ns = changed_ns if stable else -1
        return self._files

    def _changed_ns(self) -> int:
        try:
            return self.folder.stat().st_mtime_ns
        except OSError:
            return 0


class JournalWatch:
    """Decides when one reader of the journals must read again."""

    def __init__(self, folder: JournalFolder) -> None:
        self._folder = folder
        self._ends: list[tuple[Path, int]] | None = None
        self._names: list[str] = []
        self._until = 0.0

    def unchanged(self) -> bool:
        """Whether nothing was written since the last :meth:`mark_read`, and that was less than a second ago."""
        if self._ends is None or time.monotonic() >= self._until:
            return False
        if [file.name for file in self._folder.files()] != self._names:
            return False
        return not any(_written(path, offset) for path, offset in self._ends)

    def mark_read(self, cursors: dict[str, Cursor]) -> None:
        """Note that everything was read, up to these cursors."""
        files = self._folder.files()
        self._names = [file.name for file in files]
        read = [(file, cursors.get(file.name, Cursor())) for file in files]
        self._ends = [(file.path, cursor.offset) for file, cursor in read if not cursor.done]
        self._until = time.monotonic() + _WHOLE

    def invalidate(self) -> None:
        """Make :meth:`unchanged` return False until the next :meth:`mark_read`."""
        self._ends = None


def has_more(files: Iterable[JournalFile], cursors: Mapping[str, Cursor]) -> bool:
    """Whether any file has records after its cursor."""
    read = ((file.path, cursors.get(file.name, Cursor())) for file in files)
    return any(_written(path, cursor.offset) for path, cursor in read if not cursor.done)


def _written(path: Path, offset: int) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.pread(file, 1, max(offset, HEADER_BYTES)) not in (b"", b"\x00")
    except OSError:
        return True
    finally:
        os.close(file)

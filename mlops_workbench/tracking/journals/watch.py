"""Whether there is anything new in the journals, without reading them.

A file is as long as its reserved room from the start, and a memory map writes it without a change of its time, so
neither tells. What tells is the byte after the last frame that was read: zero until the next frame is written there.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from mlops_workbench.tracking.journals.files import Cursor, JournalFile, journal_files

#: A folder may change twice within one tick of its clock, in seconds.
_TICK = 1.0
#: Longest time between two whole looks, which also see what no journal tells: processes that died.
_WHOLE = 1.0


class JournalFolder:
    """The journal files of a folder, listed anew when the folder changed.

    Parameters
    ----------
    folder : Path
        Journals of a workspace.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: list[JournalFile] = []
        self._seen_ns = -1

    def files(self) -> list[JournalFile]:
        """All journal files, as :func:`journal_files` gives them."""
        changed_ns = self._changed_ns()
        if changed_ns != self._seen_ns:
            self._files = journal_files(self.folder)
            settled = changed_ns < time.time_ns() - int(_TICK * 1e9)
            self._seen_ns = changed_ns if settled else -1
        return self._files

    def _changed_ns(self) -> int:
        try:
            return self.folder.stat().st_mtime_ns
        except OSError:
            return 0


class JournalWatch:
    """Tells one reader when to read again.

    Parameters
    ----------
    folder : JournalFolder
        What it reads.
    """

    def __init__(self, folder: JournalFolder) -> None:
        self._folder = folder
        self._ends: list[tuple[Path, int]] | None = None
        self._names: list[str] = []
        self._until = 0.0

    def quiet(self) -> bool:
        """Whether nothing was written since :meth:`settle`, which was a moment ago."""
        if self._ends is None or time.monotonic() >= self._until:
            return False
        if [file.name for file in self._folder.files()] != self._names:
            return False
        return not any(_written(path, offset) for path, offset in self._ends)

    def settle(self, cursors: dict[str, Cursor]) -> None:
        """Everything was read, up to these cursors."""
        files = self._folder.files()
        self._names = [file.name for file in files]
        read = [(file, cursors.get(file.name, Cursor())) for file in files]
        self._ends = [(file.path, cursor.offset) for file, cursor in read if not cursor.done]
        self._until = time.monotonic() + _WHOLE

    def disturb(self) -> None:
        """Read at the next opportunity, whatever the files say."""
        self._ends = None


def _written(path: Path, offset: int) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.pread(file, 1, offset) not in (b"", b"\x00")
    except OSError:
        return True
    finally:
        os.close(file)

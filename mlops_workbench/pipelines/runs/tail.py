"""The end of what the cells of an attempt print, in a small file that a display reads while they run."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from mlops_workbench.core.shown.plain_text import without_sequences

#: Characters that are kept, and of a line.
_KEPT, _LONGEST_LINE = 8192, 500


class OutputTail:
    """Keeps the end of a text, whatever its length, and writes it to a file when asked.

    Parameters
    ----------
    path : Path
        The file; it always has a complete state, but need not survive a crash of the machine.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text = ""
        self._changed = False

    def add(self, text: str) -> None:
        """Append a text."""
        self._text = (self._text + text[-_KEPT:])[-_KEPT:]
        self._changed = True

    def write(self) -> None:
        """Write the file if the text has changed; a disk that is full costs only this display."""
        if not self._changed:
            return
        self._changed = False
        beside = self._path.with_name(f".{self._path.name}")
        with contextlib.suppress(OSError):
            beside.write_bytes(self._text.encode("utf-8", "replace"))
            os.replace(beside, self._path)

    def remove(self) -> None:
        """Delete the file: all output is in the executed notebook by now."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def read_tail(path: Path, count: int) -> list[str]:
    """The last lines of a file that `OutputTail` wrote; none if there is no such file."""
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return []
    return last_lines(text, count)


def last_lines(text: str, count: int) -> list[str]:
    """The last lines as a terminal would show them: without control sequences, and lines that were overwritten.

    Parameters
    ----------
    text : str
        Printed text; a carriage return overwrites what is before it in its line, as progress bars do.
    count : int
        Most lines; lines without text do not count.
    """
    found: list[str] = []
    for line in reversed(text.split("\n")):
        if len(found) >= count:
            break
        shown = without_sequences(line.rstrip("\r").rpartition("\r")[2]).expandtabs(4).rstrip()
        if shown:
            found.append(shown[:_LONGEST_LINE])
    return found[::-1]

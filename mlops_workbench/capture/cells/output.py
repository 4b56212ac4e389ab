"""What a cell shows while it runs: the end of its text, its warnings, figures and tables."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from mlops_workbench.capture.run.figures import ShownFigure, displayed_figures
from mlops_workbench.capture.run.tables import ShownTable, is_shown_table

#: Characters that are kept.
TAIL = 32 * 1024
#: Key in the metadata of what the workbench itself shows, so that it can be told from the user's.
OWN = "mlops_workbench"
_MAX_FIGURES = 50
_MAX_FIGURE_BYTES = 64 << 20
_MAX_TABLES = 20
_MAX_WARNINGS = 50
#: As Python's `warnings.formatwarning` writes it.
_WARNING = re.compile(r"^\S.*?:\d+: (\w*Warning): (.*)$", re.MULTILINE)
#: Where IPython holds the very object that it is about to show.
_SHOWING = {("IPython.core.display_functions", "display"): "obj", ("IPython.core.displayhook", "__call__"): "result"}


class OutputTail:
    """Listens to stdout, stderr and displays while a cell runs, and changes nothing of what is shown.

    stdout and stderr are replaced by writers that pass everything on: a kernel's streams have no hook that
    sees text before it leaves. Displays are seen through the kernel's own hooks.

    Parameters
    ----------
    shell : InteractiveShell
        The IPython session.

    Attributes
    ----------
    figures : list of ShownFigure
        Figures, in the order in which they were shown.
    tables : list of ShownTable
        Tables, with the values that they had when they were shown.
    warnings : dict
        Kind and first line of each distinct warning, and how often it was shown.
    """

    def __init__(self, shell: Any) -> None:
        # Threads of a cell print too; reentrant, because a finaliser may print in the middle of a print.
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._pieces: deque[str] = deque()
        self._length = 0
        self._streams: dict[str, _Tee] = {}
        self._hooked: list[Any] = []
        self._shell = shell
        self._figure_bytes = 0
        self.figures: list[ShownFigure] = []
        self.tables: list[ShownTable] = []
        self.warnings: dict[str, int] = {}

    def start(self) -> None:
        """Begin to listen."""
        for name, heard in (("stdout", self._heard), ("stderr", self._heard_error)):
            if (stream := getattr(sys, name, None)) is not None:
                self._streams[name] = _Tee(stream, heard)
                setattr(sys, name, self._streams[name])
        publishers: list[Any] = [getattr(self._shell, name, None) for name in ("display_pub", "displayhook")]
        for publisher in publishers:
            if hasattr(publisher, "register_hook") and hasattr(publisher, "unregister_hook"):
                publisher.register_hook(self._shown)
                self._hooked.append(publisher)

    def stop(self) -> None:
        """Listen no more; what somebody else put in place of a stream meanwhile stays."""
        for name, tee in self._streams.items():
            if getattr(sys, name, None) is tee:
                setattr(sys, name, tee.stream)
            tee.rest()
        for publisher in self._hooked:
            publisher.unregister_hook(self._shown)
        self._hooked.clear()

    def let_go(self) -> None:
        """Forget the figures and tables: they, and what they show, may be large."""
        self.figures = []
        self.tables = []

    def text(self) -> str:
        """The tail of the text, with lines that were overwritten (progress bars) as they ended up."""
        with self._lock:
            heard = "".join(self._pieces)
        lines = heard[-TAIL:].replace("\r\n", "\n").split("\n")
        return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)

    def _heard(self, text: str) -> None:
        if self._pid != os.getpid():
            # What a forked child prints is not kept, and the lock may have been taken when it was forked.
            return
        with self._lock:
            self._pieces.append(text[-TAIL:])
            self._length += len(self._pieces[-1])
            while self._length - len(self._pieces[0]) >= TAIL:
                self._length -= len(self._pieces.popleft())

    def _heard_error(self, text: str) -> None:
        self._heard(text)
        if "Warning: " in text and self._pid == os.getpid():
            for kind, line in _WARNING.findall(text[:TAIL]):
                warning = f"{kind}: {line.strip()[:300]}"
                with self._lock:
                    if warning in self.warnings or len(self.warnings) < _MAX_WARNINGS:
                        self.warnings[warning] = self.warnings.get(warning, 0) + 1

    def _shown(self, message: dict[str, Any]) -> dict[str, Any]:
        # A hook in the path of the user's own display: whatever it meets, the message goes on.
        with contextlib.suppress(Exception):
            content = message.get("content", {})
            bundle = content.get("data")
            own = OWN in (content.get("metadata") or {})
            if message.get("msg_type") != "update_display_data" and isinstance(bundle, Mapping) and not own:
                self._keep(bundle, _object_shown())
        return message

    def _keep(self, bundle: Mapping[str, Any], source: Any) -> None:
        if is_shown_table(source):
            if len(self.tables) < _MAX_TABLES:
                self.tables.append(ShownTable.copy(source))
            return
        files = displayed_figures(bundle) if len(self.figures) < _MAX_FIGURES else []
        self._figure_bytes += sum(len(file[1]) for file in files)
        if files and self._figure_bytes <= _MAX_FIGURE_BYTES:
            self.figures.append(ShownFigure(files, source if hasattr(source, "savefig") else None))


class _Tee:
    """A text stream that tells what is written to it, and otherwise is the stream behind it."""

    def __init__(self, stream: Any, heard: Any) -> None:
        self.stream = stream
        self._heard = heard

    def write(self, text: str) -> Any:
        written = self.stream.write(text)
        if isinstance(text, str):
            self._heard(text)
        return written

    def rest(self) -> None:
        """Only pass on from now: a log handler, or a default argument, made in the cell may write here for ever."""
        self._heard = _nothing

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def __iter__(self) -> Any:
        return iter(self.stream)


def _nothing(text: str) -> None:
    """Nobody listens any more."""


def _object_shown() -> Any:
    """The object that is being shown; None when it is shown in a way that is not known.

    The message holds a table as a page of its first and last rows with rounded numbers; the object itself is only
    in the frames of IPython that lead here.
    """
    frame = sys._getframe(2)
    for _ in range(12):
        frame = frame.f_back  # type: ignore[assignment]
        if frame is None:
            return None
        local = _SHOWING.get((frame.f_globals.get("__name__", ""), frame.f_code.co_name))
        if local is not None:
            return frame.f_locals.get(local)
    return None

"""The end of what a cell prints, and the figures it shows."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from mlops_workbench.capture.figures import FigureFile, displayed_figures

#: Characters that are kept.
TAIL = 32 * 1024
_MAX_FIGURES = 50
_MAX_FIGURE_BYTES = 64 << 20


class OutputTail:
    """Listens to stdout, stderr and displays while a cell runs, and changes nothing of what is shown.

    stdout and stderr are replaced by writers that pass everything on: a kernel's streams have no hook that
    sees text before it leaves. Displays are seen through the kernel's own hooks.

    Parameters
    ----------
    shell : InteractiveShell
        The IPython session.
    """

    def __init__(self, shell: Any) -> None:
        # Threads of a cell print too; reentrant, because a finaliser may print in the middle of a print.
        self._lock = threading.RLock()
        self._pieces: deque[str] = deque()
        self._length = 0
        self._streams: dict[str, _Tee] = {}
        self._hooked: list[Any] = []
        self._shell = shell
        self._figure_bytes = 0
        self.figures: list[FigureFile] = []

    def start(self) -> None:
        """Begin to listen."""
        for name in ("stdout", "stderr"):
            if (stream := getattr(sys, name, None)) is not None:
                self._streams[name] = _Tee(stream, self._heard)
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
        for publisher in self._hooked:
            publisher.unregister_hook(self._shown)
        self._hooked.clear()

    def text(self) -> str:
        """The tail of the text, with lines that were overwritten (progress bars) as they ended up."""
        with self._lock:
            heard = "".join(self._pieces)
        lines = heard[-TAIL:].replace("\r\n", "\n").split("\n")
        return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)

    def _heard(self, text: str) -> None:
        with self._lock:
            self._pieces.append(text[-TAIL:])
            self._length += len(self._pieces[-1])
            while self._length - len(self._pieces[0]) >= TAIL:
                self._length -= len(self._pieces.popleft())

    def _shown(self, message: dict[str, Any]) -> dict[str, Any]:
        # A hook in the path of the user's own display: whatever it meets, the message goes on.
        with contextlib.suppress(Exception):
            if message.get("msg_type") != "update_display_data" and len(self.figures) < _MAX_FIGURES:
                bundle = message.get("content", {}).get("data")
                for figure in displayed_figures(bundle) if isinstance(bundle, Mapping) else ():
                    self._figure_bytes += len(figure[1])
                    if self._figure_bytes <= _MAX_FIGURE_BYTES:
                        self.figures.append(figure)
        return message


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

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def __iter__(self) -> Any:
        return iter(self.stream)

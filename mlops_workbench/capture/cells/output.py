"""Output of a running cell: the tail of its text, its warnings, figures and tables."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from mlops_workbench.capture.kernel.notices import notify
from mlops_workbench.capture.run.figures import ShownFigure, displayed_figures
from mlops_workbench.capture.run.tables import ShownTable, is_shown_table

#: Number of characters of the tail.
TAIL = 32 * 1024
#: Key in the metadata of displays of the workbench itself.
OWN = "mlops_workbench"
_MAX_FIGURES = 50
_MAX_FIGURE_BYTES = 64 << 20
_MAX_TABLES = 20
_MAX_WARNINGS = 50
#: Format of Python's `warnings.formatwarning`; plotly 6 replaces it by one with empty lines.
_WARNING = re.compile(r"^\S.*?:\d+: (\w*Warning):\s+(\S.*)$", re.MULTILINE)
#: Functions of IPython and their variable with the displayed object.
_DISPLAYING = {("IPython.core.display_functions", "display"): "obj", ("IPython.core.displayhook", "__call__"): "result"}


class OutputTail:
    """Records stdout, stderr and displays of a running cell without changing them.

    stdout and stderr are replaced by writers that forward everything, since the streams of a kernel have no hooks.
    Displays are recorded by hooks of the kernel.

    Parameters
    ----------
    shell : InteractiveShell
        The IPython session.

    Attributes
    ----------
    figures : list of ShownFigure
        Displayed figures in their order.
    tables : list of ShownTable
        Displayed tables with their values at that time.
    warnings : dict
        Kind and first line of each distinct warning, and its number of occurrences.
    """

    def __init__(self, shell: Any) -> None:
        # Threads of a cell may print; reentrant, because a finalizer may print during a print.
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._pieces: deque[str] = deque()
        self._length = 0
        self._streams: dict[str, _Tee] = {}
        self._hooked: list[Any] = []
        self._wrapped: list[tuple[Any, Any]] = []
        self._shell = shell
        self._figure_bytes = 0
        self.figures: list[ShownFigure] = []
        self.tables: list[ShownTable] = []
        self.warnings: dict[str, int] = {}

    def start(self) -> None:
        """Start recording."""
        for name, on_text in (("stdout", self._add_text), ("stderr", self._add_error_text)):
            if (stream := getattr(sys, name, None)) is not None:
                self._streams[name] = _Tee(stream, on_text)
                setattr(sys, name, self._streams[name])
        publishers: list[Any] = [getattr(self._shell, name, None) for name in ("display_pub", "displayhook")]
        for publisher in publishers:
            if hasattr(publisher, "register_hook") and hasattr(publisher, "unregister_hook"):
                publisher.register_hook(self._on_display)
                self._hooked.append(publisher)
            elif hasattr(publisher, "finish_displayhook") and hasattr(publisher, "session"):
                # Before ipykernel 7.3, the value of the last line has no hook.
                self._wrapped.append((publisher, vars(publisher).get("finish_displayhook")))
                publisher.finish_displayhook = partial(self._finish_display, publisher, publisher.finish_displayhook)

    def stop(self) -> None:
        """Stop recording; streams that other code has replaced meanwhile are kept."""
        for name, tee in self._streams.items():
            if getattr(sys, name, None) is tee:
                setattr(sys, name, tee.stream)
            tee.forward_only()
        for publisher in self._hooked:
            publisher.unregister_hook(self._on_display)
        self._hooked.clear()
        for publisher, outer in self._wrapped:
            # A cell that runs cells has a wrapper of its own.
            vars(publisher).pop("finish_displayhook", None)
            if outer is not None:
                publisher.finish_displayhook = outer
        self._wrapped.clear()

    def clear_displays(self) -> None:
        """Release the figures and tables, which may be large."""
        self.figures = []
        self.tables = []

    def text(self) -> str:
        """Return the tail of the text; of overwritten lines (progress bars) only the last state."""
        with self._lock:
            text = "".join(self._pieces)
        lines = text[-TAIL:].replace("\r\n", "\n").split("\n")
        return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)

    def _add_text(self, text: str) -> None:
        if self._pid != os.getpid():
            # The output of a forked child is not recorded, and its lock may be locked.
            return
        with self._lock:
            self._pieces.append(text[-TAIL:])
            self._length += len(self._pieces[-1])
            while self._length - len(self._pieces[0]) >= TAIL:
                self._length -= len(self._pieces.popleft())

    def _add_error_text(self, text: str) -> None:
        self._add_text(text)
        if "Warning:" in text and self._pid == os.getpid():
            for kind, line in _WARNING.findall(text[:TAIL]):
                warning = f"{kind}: {line.strip()[:300]}"
                with self._lock:
                    if warning in self.warnings or len(self.warnings) < _MAX_WARNINGS:
                        self.warnings[warning] = self.warnings.get(warning, 0) + 1

    def _on_display(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            content = message.get("content", {})
            bundle = content.get("data")
            own = OWN in (content.get("metadata") or {})
            if message.get("msg_type") != "update_display_data" and isinstance(bundle, Mapping) and not own:
                self._keep(bundle, _displayed_object())
        except Exception as error:  # noqa: BLE001 the display of the user's objects must not fail
            notify(f"an output of this cell could not be recorded ({type(error).__name__}: {error})", once="output")
        return message

    def _finish_display(self, publisher: Any, finish: Callable[[], None]) -> None:
        if isinstance(message := getattr(publisher, "msg", None), dict):
            self._on_display(message)
        finish()

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
    """A text stream that reports written text, and otherwise behaves like the wrapped stream."""

    def __init__(self, stream: Any, on_text: Callable[[str], object]) -> None:
        self.stream = stream
        self._on_text: Callable[[str], object] | None = on_text

    def write(self, text: str) -> Any:
        written = self.stream.write(text)
        # Read once: another thread may print while the cell ends.
        on_text = self._on_text
        if on_text is not None and isinstance(text, str):
            on_text(text)
        return written

    def forward_only(self) -> None:
        """Stop reporting; a log handler created in the cell may use this stream later."""
        self._on_text = None

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def __iter__(self) -> Any:
        return iter(self.stream)


def _displayed_object() -> Any:
    """Return the displayed object, or None if it is unknown.

    The message contains only the first and last rows of a table with rounded numbers; the object itself is in the
    calling frames of IPython.
    """
    frame = sys._getframe(2)
    for _ in range(12):
        frame = frame.f_back  # type: ignore[assignment]
        if frame is None:
            return None
        local = _DISPLAYING.get((frame.f_globals.get("__name__", ""), frame.f_code.co_name))
        if local is not None:
            return frame.f_locals.get(local)
    return None

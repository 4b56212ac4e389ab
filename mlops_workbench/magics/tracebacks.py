"""Errors raised on purpose, shown in a notebook: the user's lines, and not the workbench's."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from mlops_workbench.core.errors import WorkbenchError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_OWN = (str(Path(__file__).resolve().parents[1]) + os.sep,)
_LIBRARIES = tuple(sysconfig.get_path(kind) + os.sep for kind in ("stdlib", "platstdlib", "purelib", "platlib"))


def register_tracebacks(shell: InteractiveShell) -> None:
    """Let IPython show a `WorkbenchError` up to the line that called the workbench."""

    def render(error: WorkbenchError) -> list[str]:
        cause, error.__cause__ = error.__cause__, None
        context, error.__context__ = error.__context__, None
        try:
            # The message says what was wrong; how the workbench came to know does not matter to the reader.
            shown: list[str] = shell.InteractiveTB.structured_traceback(
                type(error), error, callers_frames(error.__traceback__)
            )
        finally:
            error.__context__, error.__cause__ = context, cause
        return shown

    WorkbenchError._render_traceback_ = render  # type: ignore[attr-defined]


def callers_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without the workbench's own frames, and without libraries that it called."""
    return _kept(trace, _OWN)


def _kept(trace: TracebackType | None, hidden: tuple[str, ...]) -> TracebackType | None:
    if trace is None:
        return None
    file = trace.tb_frame.f_code.co_filename
    if file.startswith(_OWN):
        # From here on it is the workbench that calls libraries; what it calls of the user's is shown again.
        return _kept(trace.tb_next, _OWN + _LIBRARIES)
    rest = _kept(trace.tb_next, hidden)
    if file.startswith(hidden):
        return rest
    return TracebackType(rest, trace.tb_frame, trace.tb_lasti, trace.tb_lineno)

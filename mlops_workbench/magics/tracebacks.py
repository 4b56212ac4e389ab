"""Tracebacks of the workbench's own errors in a notebook, without the workbench's frames."""

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
    """Make IPython end the traceback of a `WorkbenchError` at the line that called the workbench."""

    def render(error: WorkbenchError) -> list[str]:
        cause, error.__cause__ = error.__cause__, None
        context, error.__context__ = error.__context__, None
        try:
            # Without its cause and context: the message describes the problem, the internal errors do not help.
            shown: list[str] = shell.InteractiveTB.structured_traceback(
                type(error), error, callers_frames(error.__traceback__)
            )
        finally:
            error.__context__, error.__cause__ = context, cause
        return shown

    WorkbenchError._render_traceback_ = render  # type: ignore[attr-defined]


def callers_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames of the workbench and of the libraries that it called."""
    return _kept(trace, _OWN)


def _kept(trace: TracebackType | None, hidden: tuple[str, ...]) -> TracebackType | None:
    if trace is None:
        return None
    file = trace.tb_frame.f_code.co_filename
    if file.startswith(_OWN):
        # Library frames from here on were called by the workbench; the user's own frames are kept.
        return _kept(trace.tb_next, _OWN + _LIBRARIES)
    rest = _kept(trace.tb_next, hidden)
    if file.startswith(hidden):
        return rest
    return TracebackType(rest, trace.tb_frame, trace.tb_lasti, trace.tb_lineno)

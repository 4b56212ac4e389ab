"""The run of the current context: a block, a task or a call."""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_workbench.capture.run.active import ActiveRun

_current: ContextVar[ActiveRun | None] = ContextVar("mlops_run", default=None)
#: Returns the run of this context, which may have ended, or None; `Session.current_run` searches further.
run_of_context = _current.get


def enter_run(run: ActiveRun | None) -> Token[ActiveRun | None]:
    """Make `run` the current one of this context and return the token for `leave_run`."""
    return _current.set(run)


def leave_run(token: Token[ActiveRun | None]) -> None:
    """Restore the run that was current before `enter_run`."""
    try:
        _current.reset(token)
    except ValueError:
        # Left in another context (a generator, a thread): the earlier run is unknown here.
        _current.set(None)

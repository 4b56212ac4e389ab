"""The run of the current context: a block, a task or a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mlops_workbench.capture.run.active import ActiveRun


class ObservedRun(Protocol):
    """The observation of a block or a call."""

    def end(self, left: Any, error: BaseException | None) -> None:
        """Record what it did, before its run ends; `left` is the frame of the block, or the result of the call."""

    def keep(self) -> None:
        """Keep its model, after its run ended."""


class RunObserver(Protocol):
    """Observes the code of runs."""

    def block(self, run: ActiveRun, frame: FrameType) -> ObservedRun | None:
        """Begin to observe the block that a frame enters; None when its source is unknown."""

    def call(self, run: ActiveRun, function: Callable[..., Any], arguments: Mapping[str, Any]) -> ObservedRun | None:
        """Begin to observe a call of a function; None when its source is unknown."""


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

"""What is known of a cell when it starts, read before anything else is imported."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

#: Called when the session of this process has been created.
on_session: list[Callable[[], object]] = []


class CellStart:
    """The start of a cell, and its end.

    Parameters
    ----------
    shell : InteractiveShell
        The IPython session.
    info : object or None
        IPython's ``ExecutionInfo``; None when the cell has started already.
    full : bool, default=False
        Whether the namespace and the random numbers are read, because the cell will be observed later.

    Attributes
    ----------
    info : object or None
        See above.
    count : int
        Execution count, 0 when it is not counted.
    started_ms : int
        Start, ms since the epoch.
    seconds : float
        Duration; 0 while it runs.
    ended : bool
        Whether it has ended.
    ids : dict or None
        ``id`` of the value of each name before the cell.
    generators : dict or None
        States of the random number generators before the cell.
    """

    def __init__(self, shell: Any, info: Any, *, full: bool = False) -> None:
        self.info = info
        self.count = _count(shell, begun=info is None) if getattr(info, "store_history", True) else 0
        self.started_ms = time.time_ns() // 1_000_000
        self.seconds = 0.0
        self.ended = False
        names = shell.user_ns
        self.ids: dict[str, int] | None = dict(zip(names, map(id, names.values()), strict=False)) if full else None
        self.generators: dict[str, Any] | None = generator_states() if full else None
        self._began = time.perf_counter()

    def end(self) -> None:
        """Note the end of the cell; only the first call counts."""
        if not self.ended:
            self.ended = True
            self.seconds = time.perf_counter() - self._began


def generator_states() -> dict[str, Any]:
    """Return the state of each imported library in the library's format."""
    found: dict[str, Any] = {}
    modules = sys.modules
    if (random := modules.get("random")) is not None:
        found["random"] = random.getstate()
    legacy = getattr(modules.get("numpy.random"), "get_state", None)
    # A generator that the user installed in NumPy has another format.
    if legacy is not None and type(state := legacy()) is tuple:
        found["numpy"] = state
    torch = modules.get("torch")
    if (get := getattr(torch, "get_rng_state", None)) is not None:
        found["torch"] = bytes(get().numpy())
        cuda = getattr(torch, "cuda", None)
        if cuda is not None and cuda.is_initialized():
            found["torch.cuda"] = [bytes(state.numpy()) for state in cuda.get_rng_state_all()]
    return found


def _count(shell: Any, *, begun: bool) -> int:
    """Return the number of the starting or started cell.

    IPython 9 increments its counter before the event of a cell's start, IPython 8 after its end; the history adds the
    cell in between, in all versions.
    """
    history = getattr(getattr(shell, "history_manager", None), "input_hist_raw", None)
    return len(history) - begun if history else int(getattr(shell, "execution_count", 0))

"""Executions of a cell that a run does not depend on."""

from __future__ import annotations

from collections.abc import Iterable


class Reruns:
    """Finds the last execution with another source.

    Parameters
    ----------
    executions : iterable of (str, str, bool)
        Uid, source and whether it ran after the notebook was saved, of each execution in order.
    """

    def __init__(self, executions: Iterable[tuple[str, str, bool]]) -> None:
        #: The last execution, and the last one with a source different from it.
        self._all: list[tuple[str, str]] = []
        self._unsaved: list[tuple[str, str]] = []
        for uid, source, unsaved in executions:
            self._put(self._all, uid, source)
            if unsaved:
                self._put(self._unsaved, uid, source)

    def last_other(self, source: str, *, saved: bool) -> str | None:
        """Return the uid of the last one with another source; only unsaved ones if this source is `saved`."""
        return next((uid for uid, other in (self._unsaved if saved else self._all) if other != source), None)

    @staticmethod
    def _put(kept: list[tuple[str, str]], uid: str, source: str) -> None:
        kept[:] = [(uid, source), *(one for one in kept if one[1] != source)][:2]

"""Executions of a cell that something does not rest on."""

from __future__ import annotations

from collections.abc import Iterable


class Reruns:
    """Finds the last of them that ran another source.

    Parameters
    ----------
    executions : iterable of (str, str, bool)
        Uid and source of each in their order, and whether it ran after the notebook was saved.
    """

    def __init__(self, executions: Iterable[tuple[str, str, bool]]) -> None:
        #: The last execution, and the last one with another source than that.
        self._all: list[tuple[str, str]] = []
        self._unsaved: list[tuple[str, str]] = []
        for uid, source, unsaved in executions:
            self._put(self._all, uid, source)
            if unsaved:
                self._put(self._unsaved, uid, source)

    def last_other(self, source: str, *, stands: bool) -> str | None:
        """Uid of the last one with another source; of those after the saving if this source `stands` there."""
        return next((uid for uid, other in (self._unsaved if stands else self._all) if other != source), None)

    @staticmethod
    def _put(kept: list[tuple[str, str]], uid: str, source: str) -> None:
        kept[:] = [(uid, source), *(one for one in kept if one[1] != source)][:2]

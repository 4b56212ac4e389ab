"""Follow what others write to the same MLflow: other machines' workbenches, and plain MLflow code.

MLflow tells of no changes, and its runs can be asked for by when they started only, which may be long before they
appear: a journal that was delivered late. So one look is three bounded requests: the newest runs, those under way, and
the next page of a sweep through all of them, which finds what came late and what was deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from mlops_workbench.core.runs import Run
from mlops_workbench.tracking.index.edits import Settled, put_edits
from mlops_workbench.tracking.index.followed import drop_followed, followed_open, missing, put_followed
from mlops_workbench.tracking.index.writer import IndexWriter
from mlops_workbench.tracking.mlflow.runs import RunPage, RunSource

#: Runs that are asked for one by one in a look: those that are missed, and those whose end was not seen.
_SINGLE = 50
#: Pages of new runs in a look; the sweep finds the rest.
_NEW_PAGES = 5


class StoreFollower:
    """Keeps the read index true to the runs that MLflow has.

    Parameters
    ----------
    source : RunSource
        Runs of MLflow.
    writer : callable
        Context with the index's writer, which nothing else uses meanwhile.
    acknowledged : callable
        Whether this MLflow was given a run of the journals here, by its uid and MLflow's id of it.
    seen : callable
        Told of runs that MLflow has.
    delivered : callable
        Gives what tells later which runs of the journals here are delivered wholly by now.
    """

    def __init__(
        self,
        source: RunSource,
        writer: Callable[[], AbstractContextManager[IndexWriter]],
        acknowledged: Callable[[str, str], bool],
        seen: Callable[[Sequence[Run]], None],
        delivered: Callable[[], Settled],
    ) -> None:
        self.source = source
        self._writer = writer
        self._acknowledged = acknowledged
        self._seen = seen
        self._delivered = delivered
        #: There are changes in MLflow that could not be taken in yet.
        self._waiting = False
        self._sweep: RunPage | None = None

    def look(self) -> bool:
        """See what is new; True when the first sweep of a new index is not at its end, and more is to be had.

        Raises
        ------
        Unavailable
            MLflow does not answer.
        """
        with self._writer() as writer:
            restored = writer.restored()
        if not restored:
            return self._sweep_on()
        if not self.source.changed() and self._sweep is None and not self._waiting:
            return False
        self._waiting = False
        self._newest()
        self._under_way()
        self._sweep_on()
        return False

    def _newest(self) -> None:
        page: RunPage | None = None
        for _ in range(_NEW_PAGES):
            page, changed = self._next(page)
            if changed < len(page.runs) or page.next is None:
                return

    def _under_way(self) -> None:
        delivered = self._delivered()
        self._put(self.source.page(running=True).runs, delivered)
        with self._writer() as writer:
            asked = followed_open(writer.connection, _SINGLE)
        if asked:
            delivered = self._delivered()
            there = self.source.get(asked)
            self._put(list(there.values()), delivered)
            self._drop([run_id for run_id in asked if run_id not in there])

    def _sweep_on(self) -> bool:
        page, _ = self._next(self._sweep)
        self._sweep = page if page.next else None
        if page.next is None:
            with self._writer() as writer:
                writer.set_restored()
        return page.next is not None

    def _next(self, before: RunPage | None) -> tuple[RunPage, int]:
        """Take in the page after `before` and drop what is missing on it; give it with the number of changed runs."""
        delivered = self._delivered()
        page = self.source.page(before.next if before else None)
        changed = self._put(page.runs, delivered)
        with self._writer() as writer:
            earlier = before.runs if before else []
            missed = missing(writer.connection, page.runs, earlier, last=page.next is None)[:_SINGLE]
        if missed:
            there = self.source.get(missed)
            self._drop([run_id for run_id in missed if run_id not in there])
        return page, changed

    def _put(self, runs: Sequence[Run], delivered: Settled) -> int:
        def settled(uid: str, run_id: str, sessions: set[str]) -> bool:
            found = delivered(uid, run_id, sessions)
            self._waiting = self._waiting or not found
            return found

        self._seen(runs)
        with self._writer() as writer:
            return writer.follow(
                lambda connection: [
                    *(run.uid for run in runs if put_followed(connection, run)),
                    *put_edits(connection, runs, settled),
                ]
            )

    def _drop(self, run_ids: Sequence[str]) -> None:
        if run_ids:
            with self._writer() as writer:
                writer.follow(lambda connection: drop_followed(connection, run_ids, self._acknowledged))

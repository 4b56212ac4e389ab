"""Follow what others write to the same MLflow: workbenches on other machines, and plain MLflow code.

MLflow reports no changes, and its runs can be listed only by start time, which may be long before they appear (a
journal that was delivered late). So an update makes three bounded requests: the newest runs, the running ones, and the
next page of a sweep through all runs, which finds late and deleted ones.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property

from mlops_workbench.core.runs import Run
from mlops_workbench.tracking.index.edits import Settled, put_edits
from mlops_workbench.tracking.index.followed import drop_followed, followed_open, missing, put_followed
from mlops_workbench.tracking.index.writer import IndexWriter
from mlops_workbench.tracking.mlflow.runs import RunPage, RunSource, source_of
from mlops_workbench.tracking.mlflow.store import TrackingStore

#: Runs fetched one by one in an update: those that are missing, and those whose end was not read.
_SINGLE = 50
#: Pages of new runs in an update; the sweep finds the rest.
_NEW_PAGES = 5


class StoreFollower:
    """Keeps the read index consistent with the runs that MLflow has.

    Parameters
    ----------
    store : TrackingStore
        Whose runs are read.
    writer : callable
        Returns a context with the index writer, for one thread at a time.
    acknowledged : callable
        Whether this MLflow has acknowledged a journalled run, by its uid and MLflow's id of it.
    on_runs : callable
        Called with runs that MLflow has.
    settled : callable
        Returns a `Settled` for what is delivered at the time of the call.
    """

    def __init__(
        self,
        store: TrackingStore,
        writer: Callable[[], AbstractContextManager[IndexWriter]],
        acknowledged: Callable[[str, str], bool],
        on_runs: Callable[[Sequence[Run]], None],
        settled: Callable[[], Settled],
    ) -> None:
        self._store = store
        self._writer = writer
        self._acknowledged = acknowledged
        self._on_runs = on_runs
        self._settled = settled
        self._lock = threading.RLock()
        #: MLflow has changes that could not be written to the index yet.
        self._waiting = False
        self._sweep: RunPage | None = None

    @cached_property
    def source(self) -> RunSource:
        """Where the runs are read from."""
        return source_of(self._store)

    def update(self) -> bool:
        """Read what is new; True while the first sweep of a new index has not reached its end.

        Raises
        ------
        Unavailable
            MLflow does not answer.
        """
        with self._lock:
            with self._writer() as writer:
                restored = writer.restored()
            if not restored:
                return self._sweep_next()
            if self.source.changed() or self._sweep is not None or self._waiting:
                self._waiting = False
                self._read_newest()
                self._read_running()
                self._sweep_next()
            return False

    def _read_newest(self) -> None:
        page: RunPage | None = None
        for _ in range(_NEW_PAGES):
            page, changed = self._next(page)
            if changed < len(page.runs) or page.next is None:
                return

    def _read_running(self) -> None:
        settled = self._settled()
        self._put(self.source.page(running=True).runs, settled)
        with self._writer() as writer:
            run_ids = followed_open(writer.connection, _SINGLE)
        if run_ids:
            settled = self._settled()
            found = self.source.get(run_ids)
            self._put(list(found.values()), settled)
            self._drop([run_id for run_id in run_ids if run_id not in found])

    def _sweep_next(self) -> bool:
        page, _ = self._next(self._sweep)
        self._sweep = page if page.next else None
        if page.next is None:
            with self._writer() as writer:
                writer.set_restored()
        return page.next is not None

    def _next(self, before: RunPage | None) -> tuple[RunPage, int]:
        """Index the page after `before` and drop what is missing on it; return it and the number of changed runs."""
        settled = self._settled()
        page = self.source.page(before.next if before else None)
        changed = self._put(page.runs, settled)
        with self._writer() as writer:
            earlier = before.runs if before else []
            missed = missing(writer.connection, page.runs, earlier, last=page.next is None)[:_SINGLE]
        if missed:
            found = self.source.get(missed)
            self._drop([run_id for run_id in missed if run_id not in found])
        return page, changed

    def _put(self, runs: Sequence[Run], settled: Settled) -> int:
        def noted(uid: str, run_id: str, sessions: set[str]) -> bool:
            result = settled(uid, run_id, sessions)
            self._waiting = self._waiting or not result
            return result

        self._on_runs(runs)
        with self._writer() as writer:
            return writer.follow(
                lambda connection: [
                    *(run.uid for run in runs if put_followed(connection, run)),
                    *put_edits(connection, runs, noted),
                ]
            )

    def _drop(self, run_ids: Sequence[str]) -> None:
        if run_ids:
            with self._writer() as writer:
                writer.follow(lambda connection: drop_followed(connection, run_ids, self._acknowledged))

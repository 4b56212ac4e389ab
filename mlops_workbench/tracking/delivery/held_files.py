"""Files that cannot be delivered now: they are tried again after a growing pause, and block nothing else.

The artifact store is often separate from the tracking store, with its own credentials, packages and failures.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.tracking.delivery.log import DeliveredRun, DeliveryLog
from mlops_workbench.tracking.delivery.record import RunRecord, kept_records
from mlops_workbench.tracking.mlflow.store import TrackingStore

_log = logging.getLogger(__name__)

#: Pause after a failure, doubled each time up to the second number, in seconds.
_PAUSE, _LONGEST_PAUSE = 0.5, 300.0
#: Failures after which the files of a run are tried one by one, so that one cannot block the others.
_TOGETHER = 5

_Deliver: TypeAlias = Callable[[DeliveredRun, Sequence[RunRecord]], object]


@dataclass
class _Failure:
    """Why the files of a run wait, how often they failed, and when they are tried again."""

    message: str
    failures: int = 0
    retry_at: float = 0.0

    def pause(self) -> None:
        self.failures += 1
        self.retry_at = time.monotonic() + min(_PAUSE * 2 ** min(self.failures - 1, 30), _LONGEST_PAUSE)


class HeldFiles:
    """Delivers files of runs, and keeps those that cannot be delivered in the delivery log.

    Parameters
    ----------
    store : TrackingStore
        Pinged after a failure, to distinguish one of the artifact store from one of all of MLflow.
    log : DeliveryLog
        Keeps the records that wait.
    deliver : callable
        Delivers the files of some records of a run.
    """

    def __init__(self, store: TrackingStore, log: DeliveryLog, deliver: _Deliver) -> None:
        self._store = store
        self._log = log
        self._deliver = deliver
        self._failures: dict[str, _Failure] = {}

    @property
    def problem(self) -> str:
        """Why files wait, empty if none do."""
        return next((f"files of run {uid} wait: {failure.message}" for uid, failure in self._failures.items()), "")

    def deliver(self, run: DeliveredRun, items: Sequence[RunRecord]) -> list[RunRecord]:
        """Deliver files, and return the records whose files have to wait.

        Raises
        ------
        Unavailable
            MLflow itself does not answer.
        """
        if self._log.held_files(run.uid):
            # In order: a later file may replace an earlier one.
            return list(items)
        return list(items) if self._fails(run, items) else []

    def retry(self) -> list[DeliveredRun]:
        """Try the files again whose pause is over; return the runs of which no file waits any more.

        Raises
        ------
        Unavailable
            As for :meth:`deliver`.
        """
        done = []
        waiting = self._log.runs_with_held_files()
        for uid in set(self._failures) - set(waiting):
            del self._failures[uid]
        for uid in waiting:
            failure, run = self._failures.get(uid), self._log.run(uid)
            if run is None or (failure and time.monotonic() < failure.retry_at):
                continue
            if self._retry(run):
                done.append(run)
            else:
                # An artifact store may take long to time out, and blocks the delivery of runs meanwhile.
                break
        return done

    def _retry(self, run: DeliveredRun) -> bool:
        held = self._log.held_files(run.uid)
        items = kept_records(held)
        left = items if items and self._fails(run, items) else []
        now = self._log.run(run.uid)
        if now is not None and now.abandoned:
            # Deleted in MLflow since; the files stay in the log in case it is restored.
            return True
        if len(left) > 1 and self._failures[run.uid].failures > _TOGETHER:
            left = [item for item in items if self._fails(run, [item])]
        places = {item.place for item in left}
        self._log.drop_held_files([kept.id for kept in held if f"{kept.file}:{kept.place}" not in places])
        if not left:
            self._failures.pop(run.uid, None)
        return not left

    def _fails(self, run: DeliveredRun, items: Sequence[RunRecord]) -> bool:
        try:
            self._deliver(run, items)
        except (WorkbenchError, OSError) as error:
            self._store.ping()
            failure, message = self._failures.setdefault(run.uid, _Failure("")), getattr(error, "message", str(error))
            if failure.message != message:
                _log.warning("files of run %s wait: %s", run.uid, message)
            failure.message = message
            failure.pause()
            return True
        return False

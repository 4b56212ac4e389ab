"""Files that cannot be delivered now: they are tried again after a growing pause, and everything else goes on.

Where artifacts are kept is often another place than where runs are, with credentials, packages and failures of its
own.
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
#: Failures after which the files of a run are tried one by one, so that one cannot keep the others waiting.
_TOGETHER = 5

_Deliver: TypeAlias = Callable[[DeliveredRun, Sequence[RunRecord]], object]


@dataclass
class _Trouble:
    """Why the files of a run wait, how often they were tried, and when they are tried again."""

    text: str
    failures: int = 0
    retry_at: float = 0.0

    def pause(self) -> None:
        self.failures += 1
        self.retry_at = time.monotonic() + min(_PAUSE * 2 ** min(self.failures - 1, 30), _LONGEST_PAUSE)


class HeldFiles:
    """Delivers files of runs, and keeps in the delivery log what cannot be delivered.

    Parameters
    ----------
    store : TrackingStore
        Tells whether it is the place of artifacts that fails, or all of MLflow.
    log : DeliveryLog
        Keeps what waits.
    deliver : callable
        Delivers the files of some records of a run.
    """

    def __init__(self, store: TrackingStore, log: DeliveryLog, deliver: _Deliver) -> None:
        self._store = store
        self._log = log
        self._deliver = deliver
        self._troubles: dict[str, _Trouble] = {}

    @property
    def problem(self) -> str:
        """Why files wait, empty when none do."""
        return next((f"files of run {uid} wait: {trouble.text}" for uid, trouble in self._troubles.items()), "")

    def deliver(self, run: DeliveredRun, items: Sequence[RunRecord]) -> list[RunRecord]:
        """Deliver files now, and give the records whose files have to wait.

        Raises
        ------
        Unavailable
            MLflow itself does not answer.
        """
        if self._log.held_files(run.uid):
            # A file may be written twice, and the later one stays.
            return list(items)
        return list(items) if self._fails(run, items) else []

    def retry(self) -> list[DeliveredRun]:
        """Try again what has waited long enough; give the runs of which nothing waits any more.

        Raises
        ------
        Unavailable
            As for :meth:`deliver`.
        """
        done = []
        waiting = self._log.runs_with_held_files()
        for uid in set(self._troubles) - set(waiting):
            del self._troubles[uid]
        for uid in waiting:
            trouble, run = self._troubles.get(uid), self._log.run(uid)
            if run is None or (trouble and time.monotonic() < trouble.retry_at):
                continue
            if self._retry(run):
                done.append(run)
            else:
                # A place that does not answer may take long to say so, and runs wait meanwhile.
                break
        return done

    def _retry(self, run: DeliveredRun) -> bool:
        held = self._log.held_files(run.uid)
        items = kept_records(held)
        left = items if items and self._fails(run, items) else []
        now = self._log.run(run.uid)
        if now is not None and now.abandoned:
            # Deleted meanwhile, and restored maybe.
            return True
        if len(left) > 1 and self._troubles[run.uid].failures > _TOGETHER:
            left = [item for item in items if self._fails(run, [item])]
        places = {item.place for item in left}
        self._log.drop_held_files([kept.id for kept in held if f"{kept.file}:{kept.place}" not in places])
        if not left:
            self._troubles.pop(run.uid, None)
        return not left

    def _fails(self, run: DeliveredRun, items: Sequence[RunRecord]) -> bool:
        try:
            self._deliver(run, items)
        except (WorkbenchError, OSError) as error:
            self._store.ping()
            trouble, text = self._troubles.setdefault(run.uid, _Trouble("")), getattr(error, "message", str(error))
            if trouble.text != text:
                _log.warning("files of run %s wait: %s", run.uid, text)
            trouble.text = text
            trouble.pause()
            return True
        return False

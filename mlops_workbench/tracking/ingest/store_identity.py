"""Which store runs are delivered to, and whether it is still the one that has what was delivered."""

from __future__ import annotations

import logging

from mlops_workbench.tracking.delivery.log import DeliveryLog
from mlops_workbench.tracking.mlflow.store import TrackingStore

_log = logging.getLogger(__name__)


class StoreIdentity:
    """The identity of a store, found with the first :meth:`find`.

    Attributes
    ----------
    value : str
        Changes with the store; empty until it is found.
    notice : str
        What was lost and what became of it, empty for nothing.
    """

    def __init__(self, store: TrackingStore, log: DeliveryLog) -> None:
        self._store = store
        self._log = log
        self.value = ""
        self.notice = ""

    def find(self) -> None:
        """Ask the store; if its database is another one, begin delivery again.

        Raises
        ------
        Unavailable
            MLflow does not answer.
        """
        found, known = self._store.store_id(), self._log.state("store_id")
        if found and known and found != known:
            # The workspace's database was deleted, and with it everything that was acknowledged.
            self._log.reset()
            self.notice = (
                "mlflow.db is not the one of before: the runs in the journals are delivered again, and then their "
                "models registered again; what MLflow alone had is not there any more"
            )
            _log.warning("%s", self.notice)
        if found:
            self._log.set_state("store_id", found)
        # The name of the log identifies the URI, which may hold a password.
        self.value = f"{self._log.path.stem} {found}"

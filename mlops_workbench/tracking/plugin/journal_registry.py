"""MLflow's model registry interface before the workspace's registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlflow.store.model_registry.abstract_store import AbstractStore

from mlops_workbench.tracking.plugin.delegation import delegate
from mlops_workbench.tracking.plugin.real_store import told_to_mlflow

if TYPE_CHECKING:
    from mlops_workbench.tracking.plugin.journal_store import JournalStore


class JournalRegistry(AbstractStore):
    """The registry of the workspace's own MLflow; a run is delivered before a version refers to it.

    Parameters
    ----------
    store : JournalStore
        The tracking store of the same workspace.
    """

    def __init__(self, store: JournalStore) -> None:
        self.tracking = store

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "tracking":
            raise AttributeError(name)
        return getattr(self.tracking.real.registry, name)

    def create_model_version(self, name: str, source: str, run_id: str | None = None, *more: Any, **named: Any) -> Any:
        """Make the next version of a registered model."""
        real = self.tracking.real
        with told_to_mlflow():
            if run_id:
                real.try_to_deliver(run_id)
                run_id = real.run_id(run_id)
            return real.registry.create_model_version(name, source, run_id, *more, **named)

    def get_model_version_download_uri(self, name: str, version: str) -> str:
        """Where the files of a version are."""
        real = self.tracking.real
        with told_to_mlflow():
            return real.reachable(real.registry.get_model_version_download_uri(name, version))


delegate(JournalRegistry, AbstractStore, lambda store: store.tracking.real.registry)

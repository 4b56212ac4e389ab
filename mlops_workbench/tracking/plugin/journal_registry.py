"""MLflow's model registry interface to the workspace's registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlflow.store.model_registry.abstract_store import AbstractStore

from mlops_workbench.tracking.plugin.delegation import delegate
from mlops_workbench.tracking.plugin.real_store import as_mlflow_errors

if TYPE_CHECKING:
    from mlops_workbench.tracking.plugin.journal_store import JournalStore


class JournalRegistry(AbstractStore):
    """The registry of the workspace's own MLflow; runs are delivered before a version refers to them.

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
        """Create the next version of a registered model."""
        real = self.tracking.real
        with as_mlflow_errors():
            if run_id:
                real.try_to_deliver(run_id)
                run_id = real.run_id(run_id)
            return self._shown(real.registry.create_model_version(name, source, run_id, *more, **named))

    def copy_model_version(self, src_mv: Any, dst_name: str) -> Any:
        """Copy a version to another registered model."""
        registry = self.tracking.real.registry
        source = registry.get_model_version(src_mv.name, src_mv.version)
        return self._shown(registry.copy_model_version(source, dst_name))

    def search_model_versions(self, filter_string: str | None = None, *args: Any, **more: Any) -> Any:
        """Versions that match a filter."""
        real = self.tracking.real
        found = real.registry.search_model_versions(real.with_store_ids(filter_string), *args, **more)
        return self._shown(found)

    def get_model_version_download_uri(self, name: str, version: str) -> str:
        """URI of the files of a version."""
        real = self.tracking.real
        with as_mlflow_errors():
            return real.resolved(real.registry.get_model_version_download_uri(name, version))

    def _shown(self, found: Any) -> Any:
        return self.tracking.real.shown(found)


delegate(JournalRegistry, AbstractStore, lambda store: store.tracking.real.registry, JournalRegistry._shown)

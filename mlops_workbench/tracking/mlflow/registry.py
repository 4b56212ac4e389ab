"""Access to MLflow's model registry."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mlops_workbench.core.errors import Conflict, NotFound
from mlops_workbench.tracking.mlflow.connection import MlflowConnection, all_pages
from mlops_workbench.tracking.mlflow.errors import translated

_PAGE = 1000


@dataclass(frozen=True)
class StoredModel:
    """A registered model in MLflow."""

    name: str
    latest: int
    aliases: dict[str, int]
    created_ms: int
    updated_ms: int


@dataclass(frozen=True)
class StoredVersion:
    """A model version in MLflow; `run_id` and `model_id` are empty when unknown."""

    name: str
    version: int
    run_id: str
    model_id: str
    created_ms: int
    description: str
    tags: dict[str, str] = field(default_factory=dict)


class RegistryStore:
    """Registered models, versions, aliases and tags; only the last methods transfer files."""

    def __init__(self, connection: MlflowConnection) -> None:
        self._connection = connection

    def models(self) -> list[StoredModel]:
        """All registered models by name."""
        with self._connection.calls() as client:
            found = list(all_pages(partial(client.search_registered_models, max_results=_PAGE)))
        return sorted(map(_model, found), key=lambda model: model.name)

    def model(self, name: str) -> StoredModel:
        """A registered model.

        Raises
        ------
        NotFound
            There is no model of this name.
        """
        with self._connection.calls() as client:
            return _model(client.get_registered_model(name))

    def ensure_model(self, name: str) -> None:
        """Create the registered model unless it exists."""
        # First: that the store cannot be opened is no conflict of names.
        client = self._connection.client
        with contextlib.suppress(Conflict), translated(self._connection.uri):
            client.create_registered_model(name)

    def versions(self, name: str) -> list[StoredVersion]:
        """Versions of a model, newest first; an unknown model has none."""
        with self._connection.calls() as client:
            found = list(all_pages(partial(client.search_model_versions, f"name = '{name}'", max_results=_PAGE)))
        return sorted(map(_version, found), key=lambda version: -version.version)

    def version(self, name: str, version: int) -> StoredVersion:
        """One version.

        Raises
        ------
        NotFound
            There is no such version.
        """
        with self._connection.calls() as client:
            return _version(client.get_model_version(name, str(version)))

    def create_version(self, name: str, model_id: str, run_id: str, tags: Mapping[str, str]) -> StoredVersion:
        """Register a logged model as the next version, with its tags in the same transaction."""
        with self._connection.calls() as client:
            logged = client.get_logged_model(model_id)
            # With a database URI MLflow resolves `models:/m-...` against its process-wide tracking URI, which may be
            # another store; the artifact location does not depend on it.
            source = f"models:/{model_id}" if self._connection.remote else logged.artifact_location
            made = client.create_model_version(
                name, source, run_id=run_id or None, tags=dict(tags), model_id=model_id, await_creation_for=0
            )
            known = json.loads(logged.tags.get("mlflow.modelVersions", "[]"))
            known.append({"name": made.name, "version": made.version})
            client.set_logged_model_tags(model_id, {"mlflow.modelVersions": json.dumps(known)})
        return _version(made)

    def has_logged_model(self, model_id: str) -> bool:
        """Whether MLflow has a logged model of this id."""
        try:
            with self._connection.calls() as client:
                client.get_logged_model(model_id)
        except NotFound:
            return False
        return True

    def skip_version(self, name: str, model_id: str, run_id: str) -> None:
        """Use up the next version number of a model."""
        made = self.create_version(name, model_id, run_id, {})
        with self._connection.calls() as client:
            client.delete_model_version(name, str(made.version))

    def set_version_tags(self, name: str, version: int, tags: Mapping[str, str]) -> None:
        """Set tags of a version; the last value wins."""
        with self._connection.calls() as client:
            for key, value in tags.items():
                client.set_model_version_tag(name, str(version), key, value)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Set an alias to a version; MLflow does this in one transaction."""
        with self._connection.calls() as client:
            client.set_registered_model_alias(name, alias, str(version))

    def read_file(self, model_id: str, path: str, folder: Path) -> Path | None:
        """Copy a file of a logged model to the same path in a folder; None if the model has no such file."""
        with self._connection.calls() as client:
            if not any(found.path == path for found in client.list_logged_model_artifacts(model_id, _above(path))):
                return None
            from mlflow.artifacts import download_artifacts

            source = f"{client.get_logged_model(model_id).artifact_location.rstrip('/')}/{path}"
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            download_artifacts(artifact_uri=source, dst_path=str(target.parent), tracking_uri=self._connection.uri)
            return target

    def download_model(self, model_id: str, folder: Path) -> Path:
        """Copy all files of a logged model into a folder, and return the path of the model in it."""
        with self._connection.calls() as client:
            from mlflow.artifacts import download_artifacts

            source = client.get_logged_model(model_id).artifact_location
            return Path(
                download_artifacts(artifact_uri=source, dst_path=str(folder), tracking_uri=self._connection.uri)
            )

    def download(self, name: str, version: int, folder: Path) -> Path:
        """Copy the files of a version into the new folder `folder`, and return the path of the model in it."""
        folder.mkdir(parents=True, exist_ok=True)
        with self._connection.calls() as client:
            from mlflow.artifacts import download_artifacts

            source = client.get_model_version_download_uri(name, str(version))
            tracking_uri = self._connection.uri
            return Path(download_artifacts(artifact_uri=source, dst_path=str(folder), tracking_uri=tracking_uri))


def _above(path: str) -> str | None:
    """Folder of a path, None for the topmost."""
    return path.rpartition("/")[0] or None


def _model(model: Any) -> StoredModel:
    aliases = {alias: int(version) for alias, version in dict(model.aliases or {}).items()}
    # One latest version for each stage; stages are deprecated, but the newest is always among them.
    latest = max((int(version.version) for version in model.latest_versions or []), default=0)
    created, updated = model.creation_timestamp, model.last_updated_timestamp
    return StoredModel(model.name, latest, aliases, int(created or 0), int(updated or 0))


def _version(version: Any) -> StoredVersion:
    source = str(version.source or "")
    model_id = getattr(version, "model_id", None) or ""
    if not model_id:
        model_id = next((part for part in source.replace(":", "/").split("/") if part.startswith("m-")), "")
    return StoredVersion(
        name=version.name,
        version=int(version.version),
        run_id=version.run_id or "",
        model_id=model_id,
        created_ms=int(version.creation_timestamp or 0),
        description=version.description or "",
        tags=dict(version.tags or {}),
    )

"""Cards of model versions, from the registry, the run, the endpoints and what a person wrote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mlops_workbench.control.services.endpoints import EndpointService
from mlops_workbench.control.services.models import ModelService
from mlops_workbench.control.services.runs import RunService
from mlops_workbench.core.datasets import DatasetVersion
from mlops_workbench.core.errors import NotFound, StorageError, Unavailable
from mlops_workbench.core.model_card import CardText, ModelCard
from mlops_workbench.core.models import ModelVersion
from mlops_workbench.core.runs import RunDetail
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.registry.cards.card import VersionFacts, build_card
from mlops_workbench.registry.cards.free_text import read_text
from mlops_workbench.registry.cards.version_files import VersionFiles, read_version_files

_ENVIRONMENT = "environment.json"


class CardService:
    """Makes the card of a version; what cannot be read is named on it."""

    def __init__(
        self, workspace: Workspace, models: ModelService, runs: RunService, endpoints: EndpointService
    ) -> None:
        self._workspace = workspace
        self._models = models
        self._runs = runs
        self._endpoints = endpoints

    def card(self, name: str, number: int) -> ModelCard:
        """The card of a version.

        Raises
        ------
        NotFound
            There is no such model or version.
        """
        version = self._models.version(name, number)
        older = [other for other in self._models.versions(name) if other.version < number]
        previous = max(older, key=lambda other: other.version, default=None)
        notes: list[str] = []
        run = self._run(version)
        if run is None:
            notes.append("the run that logged it is not known here")
        return build_card(
            VersionFacts(
                version=version,
                digest=self._models.digest(name, number),
                files=self._files(version, notes),
                run=run,
                datasets=self._datasets(version),
                environment=self._environment(run, notes),
                endpoints=self._endpoints.all(),
                previous=previous,
                previous_datasets=self._datasets(previous) if previous is not None else (),
                text=self._text(name, notes),
                personal=self._workspace.latest().data.personal,
                notes=notes,
            )
        )

    def _files(self, version: ModelVersion, notes: list[str]) -> VersionFiles:
        try:
            return read_version_files(self._models.export(version.name, version.version))
        except (NotFound, StorageError, Unavailable) as error:
            notes.append(f"the files of the model cannot be read: {error.message}")
            return VersionFiles()

    def _run(self, version: ModelVersion) -> RunDetail | None:
        try:
            return self._runs.detail(version.run_uid) if version.run_uid else None
        except (NotFound, StorageError, Unavailable):
            return None

    def _datasets(self, version: ModelVersion) -> Sequence[DatasetVersion]:
        try:
            return self._runs.datasets(version.run_uid) if version.run_uid else ()
        except (NotFound, StorageError, Unavailable):
            return ()

    def _environment(self, run: RunDetail | None, notes: list[str]) -> dict[str, Any]:
        if run is None or all(artifact.path != _ENVIRONMENT for artifact in run.artifacts):
            return {}
        try:
            found = json.loads(self._runs.artifact(run.run.uid, _ENVIRONMENT)[1].read_bytes())
        except (NotFound, OSError, ValueError) as error:
            notes.append(f"the environment of the run cannot be read: {error}")
            return {}
        return found if isinstance(found, dict) else {}

    def _text(self, name: str, notes: list[str]) -> CardText:
        try:
            return read_text(self._workspace.root, name)
        except StorageError as error:
            notes.append(error.message)
            return CardText()

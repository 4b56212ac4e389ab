"""The registry: registers models of runs, and promotes and exports their versions."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from mlops_workbench.core.errors import Conflict, InvalidInput, NotFound, Unavailable, did_you_mean
from mlops_workbench.core.files import file_lock
from mlops_workbench.core.ids import check_name, now_ms
from mlops_workbench.core.models import GateResult, ModelVersion, RegisteredModel
from mlops_workbench.core.runs import Run
from mlops_workbench.core.tags import PENDING_MOVE
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.registry.export import export_version, newest_export
from mlops_workbench.registry.gates import MetricValues, evaluate
from mlops_workbench.registry.version_tags import MODEL_UID, gate_tag, metrics_tag, tags_of, version_of
from mlops_workbench.tracking import ReadIndex, TrackingStore
from mlops_workbench.tracking.mapping.models import model_uid
from mlops_workbench.tracking.mlflow.registry import StoredModel, StoredVersion

log = logging.getLogger("mlops_workbench.registry")

CHAMPION = "champion"
PREVIOUS = "previous"

_LARGEST_VERSION = 2**31 - 1
_ALIAS = re.compile(r"[A-Za-z][\w-]{0,200}\Z")


class Registry:
    """Registered models and their versions, which MLflow stores.

    Parameters
    ----------
    store : TrackingStore
        The workspace's MLflow.
    index : ReadIndex
        Its runs and their models.
    workspace : Workspace
        Has the folder to which versions are exported.
    """

    def __init__(self, store: TrackingStore, index: ReadIndex, workspace: Workspace) -> None:
        self.store = store.registry
        self.tracking = store
        self.index = index
        self.workspace = workspace

    def models(self) -> list[RegisteredModel]:
        """All registered models by name."""
        return [RegisteredModel(m.name, m.latest, m.aliases, m.updated_ms) for m in self.store.models()]

    def versions(self, name: str) -> list[ModelVersion]:
        """Versions of a model, newest first.

        Raises
        ------
        NotFound
            There is no such model; the hint names the nearest.
        """
        aliases = self._model(name).aliases
        return [self._shown(stored, aliases) for stored in self.store.versions(name)]

    def version(self, name: str, version: int) -> ModelVersion:
        """One version.

        Raises
        ------
        NotFound
            There is no such model or version.
        """
        model = self._model(name)
        return self._shown(self._stored(model, version), model.aliases)

    def resolve(self, ref: str) -> tuple[str, int]:
        """Name and version number of ``name@alias``, ``name/3`` or ``name``.

        A bare name means the champion, or the newest version if there is no champion.

        Raises
        ------
        NotFound
            There is no such model, alias or version.
        InvalidInput
            The reference has another form.
        """
        text = ref.removeprefix("models:/")
        if "@" in text:
            name, _, alias = text.partition("@")
            model = self._model(name)
            if alias not in model.aliases:
                raise NotFound(f"model '{name}' has no alias '{alias}'", hint=did_you_mean(alias, model.aliases))
            return name, model.aliases[alias]
        if "/" in text:
            name, _, number = text.partition("/")
            if not number.isascii() or not number.isdecimal() or len(number) > 10:
                raise InvalidInput(f"'{ref}' is not a version", hint="use name@alias, name/3 or name")
            model = self._model(name)
            return name, self._stored(model, int(number)).version
        model = self._model(text)
        version = model.aliases.get(CHAMPION) or model.latest
        if not version:
            raise NotFound(f"model '{text}' has no versions", hint="register one: mlops register RUN --as " + text)
        return text, version

    def register(self, run: Run, name: str, model_name: str | None = None) -> ModelVersion:
        """Register the model of a run as the next version of `name`; a model that is registered keeps its version.

        Parameters
        ----------
        run : Run
            A delivered run, see :meth:`Ingest.drain`.
        name : str
            Registered model, created if it is new.
        model_name : str, optional
            Name of the run's model; by default the newest.

        Raises
        ------
        NotFound
            The run logged no (such) model.
        Unavailable
            The model is not in MLflow yet.
        """
        check_name("model", name)
        logged = self.index.model(run.uid, model_name)
        run = self.index.find(run.uid)
        key = model_uid(logged.record)
        if not logged.model_id or not run.run_id:
            raise Unavailable(
                f"the model of run '{run.name}' is not in MLflow yet",
                where=self.tracking.shown_uri,
                hint="try again when 'mlops status' shows no backlog",
            )
        with self._lock():
            self.store.ensure_model(name)
            for stored in self.store.versions(name):
                if stored.tags.get(MODEL_UID) == key:
                    return self._shown(stored, self._model(name).aliases)
            made = self.store.create_version(name, logged.model_id, run.run_id, tags_of(run, logged))
        return self._shown(made, {})

    def evaluate_gate(
        self,
        name: str,
        version: int,
        conditions: list[str],
        *,
        baseline: MetricValues | None = None,
        metrics: MetricValues | None = None,
    ) -> GateResult:
        """Evaluate a gate for a version and store the result with it.

        Parameters
        ----------
        name, version
            The candidate.
        conditions : list of str
            See :mod:`mlops_workbench.registry.gates`.
        baseline : mapping, optional
            Metrics of the baseline run.
        metrics : mapping, optional
            Metrics of the candidate that another run measured; they are stored with the version, and precede those of
            the run that logged the model.

        Raises
        ------
        NotFound
            There is no such version.
        InvalidInput
            A condition is not valid.
        """
        model = self._model(name)
        candidate = self._shown(self._stored(model, version), model.aliases)
        champion: Mapping[str, float | None] | None = None
        holder = model.aliases.get(CHAMPION)
        # A champion cannot be better than itself.
        if holder and holder != version:
            champion = self._shown(self._stored(model, holder), model.aliases).metrics
        measured = {**candidate.metrics, **(metrics or {})}
        result = evaluate(conditions, measured, champion=champion, baseline=baseline, at_ms=now_ms())
        self.store.set_version_tags(name, version, {**gate_tag(result), **(metrics_tag(measured) if metrics else {})})
        return result

    def promote(self, name: str, version: int, alias: str = CHAMPION) -> ModelVersion:
        """Set `alias` to a version; the version that had it becomes ``previous``.

        The alias always has the old version or the new one, and the next promotion finishes an interrupted one.

        Raises
        ------
        NotFound
            There is no such version.
        InvalidInput
            The alias is not valid.
        """
        check_alias(alias)
        with self._lock():
            model = self._settled(name)
            self._stored(model, version)
            current = model.aliases.get(alias, 0)
            if current != version:
                self._move(name, {alias: version, _previous(alias): current})
        return self.version(name, version)

    def rollback(self, name: str, alias: str = CHAMPION) -> ModelVersion:
        """Set `alias` to the previous version, and ``previous`` to the one that had it.

        Raises
        ------
        NotFound
            There is no such model or alias.
        Conflict
            There is no previous version.
        """
        with self._lock():
            model = self._settled(name)
            if alias not in model.aliases:
                raise NotFound(f"model '{name}' has no alias '{alias}'", hint=did_you_mean(alias, model.aliases))
            current, before = model.aliases[alias], model.aliases.get(_previous(alias), 0)
            if not before or before == current:
                raise Conflict(
                    f"model '{name}' has no version before {current} to go back to",
                    hint=f"promote one: mlops promote {name}/VERSION --alias {alias}",
                )
            self._stored(model, before)
            self._move(name, {alias: before, _previous(alias): current})
        return self.version(name, before)

    def export(self, name: str, version: int) -> Path:
        """Copy a version to the workspace, unless it has a valid copy, and return its folder.

        While the registry does not answer, the newest copy of a version of this number is returned.

        Raises
        ------
        NotFound
            There is no such version.
        StorageError
            A file differs from the manifest, or cannot be written.
        Unavailable
            The registry does not answer, and there is no copy.
        """
        check_name("model", name)
        try:
            target = self.export_target(name, version)
        except Unavailable:
            found = newest_export(self.workspace.models / name, version)
            if found is None:
                raise
            return found
        return export_version(target, lambda folder: self.store.download(name, version, folder))

    def export_target(self, name: str, version: int) -> Path:
        """Folder to which a version is exported, whether it was exported or not.

        Raises
        ------
        NotFound
            There is no such version.
        """
        stored = self._stored(self._model(name), version)
        # The number alone is used again after a model was deleted.
        made = f"{stored.model_id}|{stored.run_id}|{stored.created_ms}"
        return self.workspace.models / name / f"{version}-{hashlib.sha256(made.encode()).hexdigest()[:12]}"

    def _model(self, name: str) -> StoredModel:
        try:
            return self.store.model(name)
        except (NotFound, InvalidInput) as error:
            known = [model.name for model in self.store.models()]
            hint = did_you_mean(name, known) if known else "register one: mlops register RUN --as NAME"
            raise NotFound(f"no registered model '{name}'", hint=hint) from error

    def _stored(self, model: StoredModel, version: int) -> StoredVersion:
        missing = NotFound(
            f"model '{model.name}' has no version {version}", hint=f"its newest version is {model.latest}"
        )
        # A number out of the range of the database would be a server error.
        if not 0 < version <= _LARGEST_VERSION:
            raise missing
        try:
            return self.store.version(model.name, version)
        except (NotFound, InvalidInput) as error:
            raise missing from error

    def _shown(self, stored: StoredVersion, aliases: Mapping[str, int]) -> ModelVersion:
        run = None
        if MODEL_UID not in stored.tags and stored.run_id:
            # Registered by plain MLflow; its run may be in the index.
            try:
                run = self.index.find(stored.run_id)
            except NotFound:
                run = None
        return version_of(stored, aliases, run)

    def _move(self, name: str, aliases: Mapping[str, int]) -> None:
        """Move aliases together; a tag with the intent is written first and deleted last."""
        self.store.set_model_tag(name, PENDING_MOVE, json.dumps(dict(aliases)))
        self._finish_move(name, aliases)

    def _finish_move(self, name: str, aliases: Mapping[str, int]) -> None:
        for alias, version in aliases.items():
            if version:
                self.store.set_alias(name, alias, version)
        self.store.delete_model_tag(name, PENDING_MOVE)

    def _settled(self, name: str) -> StoredModel:
        model = self._model(name)
        pending = model.tags.get(PENDING_MOVE)
        if not pending:
            return model
        moves = {}
        for alias, version in _moves(pending).items():
            try:
                moves[alias] = self._stored(model, version).version
            except NotFound as error:
                log.warning("an interrupted promotion cannot set '%s': %s", alias, error)
        self._finish_move(name, moves)
        return self._model(name)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with file_lock(self.workspace.run / "registry.lock"):
            yield


def _moves(pending: str) -> dict[str, int]:
    """Aliases and versions of an interrupted promotion; none when its tag was edited."""
    try:
        return {
            alias: version for alias, version in msgspec.json.decode(pending, type=dict[str, int]).items() if version
        }
    except (msgspec.DecodeError, RecursionError) as error:
        log.warning("the note of an interrupted promotion is dropped: %s", error)
        return {}


def _previous(alias: str) -> str:
    return PREVIOUS if alias == CHAMPION else f"{alias}-{PREVIOUS}"


def check_alias(alias: str) -> None:
    """Raise `InvalidInput` unless a version can have this alias."""
    if not _ALIAS.match(alias) or alias == "latest" or re.fullmatch(r"[vV]\d+", alias):
        raise InvalidInput(
            f"'{alias}' cannot be an alias",
            where="alias",
            hint="use letters, digits, '_' and '-', for example champion",
        )

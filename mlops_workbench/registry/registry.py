"""The registry: registers models of runs, evaluates gates for their versions and exports them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mlops_workbench.core.errors import InvalidInput, NotFound, StorageError, Unavailable, did_you_mean
from mlops_workbench.core.files import file_lock
from mlops_workbench.core.gates import MetricValues, evaluate
from mlops_workbench.core.ids import check_name, now_ms
from mlops_workbench.core.models import GateCheck, GateResult, ModelVersion, ProvenRuntime, RegisteredModel
from mlops_workbench.core.runs import Run
from mlops_workbench.core.tags import MODEL_UID, SIGNATURE
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.registry.aliases import CHAMPION
from mlops_workbench.registry.export import export_version, newest_export, put_signature
from mlops_workbench.registry.signing import VersionSigner
from mlops_workbench.registry.version_tags import gate_tag, key_of, metrics_tag, runtime_tag, tags_of, version_of
from mlops_workbench.tracking import LoggedModel, ReadIndex, TrackingStore
from mlops_workbench.tracking.mlflow.logged_models import describe_model, models_of_run
from mlops_workbench.tracking.mlflow.registry import StoredModel, StoredVersion

_LARGEST_VERSION = 2**31 - 1

#: Calls a function that reads models from MLflow, and returns them with the aliases that hold.
ReadModels = Callable[[Callable[[], list[StoredModel]]], list[StoredModel]]


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
    read : callable, optional
        Puts the aliases that hold in place of MLflow's; by default MLflow's hold.
    """

    def __init__(
        self, store: TrackingStore, index: ReadIndex, workspace: Workspace, read: ReadModels = lambda fetch: fetch()
    ) -> None:
        self.store = store.registry
        self._read = read
        self.tracking = store
        self.index = index
        self.workspace = workspace
        self._signer = VersionSigner(self.store, workspace)

    def models(self) -> list[RegisteredModel]:
        """All registered models by name."""
        found = self._read(self.store.models)
        return [RegisteredModel(m.name, m.latest, m.aliases, m.updated_ms) for m in found]

    def model(self, name: str) -> StoredModel:
        """A registered model.

        Raises
        ------
        NotFound
            There is no such model; the hint names the nearest.
        """
        try:
            return self._read(lambda: [self.store.model(name)])[0]
        except (NotFound, InvalidInput) as error:
            known = [model.name for model in self.store.models()]
            hint = did_you_mean(name, known) if known else "register one: mlops register RUN --as NAME"
            raise NotFound(f"no registered model '{name}'", hint=hint) from error

    def versions(self, name: str) -> list[ModelVersion]:
        """Versions of a model, newest first.

        Raises
        ------
        NotFound
            There is no such model; the hint names the nearest.
        """
        aliases = self.model(name).aliases
        return [self._shown(stored, aliases) for stored in self.store.versions(name)]

    def version(self, name: str, version: int) -> ModelVersion:
        """One version.

        Raises
        ------
        NotFound
            There is no such model or version.
        """
        model = self.model(name)
        return self._shown(self._stored(model, version), model.aliases)

    def digest(self, name: str, version: int) -> str:
        """Digest of the model of a version, which covers its files and its run; MLflow's id without one.

        Raises
        ------
        NotFound
            There is no such model or version.
        """
        stored = self._stored(self.model(name), version)
        return stored.tags.get(MODEL_UID) or stored.model_id

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
            model = self.model(name)
            if alias not in model.aliases:
                raise NotFound(f"model '{name}' has no alias '{alias}'", hint=did_you_mean(alias, model.aliases))
            return name, model.aliases[alias]
        if "/" in text:
            name, _, number = text.partition("/")
            if not number.isascii() or not number.isdecimal() or len(number) > 10:
                raise InvalidInput(f"'{ref}' is not a version", hint="use name@alias, name/3 or name")
            model = self.model(name)
            return name, self._stored(model, int(number)).version
        model = self.model(text)
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
        logged = self._logged(run, model_name)
        run = self.index.find(run.uid)
        key = key_of(logged)
        if not logged.model_id or not run.run_id:
            raise Unavailable(
                f"the model of run '{run.name}' is not in MLflow yet",
                where=self.tracking.shown_uri,
                hint="try again when 'mlops status' shows no backlog",
            )
        with self._lock():
            self.store.ensure_model(name)
        stored = self._version_with(name, key)
        if stored is None:
            # It reads all files of the model, which must not hold up others.
            signed = self._signer.sign(name, logged)
            with self._lock():
                stored = self._version_with(name, key)
                if stored is None:
                    tags = tags_of(run, logged, self.index.datasets(run.uid))
                    made = self.store.create_version(name, logged.model_id, run.run_id, {**tags, **signed.tags})
                    return replace(self._shown(made, {}), notice=signed.notice)
        return self._signed_again(stored, logged)

    def _version_with(self, name: str, key: str) -> StoredVersion | None:
        return next((stored for stored in self.store.versions(name) if stored.tags.get(MODEL_UID) == key), None)

    def _signed_again(self, stored: StoredVersion, logged: LoggedModel) -> ModelVersion:
        """A version that is registered again; it is signed unless it has a signature that holds."""
        signed = self._signer.sign(stored.name, logged, stored.tags)
        if signed.tags:
            self.store.set_version_tags(stored.name, stored.version, signed.tags)
            stored = replace(stored, tags={**stored.tags, **signed.tags})
            target = self._export_target(stored)
            if target.is_dir():
                put_signature(target, signed.tags[SIGNATURE].encode())
        return replace(self._shown(stored, self.model(stored.name).aliases), notice=signed.notice)

    def _logged(self, run: Run, name: str | None) -> LoggedModel:
        """The newest model of a run, whether the workbench or MLflow code logged it."""
        connection = self.tracking.connection
        others = models_of_run(connection, run.run_id) if run.run_id else []
        theirs = [model for model in others if name in (None, model.name)]
        try:
            ours = self.index.model(run.uid, name)
        except NotFound as error:
            if others and not theirs:
                hint = did_you_mean(name or "", {model.name for model in others})
                raise NotFound(f"run '{run.name}' logged no model '{name}'", hint=hint) from error
            if not theirs:
                raise
        else:
            if not theirs or ours.record.at_ms >= theirs[-1].created_ms:
                return ours
        return LoggedModel(run.uid, describe_model(connection, run.uid, theirs[-1]), theirs[-1].model_id)

    def evaluate_gate(
        self,
        name: str,
        version: int,
        conditions: list[str],
        *,
        baseline: MetricValues | None = None,
        metrics: MetricValues | None = None,
        stages: Sequence[tuple[list[str], MetricValues]] = (),
        checks: Sequence[GateCheck] = (),
        override: str = "",
    ) -> tuple[GateResult, int]:
        """Evaluate a gate for a version and store the result with it.

        Parameters
        ----------
        name, version
            The candidate.
        conditions : list of str
            See :mod:`mlops_workbench.core.gates`.
        baseline : mapping, optional
            Metrics of the baseline run.
        metrics : mapping, optional
            Metrics of the candidate that another run measured; they are stored with the version, and precede those of
            the run that logged the model.
        stages : sequence of (conditions, metrics)
            Further gates, of the stages that made the candidate, each with the metrics of its stage.
        checks : sequence of GateCheck
            Further checks that were made, see :mod:`mlops_workbench.registry.dry_run_checks`.
        override : str
            Why the version is promoted if it does not pass.

        Returns
        -------
        result : GateResult
            Each condition, and whether it holds.
        champion : int
            The version that was the champion, 0 for none.

        Raises
        ------
        NotFound
            There is no such version.
        InvalidInput
            A condition is not valid.
        """
        model = self.model(name)
        candidate = self._shown(self._stored(model, version), model.aliases)
        champion: MetricValues | None = None
        holder = model.aliases.get(CHAMPION, 0)
        # A champion cannot be better than itself.
        if holder and holder != version:
            champion = self._shown(self._stored(model, holder), model.aliases).metrics
        measured = {**candidate.metrics, **(metrics or {})}
        now = now_ms()
        results = [
            evaluate(gate, values, champion=champion, baseline=baseline, at_ms=now)
            for gate, values in [(conditions, measured), *stages]
        ]
        made = [*(check for result in results for check in result.checks), *checks]
        passed = all(check.passed for check in made)
        result = GateResult(passed, made, now, "" if passed else override)
        # Without a condition there is no result to show.
        tags = gate_tag(result) if made else {}
        self.store.set_version_tags(name, version, {**tags, **(metrics_tag(measured) if metrics else {})})
        return result, holder

    def note_runtime(self, name: str, version: int, runtime: ProvenRuntime | None) -> None:
        """Store with a version what answers requests for it; None if that is not known any more."""
        self.store.set_version_tags(name, version, runtime_tag(runtime))

    def export(self, name: str, version: int) -> Path:
        """Copy a version to the workspace, unless it has a valid copy, and return its folder.

        While the registry does not answer or its database is damaged, the newest copy of a version of this number is
        returned.

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
            stored = self._stored(self.model(name), version)
        except (Unavailable, StorageError):
            found = newest_export(self.workspace.models / name, version)
            if found is None:
                raise
            return found
        signature = stored.tags.get(SIGNATURE)
        return export_version(
            self._export_target(stored),
            lambda folder: self.store.download(name, version, folder),
            signature.encode() if signature else None,
        )

    def export_target(self, name: str, version: int) -> Path:
        """Folder to which a version is exported, whether it was exported or not.

        Raises
        ------
        NotFound
            There is no such version.
        """
        return self._export_target(self._stored(self.model(name), version))

    def _export_target(self, stored: StoredVersion) -> Path:
        # The number alone is used again after a model was deleted.
        made = f"{stored.model_id}|{stored.run_id}|{stored.created_ms}"
        return (
            self.workspace.models / stored.name / f"{stored.version}-{hashlib.sha256(made.encode()).hexdigest()[:12]}"
        )

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
        signed_by, signature = self._signer.shown(stored.tags)
        version = version_of(stored, aliases, run)
        allowed = self.workspace.latest().serving.trusted_types if version.untrusted else []
        untrusted = [name for name in version.untrusted if name not in allowed]
        return replace(version, untrusted=untrusted, signed_by=signed_by, signature=signature)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with file_lock(self.workspace.run / "registry.lock"):
            yield

"""Copies of registered versions, from which they are made again after MLflow's own database was lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sqlalchemy import select

from mlops_workbench.control.database import Database
from mlops_workbench.control.tables import AliasRow, VersionRow
from mlops_workbench.core.errors import NotFound
from mlops_workbench.core.tags import MODEL_UID, RUN_UID, SIGNATURE
from mlops_workbench.registry.signing import Signed
from mlops_workbench.tracking import LoggedModel, ReadIndex, TrackingStore
from mlops_workbench.tracking.mlflow.registry import StoredModel, StoredVersion

log = logging.getLogger("mlops_workbench.control")


class VersionCopies:
    """The registered versions of the workspace's own MLflow database, copied to the control database.

    A version in another database than the present one is lost. It is made again with its number, its tags and the
    aliases when the model of its run has been delivered again from the journals. A server's registry is not copied.
    """

    def __init__(
        self, database: Database, tracking: TrackingStore, index: ReadIndex, sign: Callable[[str, LoggedModel], Signed]
    ) -> None:
        self._database = database
        self._tracking = tracking
        self._store = tracking.registry
        self._index = index
        self._sign = sign
        self._id: str | None = None
        #: What was last copied of each model.
        self._copied: dict[str, tuple[int, int]] = {}
        # What is made again is looked for and then made.
        self._making = threading.RLock()

    @property
    def notice(self) -> str:
        """Which versions are not made again yet; empty for none."""
        lost = self._lost() if self._id else []
        names = ", ".join(f"{row.model}/{row.version}" for row in lost)
        return f"registered versions that wait for their run to be delivered again: {names}" if names else ""

    def lost(self) -> set[str]:
        """Names of the models of which MLflow's present database lacks versions."""
        if self._id is None:
            self._id = self._tracking.store_id()
        return {row.model for row in self._lost()} if self._id else set()

    def step(self, models: list[StoredModel]) -> None:
        """Make lost versions again, and copy the models that have changed."""
        with self._making:
            self._step(models)

    def _step(self, models: list[StoredModel]) -> None:
        lost = self.lost()
        if not self._id:
            return
        there = {model.name: model for model in models}
        for name in sorted(lost):
            self._restore(name, there.get(name))
        for model in models:
            if model.name not in lost and self._copied.get(model.name) != (model.latest, model.updated_ms):
                self.copy(model.name)
                self._copied[model.name] = (model.latest, model.updated_ms)
        self._forget({model.name for model in models} | lost)

    def copy(self, name: str) -> None:
        """Copy the versions of a model that a run of the workbench has; others cannot be made again."""
        if not self._id:
            return
        found = {stored.version: stored for stored in self._store.versions(name) if stored.tags.get(MODEL_UID)}
        with self._database.change() as session:
            known = {row.version: row for row in session.scalars(select(VersionRow).where(VersionRow.model == name))}
            for version, stored in found.items():
                row = known.get(version)
                if row is None:
                    session.add(VersionRow(model=name, version=version, store=self._id, tags=stored.tags))
                elif (row.store, row.tags) != (self._id, stored.tags):
                    row.store, row.tags = self._id, stored.tags
            for version in known.keys() - found.keys():
                session.delete(known[version])

    def _lost(self) -> list[VersionRow]:
        with self._database.session() as session:
            query = select(VersionRow).where(VersionRow.store != self._id)
            return list(session.scalars(query.order_by(VersionRow.model, VersionRow.version)))

    def _restore(self, name: str, model: StoredModel | None) -> None:
        """Make the lost versions of a model again, in order, up to the first that has to wait."""
        stored = {version.version: version for version in self._store.versions(name)} if model is not None else {}
        for row in self._lost():
            if row.model != name:
                continue
            there = stored.get(row.version)
            if there is not None and there.tags.get(MODEL_UID) != row.tags.get(MODEL_UID):
                # The name was used for another model since.
                self._drop(name)
                return
            if there is None and not self._make(row, max(stored, default=0)):
                return
            stored.setdefault(row.version, StoredVersion(name, row.version, "", "", 0, "", row.tags))
            self._found(row)
        log.warning("model '%s' is registered again in the new MLflow database, with its aliases", name)
        self._keep_aliases(self._store.model(name))

    def _make(self, row: VersionRow, newest: int) -> bool:
        try:
            logged = self._index.model_by_uid(row.tags.get(RUN_UID, ""), row.tags[MODEL_UID])
            run = self._index.find(logged.uid)
            if not logged.model_id or not run.run_id or not self._store.has_logged_model(logged.model_id):
                # The index may have the ids of the database that is lost.
                return False
            self._store.ensure_model(row.model)
            # MLflow gives the next number, also after a version that is deleted.
            for _ in range(newest + 1, row.version):
                self._store.skip_version(row.model, logged.model_id, run.run_id)
            tags = {key: value for key, value in row.tags.items() if key != SIGNATURE}
            if SIGNATURE in row.tags:
                # MLmodel has the ids of the new database, so the old signature is over other files.
                signed = self._sign(row.model, logged)
                if signed.notice:
                    log.warning("%s/%d: %s", row.model, row.version, signed.notice)
                tags |= signed.tags
            self._store.create_version(row.model, logged.model_id, run.run_id, tags)
        except NotFound:
            # The journals do not have the run any more.
            return False
        return True

    def _found(self, row: VersionRow) -> None:
        with self._database.change() as session:
            if (kept := session.get(VersionRow, (row.model, row.version))) is not None:
                kept.store = self._id or ""

    def _drop(self, name: str) -> None:
        log.warning("model '%s' was registered anew: its earlier versions are not made again", name)
        with self._database.change() as session:
            for row in session.scalars(
                select(VersionRow).where(VersionRow.model == name, VersionRow.store != self._id)
            ):
                session.delete(row)

    def _keep_aliases(self, model: StoredModel) -> None:
        """Let the aliases of the model be written to MLflow, which does not have them."""
        with self._database.change() as session:
            for row in session.scalars(select(AliasRow).where(AliasRow.model == model.name)):
                row.model_created_ms, row.stored = model.created_ms, model.aliases.get(row.alias, 0)

    def _forget(self, names: set[str]) -> None:
        with self._database.session() as session:
            gone = set(session.scalars(select(VersionRow.model).distinct())) - names
        for name in gone:
            with self._database.change() as session:
                for row in session.scalars(select(VersionRow).where(VersionRow.model == name)):
                    session.delete(row)
            self._copied.pop(name, None)

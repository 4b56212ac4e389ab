"""Aliases of model versions: the database has them, MLflow's aliases follow."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Collection

import msgspec
from sqlalchemy import select

from mlops_workbench.control.database import Database
from mlops_workbench.control.releases import quarantine
from mlops_workbench.control.releases.way_back import way_back_of_alias
from mlops_workbench.control.services.alias_rows import (
    DELETED_IN_MLFLOW,
    PROMOTED,
    ROLLED_BACK,
    differs,
    reconcile,
    record_change,
    rows_of,
    set_versions,
)
from mlops_workbench.control.tables import AliasChangeRow, AliasRow
from mlops_workbench.core.errors import Conflict, InvalidInput, NotFound
from mlops_workbench.core.models import AliasChange, GateResult
from mlops_workbench.core.releases import RollbackPlan
from mlops_workbench.registry.aliases import CHAMPION, previous_of
from mlops_workbench.tracking.mlflow.registry import RegistryStore, StoredModel

log = logging.getLogger("mlops_workbench.control")


class ChampionChanged(Exception):
    """Another version became the champion after a gate was evaluated against the one before."""


class AliasService:
    """Moves aliases in one transaction with the record of the change, and keeps MLflow's aliases true.

    Each alias is a row with our version and the one that MLflow had when it was last read. MLflow's differs from the
    latter after a change that others made there, which is taken over; ours differs from it until it is written.

    Parameters
    ----------
    database : Database
        Has the rows.
    store : RegistryStore
        MLflow's registry.
    lost : callable, optional
        Returns the names of the models that MLflow's database has lost, whose aliases stay as they are.
    """

    def __init__(self, database: Database, store: RegistryStore, lost: Callable[[], set[str]] = set) -> None:
        self._database = database
        self._store = store
        self._lost = lost
        # Counts what makes an earlier look at MLflow outdated; odd while aliases are written there.
        self._changes = 0
        self._written = threading.Condition()

    def of(self, model: str) -> dict[str, int]:
        """Aliases of a model and their versions."""
        return self._all(model).get(model, {})

    def changes(self, model: str, limit: int = 100) -> list[AliasChange]:
        """Changes of the aliases of a model, newest first."""
        query = select(AliasChangeRow).where(AliasChangeRow.model == model).order_by(AliasChangeRow.id.desc())
        with self._database.session() as session:
            return [
                AliasChange(
                    row.model, row.alias, row.version, row.replaced, row.reason,
                    msgspec.convert(row.gate, GateResult | None), row.at_ms, row.actor, row.why,
                )
                for row in session.scalars(query.limit(limit))
            ]  # fmt: skip

    def read(self, fetch: Callable[[], list[StoredModel]]) -> list[StoredModel]:
        """Read models from MLflow, take over changes that were made there, and return them with the aliases that hold.

        Parameters
        ----------
        fetch : callable
            Reads the models.
        """
        before = self._changes
        found = fetch()
        known = self._rows(None if len(found) != 1 else found[0].name)
        different = [model for model in found if differs(model, known.get(model.name, {}))]
        if different:
            lost = self._lost()
            different = [model for model in different if model.name not in lost]
        if different and self._database.leads():
            self._take_over(different, before)
        aliases = self._all(None if len(found) != 1 else found[0].name)
        return [dataclasses.replace(model, aliases=aliases.get(model.name, {})) for model in found]

    def move(
        self,
        model: StoredModel,
        alias: str,
        version: int,
        *,
        gate: GateResult | None = None,
        champion: int | None = None,
        digest: str = "",
        release: str = "",
    ) -> None:
        """Give an alias to a version; the version that had it gets the alias of the previous one.

        Parameters
        ----------
        model : StoredModel
            The model.
        alias : str
            The alias.
        version : int
            An existing version.
        gate : GateResult, optional
            The gate that allows it.
        champion : int, optional
            The champion that the gate was evaluated against, 0 for none.
        digest : str
            Digest of the version.
        release : str
            Why a quarantine of the version is lifted; empty to refuse a version in quarantine.

        Raises
        ------
        ChampionChanged
            The champion is another one by now.
        Quarantined
            The version is in quarantine.
        """
        with self._database.change() as session:
            rows = rows_of(session, model.name)
            current = rows[alias].version if alias in rows else 0
            if champion is not None and champion != (rows[CHAMPION].version if CHAMPION in rows else 0):
                raise ChampionChanged
            quarantine.check(session, model.name, version, digest, release=release)
            if current != version:
                set_versions(session, rows, model, {alias: version, previous_of(alias): current})
                why = f"its gate failed, and this was overridden: {gate.override}" if gate and gate.override else ""
                record_change(session, model.name, alias, version, current, PROMOTED, gate=gate, digest=digest, why=why)

    def plan(self, name: str, alias: str = CHAMPION, gone: Collection[int] = ()) -> RollbackPlan:
        """What a rollback of an alias would do; it raises what `rollback` does."""
        with self._database.session() as session:
            return way_back_of_alias(session, name, alias, gone)[0]

    def rollback(
        self,
        name: str,
        alias: str,
        reason: str,
        *,
        why: str = "",
        leaves: int = 0,
        gone: Collection[int] = (),
        digest: str = "",
    ) -> int:
        """Give an alias back to the version that had it before, and put the one that it leaves in quarantine.

        Versions in quarantine are passed over. MLflow is not asked.

        Parameters
        ----------
        name, alias : str
            Model and alias.
        reason : str
            Why, in words.
        why : str
            What it is part of, for the audit trail.
        leaves : int
            The version that must have the alias now; 0 for any.
        gone : collection of int
            Versions that exist no more.
        digest : str
            Digest of `leaves`, if it is known.

        Returns
        -------
        int
            The version that has the alias now.

        Raises
        ------
        NotFound
            The model has no such alias.
        Conflict
            There is no version to go back to, or another one than `leaves` has the alias.
        """
        with self._database.change() as session:
            plan, next_one = way_back_of_alias(session, name, alias, gone)
            if leaves not in (0, plan.leaves):
                raise Conflict(
                    f"'{alias}' of model '{name}' is version {plan.leaves} by now, and not {leaves}",
                    hint="nothing was changed; look at 'mlops releases' before you roll back that one",
                )
            known = digest if leaves == plan.leaves else ""
            quarantine.impose(session, name, plan.leaves, plan.returns_to, reason, known)
            text = ": ".join(filter(None, (why, reason)))
            record_change(session, name, alias, plan.returns_to, plan.leaves, ROLLED_BACK, why=text, words=reason)
            rows = rows_of(session, name)
            rows[alias].version = plan.returns_to
            # What a further rollback would return to; without one, the alias stays where MLflow's users expect it.
            before = previous_of(alias)
            if before in rows:
                rows[before].version = next_one or plan.leaves
            else:
                created = rows[alias].model_created_ms
                session.add(
                    AliasRow(
                        model=name, alias=before, version=next_one or plan.leaves, stored=0, model_created_ms=created
                    )
                )
            return plan.returns_to

    def step(self) -> list[StoredModel]:
        """Read all models, and write to MLflow what it does not have yet; returns them with the aliases that hold.

        Only one thread may do this.
        """
        models = self.read(self._store.models)
        if self._database.leads():
            self._forget(set(self._all(None)) - {model.name for model in models} - self._lost())
            self._write()
        return models

    def wait_until_written(self, name: str, timeout: float) -> bool:
        """Wait until MLflow has the aliases of a model; False when it has not after `timeout` seconds."""

        def written() -> bool:
            return all(row.version == row.stored for row in self._rows(name).get(name, {}).values())

        with self._written:
            return self._written.wait_for(written, timeout)

    def _rows(self, name: str | None) -> dict[str, dict[str, AliasRow]]:
        query = select(AliasRow) if name is None else select(AliasRow).where(AliasRow.model == name)
        found: dict[str, dict[str, AliasRow]] = {}
        with self._database.session() as session:
            for row in session.scalars(query.order_by(AliasRow.alias)):
                found.setdefault(row.model, {})[row.alias] = row
        return found

    def _all(self, name: str | None) -> dict[str, dict[str, int]]:
        return {
            model: {alias: row.version for alias, row in aliases.items()} for model, aliases in self._rows(name).items()
        }

    def _take_over(self, models: list[StoredModel], before: int) -> None:
        with self._database.change() as session:
            if before % 2 or before != self._changes:
                # They were read before a change that is in the database: the next look is a later one.
                return
            for model in models:
                reconcile(session, model)
            self._changes += 2

    def _forget(self, names: set[str]) -> None:
        for name in names:
            try:
                self._store.model(name)
            except (NotFound, InvalidInput):
                with self._database.change() as session:
                    for alias, row in rows_of(session, name).items():
                        record_change(session, name, alias, 0, row.version, DELETED_IN_MLFLOW)
                        session.delete(row)
                    self._changes += 2

    def _write(self) -> None:
        lost = self._lost()
        waiting = [
            (name, alias, row.version)
            for name, aliases in self._rows(None).items()
            for alias, row in aliases.items()
            if row.version != row.stored and name not in lost
        ]
        if not waiting:
            return
        with self._database.change():
            self._changes += 1
        written: list[tuple[str, str, int]] = []
        gone: list[tuple[str, str, int]] = []
        try:
            for name, alias, version in waiting:
                try:
                    self._store.set_alias(name, alias, version)
                    written.append((name, alias, version))
                except (NotFound, InvalidInput) as error:
                    log.warning("'%s' of model '%s' cannot be version %d: %s", alias, name, version, error.message)
                    gone.append((name, alias, version))
        finally:
            try:
                with self._database.change() as session:
                    for name, alias, version in written:
                        if (row := session.get(AliasRow, (name, alias))) is not None:
                            row.stored = version
                    for name, alias, version in gone:
                        row = session.get(AliasRow, (name, alias))
                        if row is not None and row.version == version:
                            record_change(session, name, alias, row.stored, version, DELETED_IN_MLFLOW)
                            row.version = row.stored
                            if not row.version:
                                session.delete(row)
            finally:
                self._changes += 1
                with self._written:
                    self._written.notify_all()

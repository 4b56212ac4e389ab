"""Aliases of model versions: the database has them, MLflow's aliases follow."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Mapping

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from mlops_workbench.control.audit.actors import IN_MLFLOW
from mlops_workbench.control.audit.subjects import model_subject
from mlops_workbench.control.audit.trail import append
from mlops_workbench.control.database import Database
from mlops_workbench.control.tables import AliasChangeRow, AliasRow
from mlops_workbench.core.audit import Action
from mlops_workbench.core.errors import Conflict, InvalidInput, NotFound, did_you_mean
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.models import AliasChange, GateResult
from mlops_workbench.registry.aliases import CHAMPION, Alias, is_previous, previous_of, reconciled
from mlops_workbench.tracking.mlflow.registry import RegistryStore, StoredModel

log = logging.getLogger("mlops_workbench.control")

#: Reasons of changes.
PROMOTED = "promoted"
ROLLED_BACK = "rolled back"
SET_IN_MLFLOW = "set in MLflow"
DELETED_IN_MLFLOW = "deleted in MLflow"


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
                    msgspec.convert(row.gate, GateResult | None), row.at_ms,
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
        different = [model for model in found if _differs(model, known.get(model.name, {}))]
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
            Digest of the version for the audit trail.

        Raises
        ------
        ChampionChanged
            The champion is another one by now.
        """
        with self._database.change() as session:
            rows = _rows_of(session, model.name)
            current = rows[alias].version if alias in rows else 0
            if champion is not None and champion != (rows[CHAMPION].version if CHAMPION in rows else 0):
                raise ChampionChanged
            if current != version:
                _set(session, rows, model, {alias: version, previous_of(alias): current})
                why = f"its gate failed, and this was overridden: {gate.override}" if gate and gate.override else ""
                _record(session, model.name, alias, version, current, PROMOTED, gate=gate, digest=digest, why=why)

    def rollback(self, name: str, alias: str = CHAMPION, why: str = "") -> int:
        """Give an alias back to the version that had it before, and return that version; MLflow is not asked.

        Parameters
        ----------
        name, alias : str
            Model and alias.
        why : str
            What it is part of, for the audit trail.

        Raises
        ------
        NotFound
            The model has no such alias.
        Conflict
            There is no previous version.
        """
        with self._database.change() as session:
            rows = _rows_of(session, name)
            if alias not in rows:
                raise NotFound(f"model '{name}' has no alias '{alias}'", hint=did_you_mean(alias, rows))
            current, previous = rows[alias], rows.get(previous_of(alias))
            if previous is None or previous.version == current.version:
                raise Conflict(
                    f"model '{name}' has no version before {current.version} to go back to",
                    hint=f"promote one: mlops promote {name}/VERSION --alias {alias}",
                )
            _record(session, name, alias, previous.version, current.version, ROLLED_BACK, why=why)
            current.version, previous.version = previous.version, current.version
            return current.version

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
                _reconcile(session, model)
            self._changes += 2

    def _forget(self, names: set[str]) -> None:
        for name in names:
            try:
                self._store.model(name)
            except (NotFound, InvalidInput):
                with self._database.change() as session:
                    for alias, row in _rows_of(session, name).items():
                        _record(session, name, alias, 0, row.version, DELETED_IN_MLFLOW)
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
                            _record(session, name, alias, row.stored, version, DELETED_IN_MLFLOW)
                            row.version = row.stored
                            if not row.version:
                                session.delete(row)
            finally:
                self._changes += 1
                with self._written:
                    self._written.notify_all()


def _differs(model: StoredModel, rows: Mapping[str, AliasRow]) -> bool:
    if any(row.model_created_ms != model.created_ms for row in rows.values()):
        return True
    return model.aliases != {alias: row.stored for alias, row in rows.items() if row.stored}


def _reconcile(session: Session, model: StoredModel) -> None:
    rows = _rows_of(session, model.name)
    for alias, row in list(rows.items()):
        if row.model_created_ms != model.created_ms:
            # Of an earlier model of this name.
            session.delete(rows.pop(alias))
    session.flush()
    is_new = not rows
    for alias in sorted({*rows, *model.aliases}):
        row = rows.get(alias)
        known = Alias(row.version, row.stored) if row else Alias()
        after = reconciled(known, model.aliases.get(alias, 0))
        _put(session, rows, model, alias, after)
        if after.version == known.version:
            if after.stored not in (known.stored, after.version):
                log.warning(
                    "'%s' of model '%s' was set to version %d in MLflow; it is version %d, by a change made here",
                    alias, model.name, after.stored, after.version,
                )  # fmt: skip
            continue
        if is_new:
            continue
        reason = SET_IN_MLFLOW if after.version else DELETED_IN_MLFLOW
        log.warning("'%s' of model '%s': version %d, %s", alias, model.name, after.version, reason)
        _record(session, model.name, alias, after.version, known.version, reason)
        previous = previous_of(alias)
        stored = model.aliases.get(previous, 0)
        was_moved = stored != (rows[previous].stored if previous in rows else 0)
        if after.version and known.version and not was_moved and not is_previous(alias):
            # So that it can be taken back.
            _put(session, rows, model, previous, Alias(known.version, stored))


def _rows_of(session: Session, name: str) -> dict[str, AliasRow]:
    return {row.alias: row for row in session.scalars(select(AliasRow).where(AliasRow.model == name))}


def _set(session: Session, rows: dict[str, AliasRow], model: StoredModel, versions: Mapping[str, int]) -> None:
    for alias, version in versions.items():
        if version:
            stored = rows[alias].stored if alias in rows else 0
            _put(session, rows, model, alias, Alias(version, stored))


def _put(session: Session, rows: dict[str, AliasRow], model: StoredModel, alias: str, known: Alias) -> None:
    row = rows.get(alias)
    if row is None:
        if known.version:
            rows[alias] = AliasRow(
                model=model.name, alias=alias, version=known.version, stored=known.stored,
                model_created_ms=model.created_ms,
            )  # fmt: skip
            session.add(rows[alias])
    elif known.version:
        row.version, row.stored = known.version, known.stored
    else:
        session.delete(rows.pop(alias))


#: What a change of an alias is in the audit trail, by its reason.
_ACTIONS: dict[str, Action] = {
    PROMOTED: "model.promote",
    ROLLED_BACK: "model.rollback",
    SET_IN_MLFLOW: "model.take_over",
    DELETED_IN_MLFLOW: "model.take_over",
}


def _record(
    session: Session,
    model: str,
    alias: str,
    version: int,
    replaced: int,
    reason: str,
    *,
    gate: GateResult | None = None,
    digest: str = "",
    why: str = "",
) -> None:
    """Record a change of an alias, in the list of these and in the audit trail."""
    session.add(
        AliasChangeRow(
            model=model, alias=alias, version=version, replaced=replaced, reason=reason,
            gate=msgspec.to_builtins(gate) if gate else None, at_ms=now_ms(),
        )
    )  # fmt: skip
    action = _ACTIONS[reason]
    append(
        session, action, model_subject(session, model, version, digest),
        reason=f"{reason}: {why}" if why else reason, before={alias: replaced}, after={alias: version},
        evidence=gate, who=IN_MLFLOW if action == "model.take_over" else None,
    )  # fmt: skip

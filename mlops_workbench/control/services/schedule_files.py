"""Keeps the table of schedules like the files that define them: specs of pipelines, and ``schedules.yaml``."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from mlops_workbench.control.database import Database
from mlops_workbench.control.events import EventHub
from mlops_workbench.control.tables import ScheduleRow, TriggerRow
from mlops_workbench.core.errors import SpecError, WorkbenchError
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.definition.file import parse_spec
from mlops_workbench.pipelines.definition.nouns import TriggerSpec
from mlops_workbench.pipelines.plan.specs import spec_files
from mlops_workbench.pipelines.triggers.alerts import unknown_measure
from mlops_workbench.pipelines.triggers.cron import Cron
from mlops_workbench.pipelines.triggers.notebooks import SCHEDULES_FILE, parse_schedules
from mlops_workbench.pipelines.triggers.targets import Target, target_of_spec, trigger_id

log = logging.getLogger("mlops_workbench.control")

_HAS_TRIGGERS = re.compile(r"^['\"]?on['\"]?\s*:", re.MULTILINE)
#: Looks that must miss a file before what it defines is removed: some editors replace a file in two steps.
_LOOKS = 2


@dataclass
class _File:
    """A file as it was read last."""

    digest: str = ""
    missing: int = 0


class ScheduleFiles:
    """Reads files that changed, by their content; what a file with an error defined before stays."""

    def __init__(self, workspace: Workspace, database: Database, hub: EventHub) -> None:
        self._workspace = workspace
        self._database = database
        self._hub = hub
        self._files: dict[Path, _File] = {}

    def step(self) -> None:
        """Read files that are new or changed, and remove what is not defined any more."""
        found: dict[Path, str] = dict.fromkeys(spec_files(self._workspace).values(), "pipeline")
        notebooks = self._workspace.root / SCHEDULES_FILE
        if notebooks.exists():
            found[notebooks] = "notebook"
        with self._database.session() as session:
            rows = session.scalars(select(ScheduleRow).where(ScheduleRow.removed.is_(False))).all()
        for path in {self._workspace.root / row.path for row in rows} - self._files.keys():
            self._files[path] = _File()
        for path, known in list(self._files.items()):
            if path not in found:
                known.missing += 1
                if known.missing >= _LOOKS:
                    self._remove(path, keep=())
                    del self._files[path]
        for path, kind in found.items():
            self._read(path, kind, self._files.setdefault(path, _File()))

    def _read(self, path: Path, kind: str, known: _File) -> None:
        known.missing = 0
        try:
            data = path.read_bytes()
            text = data.decode()
        except (OSError, UnicodeDecodeError) as error:
            digest, text = f"unreadable: {error}", ""
        else:
            digest = hashlib.sha256(data).hexdigest()
        if digest == known.digest:
            return
        try:
            if digest.startswith("unreadable"):
                raise SpecError(digest, where=str(path))
            targets = [target_of_spec(parse_spec(text, path))] if kind == "pipeline" else parse_schedules(text, path)
        except WorkbenchError as error:
            self._report(path, kind, str(error), shown=kind == "notebook" or bool(_HAS_TRIGGERS.search(text)))
        else:
            targets = [target for target in targets if target.triggers]
            for target in targets:
                self._store(target, path)
            self._remove(path, keep=[target.id for target in targets])
        known.digest = digest

    def _store(self, target: Target, path: Path) -> None:
        definition = {
            "folder": target.folder,
            "max_active": target.max_active,
            "limits": msgspec.to_builtins(target.limits),
            "notebook": target.notebook,
            "params": dict(target.params),
        }
        wanted = {trigger_id(target.id, trigger): trigger for trigger in target.triggers}
        with self._database.change() as session:
            values = {"path": self._relative(path), "definition": definition, "problem": "", "removed": False}
            _put(session, target.id, target.kind, target.name, values)
            rows = {row.id: row for row in session.scalars(select(TriggerRow).where(TriggerRow.schedule == target.id))}
            gone = rows.keys() - wanted.keys()
            session.execute(delete(TriggerRow).where(TriggerRow.id.in_(gone)))
            for name, trigger in wanted.items():
                values = {
                    "settings": _plain(trigger.settings),
                    "problem": unknown_measure(trigger.kind, trigger.settings),
                }
                planned = _next_ms(trigger)
                if name not in rows:
                    values |= {"id": name, "schedule": target.id, "kind": trigger.kind, "since_ms": now_ms()}
                    session.execute(insert(TriggerRow).values(**values, next_ms=planned, seen=None))
                    continue
                if not rows[name].next_ms or rows[name].next_ms > planned > 0:  # the clock was wrong
                    values["next_ms"] = planned
                session.execute(update(TriggerRow).where(TriggerRow.id == name).values(**values))
        self._hub.publish("pipelines", target.name)

    def _report(self, path: Path, kind: str, problem: str, *, shown: bool) -> None:
        """Show what is wrong with a file beside what it defined before."""
        log.warning("%s", problem)
        here = self._relative(path)
        with self._database.change() as session:
            done = session.execute(update(ScheduleRow).where(ScheduleRow.path == here).values(problem=problem))
            if not done.rowcount and shown:  # type: ignore[attr-defined]
                name = path.stem
                definition = {"folder": str(path.parent), "max_active": 1, "limits": {"cooldown": 0.0, "per_day": 0},
                              "notebook": "", "params": {}}  # fmt: skip
                values = {"path": here, "definition": definition, "problem": problem, "removed": False}
                _put(session, f"{kind}:{name}", kind, name, values)
        self._hub.publish("pipelines", path.stem)

    def _remove(self, path: Path, keep: list[str] | tuple[str, ...]) -> None:
        """Remove what a file does not define any more."""
        query = select(ScheduleRow.id, ScheduleRow.name).where(
            ScheduleRow.path == self._relative(path), ScheduleRow.removed.is_(False), ScheduleRow.id.notin_(keep)
        )
        with self._database.session() as session:
            gone = {name: shown for name, shown in session.execute(query).all()}
        if not gone:
            return
        with self._database.change() as session:
            session.execute(delete(TriggerRow).where(TriggerRow.schedule.in_(gone)))
            session.execute(update(ScheduleRow).where(ScheduleRow.id.in_(gone)).values(removed=True, problem=""))
        for shown in gone.values():
            self._hub.publish("pipelines", shown)

    def _relative(self, path: Path) -> str:
        root = self._workspace.root
        return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _put(session: Session, key: str, kind: str, name: str, values: Mapping[str, Any]) -> None:
    done = session.execute(update(ScheduleRow).where(ScheduleRow.id == key).values(**values))
    if not done.rowcount:  # type: ignore[attr-defined]
        session.execute(insert(ScheduleRow).values(id=key, kind=kind, name=name, paused=False, **values))


def _next_ms(trigger: TriggerSpec) -> int:
    if trigger.kind != "schedule":
        return 0
    cron = Cron(str(trigger.settings["cron"]), str(trigger.settings["timezone"]))
    found = cron.next(datetime.now(UTC))
    return int(found.timestamp() * 1000) if found is not None else 0


def _plain(settings: Mapping[str, object]) -> dict[str, object]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}

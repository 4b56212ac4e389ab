"""Triggers of the kind ``change``: files whose content changed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import update

from mlops_workbench.control.database import Database
from mlops_workbench.control.folder_watch import FolderWatch
from mlops_workbench.control.services.occasions import noticed, schedules_with
from mlops_workbench.control.tables import ScheduleRow, TriggerRow
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.triggers.files import (
    Content,
    ContentReader,
    Look,
    WatchedFolder,
    difference,
    folders_of,
    look,
    watched_files,
)
from mlops_workbench.pipelines.triggers.mounts import is_remote
from mlops_workbench.pipelines.triggers.targets import trigger_text

#: Seconds between two looks that must find the same, and between looks without a hint: of files on this machine, and
#: of those on a file system that reports no changes of other machines.
_SETTLE_SECONDS = 1.0
#: For the watches of many folders to be made, during which there are no hints.
_WATCHING_SECONDS = 5.0
_LOCAL_SECONDS = 600.0
_REMOTE_SECONDS = 30.0
#: Files whose digests are kept, to say which of them changed.
_MOST_NAMED = 500


@dataclass
class _Watched:
    """What is known about the files of a trigger in this process."""

    folder: Path
    patterns: list[str]
    folders: set[WatchedFolder]
    remote: bool
    reader: ContentReader = field(default_factory=ContentReader)
    last: Look | None = None
    next: float = 0.0

    @property
    def pause(self) -> float:
        return _REMOTE_SECONDS if self.remote else _LOCAL_SECONDS


class FileChanges:
    """Looks at the files of triggers: soon after a hint, and regularly."""

    def __init__(self, workspace: Workspace, database: Database) -> None:
        self._database = database
        self._watched: dict[str, _Watched] = {}
        self._watch = FolderWatch(self._hint, workspace.state)

    @property
    def problem(self) -> str:
        """Why changes are noticed late, empty for no reason."""
        return self._watch.problem

    def close(self) -> None:
        """Watch no folder."""
        self._watch.close()

    def step(self) -> None:
        """Look at the files that are due, and keep what changed."""
        with self._database.session() as session:
            rows = list(schedules_with(session, ["change"]))
        for key in self._watched.keys() - {trigger.id for _, trigger in rows}:
            del self._watched[key]
        for schedule, trigger in rows:
            watched = self._watched.get(trigger.id)
            if watched is None or str(watched.folder) != schedule.definition["folder"]:
                watched = self._watched[trigger.id] = _new(schedule, trigger)
            if watched.next <= time.monotonic():
                self._look(schedule, trigger, watched)
        if self._watch.watch({folder for watched in self._watched.values() for folder in watched.folders}):
            for watched in self._watched.values():
                watched.next = min(watched.next, time.monotonic() + _WATCHING_SECONDS)

    def _look(self, schedule: ScheduleRow, trigger: TriggerRow, watched: _Watched) -> None:
        # A folder may have been made or removed since.
        watched.folders = {folders_of(watched.folder, pattern) for pattern in watched.patterns}
        # A hint from now on asks for another look.
        watched.next = time.monotonic() + _SETTLE_SECONDS
        found = look(watched.folder, watched.patterns, watched.last)
        watched.last = found
        if not found.settled:
            return
        problem, content = "", None
        try:
            content = watched.reader.read(watched.folder, found.files)
        except OSError as error:
            problem = f"cannot be read: {error}"
        if content is not None and watched_files(watched.folder, watched.patterns) != found.files:
            watched.last = None
            return
        watched.next = time.monotonic() + watched.pause
        watched.last = None
        if problem != trigger.problem:
            with self._database.change() as session:
                session.execute(update(TriggerRow).where(TriggerRow.id == trigger.id).values(problem=problem))
        if content is not None and (trigger.seen or {}).get("digest") != content.digest:
            self._keep(schedule, trigger, content)

    def _keep(self, schedule: ScheduleRow, trigger: TriggerRow, content: Content) -> None:
        before = trigger.seen
        names = dict(content.files) if len(content.files) <= _MOST_NAMED else None
        seen: dict[str, Any] = {"digest": content.digest, "files": names}
        with self._database.change() as session:
            row = session.get(ScheduleRow, schedule.id)
            # What another process has seen meanwhile, it has kept.
            current = session.get(TriggerRow, trigger.id)
            if row is None or current is None or current.seen != before or row.paused:
                return
            session.execute(update(TriggerRow).where(TriggerRow.id == trigger.id).values(seen=seen))
            if before is None:
                return
            what = difference(before["files"], names) if before["files"] is not None and names is not None else ""
            paths = trigger_text("change", trigger.settings)
            detail = f"{paths} ({what or f'{len(content.files)} files'})"
            noticed(session, row, trigger, f"{content.digest} {now_ms()}", detail)

    def _hint(self, paths: set[str]) -> None:
        for watched in list(self._watched.values()):
            if any(path.startswith(folder.path) for folder in watched.folders for path in paths):
                watched.next = 0.0


def _new(schedule: ScheduleRow, trigger: TriggerRow) -> _Watched:
    folder, patterns = Path(schedule.definition["folder"]), list(trigger.settings["paths"])
    folders = {folders_of(folder, pattern) for pattern in patterns}
    return _Watched(folder, patterns, folders, any(is_remote(found.path) for found in folders))

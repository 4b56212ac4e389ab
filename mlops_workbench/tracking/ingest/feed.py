"""Feed the read index from the journals, and end the runs of dead processes."""

from __future__ import annotations

import logging
import sqlite3

from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking.index.writer import IndexWriter
from mlops_workbench.tracking.ingest.reaper import dead_sessions, orphaned_runs, write_ends
from mlops_workbench.tracking.journals.files import Cursor, closed_files, read_batch
from mlops_workbench.tracking.journals.gc_pause import collection_paused
from mlops_workbench.tracking.journals.watch import JournalFolder, JournalWatch

_log = logging.getLogger(__name__)


class IndexFeed:
    """Feeds one read index; the caller ensures that nothing else does.

    Parameters
    ----------
    workspace : Workspace
        Whose index is fed.
    folder : JournalFolder
        Its journals.
    """

    def __init__(self, workspace: Workspace, folder: JournalFolder) -> None:
        self.workspace = workspace
        self._folder = folder
        self._watch = JournalWatch(folder)

    def step(self, writer: IndexWriter, *, whole: bool = False) -> bool:
        """Read what is new, at most one batch of each file; True when there was anything.

        With `whole` also check at once for dead processes, which is otherwise done about every second.
        """
        if writer.reopen_if_deleted() or whole:
            self._watch.invalidate()
        elif self._watch.unchanged():
            return False
        try:
            moved = self._read_journals(writer)
        except sqlite3.DatabaseError as error:
            # The class itself means a damaged file; its subclasses mean a lock, a full disk or a wrong statement.
            if type(error) is not sqlite3.DatabaseError:
                raise
            _log.warning("the read index is damaged (%s) and is rebuilt", error)
            writer.replace()
            moved = self._read_journals(writer)
        if moved:
            self._watch.invalidate()
        else:
            self._watch.mark_read(writer.cursors())
        return moved

    def _read_journals(self, writer: IndexWriter) -> bool:
        # Before reading: a process that is dead now writes nothing more.
        dead = dead_sessions(writer.connection)
        moved = self._feed(writer, dead)
        orphans = orphaned_runs(writer.connection)
        if orphans:
            write_ends(self.workspace, orphans)
            moved = self._feed(writer, set()) or moved
        return moved

    def _feed(self, writer: IndexWriter, dead: set[str]) -> bool:
        moved = False
        files = self._folder.files()
        closed = closed_files(files)
        cursors = writer.cursors()
        unfinished: set[str] = set()
        for file in files:
            cursor = cursors.get(file.name, Cursor())
            if cursor.done or file.session in unfinished:
                continue
            with collection_paused():
                batch = read_batch(file.path, cursor)
                if not batch.exhausted:
                    unfinished.add(file.session)
                done = batch.exhausted and (file.name in closed or file.session in dead)
                if batch.entries or done:
                    writer.apply(file, batch, done=done)
                    moved = moved or bool(batch.entries)
        finished = dead - unfinished
        if finished:
            with writer.transaction() as connection:
                connection.executemany("UPDATE sessions SET gone=1 WHERE session=?", [(name,) for name in finished])
        return moved

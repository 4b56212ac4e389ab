"""Feed the read index from the journals, and end the runs of dead processes."""

from __future__ import annotations

import logging
import sqlite3
import time

from mlops_workbench.core.workspace import Workspace
from mlops_workbench.journal.gc_pause import collection_paused
from mlops_workbench.tracking.index.writer import IndexWriter
from mlops_workbench.tracking.ingest.reaper import dead_sessions, orphaned_runs, write_ends
from mlops_workbench.tracking.journals.files import Cursor, closed_files, read_batch
from mlops_workbench.tracking.journals.watch import JournalFolder, JournalWatch

_log = logging.getLogger(__name__)

#: Limits of a batch where a step must end at a time: it takes some 30 ms.
_SMALL = {"frames": 1000, "size": 1 << 18}


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
        #: Whether the last step has read everything.
        self.current = False

    def step(self, writer: IndexWriter, *, whole: bool = False, until: float | None = None) -> bool:
        """Read what is new; True when there was anything, and `current` when that was all.

        Parameters
        ----------
        writer : IndexWriter
            Writes to the index.
        whole : bool
            Also check at once for dead processes, which is otherwise done about every second.
        until : float, optional
            Read all of each file, and stop at this monotonic time; by default, read at most one batch of each file.
        """
        if writer.reopen_if_deleted() or whole:
            self._watch.invalidate()
        elif self._watch.unchanged():
            self.current = True
            return False
        try:
            moved = self._read_journals(writer, until)
        except sqlite3.DatabaseError as error:
            # The class itself means a damaged file; its subclasses mean a lock, a full disk or a wrong statement.
            if type(error) is not sqlite3.DatabaseError:
                raise
            _log.warning("the read index is damaged (%s) and is rebuilt", error)
            writer.replace()
            moved = self._read_journals(writer, until)
        if moved or not self.current:
            self._watch.invalidate()
        else:
            self._watch.mark_read(writer.cursors())
        return moved

    def _read_journals(self, writer: IndexWriter, until: float | None) -> bool:
        # Before reading: a process that is dead now writes nothing more.
        dead = dead_sessions(writer.connection)
        moved = self._feed(writer, dead, until)
        orphans = orphaned_runs(writer.connection)
        if orphans:
            write_ends(self.workspace, orphans)
            moved = self._feed(writer, set(), until) or moved
        return moved

    def _feed(self, writer: IndexWriter, dead: set[str], until: float | None) -> bool:
        moved = False
        files = self._folder.files()
        closed = closed_files(files)
        cursors = writer.cursors()
        unfinished: set[str] = set()
        for file in files:
            cursor = cursors.get(file.name, Cursor())
            # Files of a session are read in order.
            while not cursor.done and file.session not in unfinished:
                if until is not None and time.monotonic() >= until:
                    unfinished.add(file.session)
                    break
                with collection_paused():
                    batch = read_batch(file.path, cursor) if until is None else read_batch(file.path, cursor, **_SMALL)
                    done = batch.exhausted and (file.name in closed or file.session in dead)
                    if batch.entries or done:
                        writer.apply(file, batch, done=done)
                        moved = moved or bool(batch.entries)
                if batch.exhausted:
                    break
                cursor = batch.cursor
                if until is None:
                    unfinished.add(file.session)
        self.current = not unfinished
        finished = dead - unfinished
        if finished:
            with writer.transaction() as connection:
                connection.executemany("UPDATE sessions SET gone=1 WHERE session=?", [(name,) for name in finished])
        return moved

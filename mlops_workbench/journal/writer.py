"""Append frames to the journal of a session."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn
from zlib import crc32

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.files import sync_folder
from mlops_workbench.journal.format import FRAME_BYTES, MAX_PAYLOAD, SUFFIX, pack_body, pack_prefix
from mlops_workbench.journal.segment import Segment, fdatasync, storage_error

#: Highest number of full segments that are open at a time.
_MAX_FULL = 8

_writers: weakref.WeakSet[JournalWriter] = weakref.WeakSet()


class ForkedWriter(StorageError):
    """The writer belongs to the parent process; a child needs its own writer."""

    code = "forked_writer"


class NotSynced(StorageError):
    """All frames are in the journal, but could not be synced to the disk now; the writer stays usable."""

    code = "not_synced"


class JournalWriter:
    """Append-only log of one session, in files ``<session>-<nnnn>.mlj`` of a folder.

    Any thread may append, and so may a signal handler that interrupts an append. In a forked child, `append` raises
    `ForkedWriter` and leaves the parent's file unchanged.

    Parameters
    ----------
    folder : Path
        Existing folder of the journal.
    session : str
        Id of the session, the first part of the file names.
    segment_bytes : int
        Size at which a new file is started; a longer frame gets its own file.
    fsync_seconds : float
        Longest time until a background thread syncs appended frames; 0 syncs before `append` returns.
    before_sync : callable, optional
        Syncs the files that frames refer to; called before each sync of frames. It must not raise.

    Attributes
    ----------
    sequence : int
        Number of the next frame.

    Raises
    ------
    StorageError
        The folder is missing or read-only, or the disk is full. `append` and `sync` raise it too; the frame
        of a failed `append` is not in the journal, except with `NotSynced`, and may be appended again.
    """

    def __init__(
        self,
        folder: Path,
        session: str,
        *,
        segment_bytes: int,
        fsync_seconds: float,
        before_sync: Callable[[], None] | None = None,
    ) -> None:
        self.folder = folder
        self.session = session
        self.sequence = 0
        self._segment_bytes = segment_bytes
        self._fsync_seconds = fsync_seconds
        self._before_sync = before_sync
        self._sync_each = fsync_seconds <= 0
        # A signal handler may append while its own thread does.
        self._lock = threading.RLock()
        self._syncing = threading.RLock()
        self._dirty = False
        self._signals = _Signals()
        # The thread ends when the writer is collected.
        self._ends_syncer = weakref.finalize(self, self._signals.end)
        self._ends_syncer.atexit = False
        self._syncer: threading.Thread | None = None
        # Why no more frames are accepted: closed, forked, or a background sync failed.
        self._stopped: StorageError | None = None
        self._number = 0
        # Full segments to be closed by the next sync: closing waits for the disk, which `append` must not.
        self._full: list[Segment] = []
        self._new_file = False
        self._segment = self._new_segment(0)
        _writers.add(self)

    @property
    def path(self) -> Path:
        """Current file."""
        return self._segment.path

    @property
    def stopped(self) -> bool:
        """Whether the writer accepts no more frames: it is closed, forked, or its file is lost."""
        return self._stopped is not None

    def append(self, type_number: int, payload: bytes, sync: bool = False) -> None:
        """Append a frame, which then survives the death of the process.

        Parameters
        ----------
        type_number : int
            Type of the frame, 0 to 65,535.
        payload : bytes
            At most 1 GiB.
        sync : bool, default=False
            Also wait until the frame is on the disk.
        """
        size = len(payload)
        with self._lock:
            while size <= MAX_PAYLOAD:
                segment = self._segment
                sequence = self.sequence
                body = pack_body(size, type_number, sequence) + payload
                frame = pack_prefix(segment.prefix, crc32(body)) + body
                if sequence != self.sequence:
                    # A signal handler has appended: number this frame again.
                    continue
                # The interpreter handles signals after calls, so none interrupts between these two statements.
                self.sequence = sequence + 1
                try:
                    segment.write(frame)
                    break
                except ValueError:
                    self.sequence = sequence
                self._make_room(FRAME_BYTES + size)
            else:
                raise StorageError(
                    f"a record of {size} bytes is too long for the journal", hint="log it as an artifact"
                )
            if not self._dirty:
                self._dirty = True
                self._wake_syncer()
        if sync or self._sync_each:
            self.sync()

    def sync(self) -> None:
        """Wait until everything appended so far is on the disk.

        Raises
        ------
        NotSynced
            The process has too many open files. Nothing is lost, and the background thread retries.
        StorageError
            The disk failed, or the file was deleted. The writer accepts no more frames.
        """
        with self._syncing:
            if self._before_sync is not None:
                self._before_sync()
            self._sync()

    def sync_soon(self) -> None:
        """Request an immediate sync by the background thread, and return at once."""
        self._signals.urgent.set()
        self._wake_syncer()

    def _sync(self) -> None:
        with self._lock:
            if self._stopped is not None:
                return
            path = self._segment.path
            try:
                # A duplicate, because the next append may start a new file and close this descriptor.
                file = os.dup(self._segment.file)
            except OSError as error:
                # The process has too many open files. The journal is intact; the thread retries.
                self._signals.wake.set()
                raise NotSynced(
                    f"the journal cannot be synced now: {error.strerror or error}",
                    where=str(path),
                    hint="close files that the process does not need",
                ) from error
            full, self._full = self._full, []
            new_file, self._new_file = self._new_file, False
            self._dirty = False
        done = False
        try:
            while full:
                full.pop(0).finish()
            # Not mmap.flush, which holds the interpreter's lock while it waits for the disk.
            fdatasync(file)
            if os.fstat(file).st_nlink == 0:
                raise StorageError(
                    "the journal file was deleted while it was written",
                    where=str(path),
                    hint="do not delete files in .mlops/journal while a kernel runs",
                )
            if new_file:
                sync_folder(self.folder)
            done = True
        except OSError as error:
            raise self._stop(storage_error(error, path)) from error
        except StorageError as error:
            raise self._stop(error) from None
        finally:
            os.close(file)
            if not done:
                # Failed, or interrupted by the user: the thread retries.
                with self._lock:
                    self._full[:0] = full
                    self._new_file = self._new_file or new_file
                    self._dirty = True
                self._signals.wake.set()

    def close(self) -> None:
        """Truncate the file to what was written and close it; `append` raises afterwards."""
        with self._syncing, self._lock:
            if isinstance(self._stopped, ForkedWriter) or self._segment.map.closed:
                return
            self._stopped = StorageError("the journal is closed", where=str(self._segment.path))
            for segment in (*self._full, self._segment):
                segment.finish()
            self._full.clear()
        self._signals.end()

    def _stop(self, reason: StorageError) -> StorageError:
        with self._lock:
            self._stopped = reason
            self._segment.write = _refuse
        return reason

    def _make_room(self, room: int) -> None:
        if self._stopped is not None:
            raise self._stopped
        old = self._segment
        if not old.grow(old.position + room):
            self._segment = self._new_segment(room)
            self._full.append(old)
            if len(self._full) > _MAX_FULL:
                self._full.pop(0).finish()

    def _new_segment(self, room: int) -> Segment:
        while True:
            path = self.folder / f"{self.session}-{self._number:04d}{SUFFIX}"
            try:
                segment = Segment(path, room=room, limit=self._segment_bytes)
            except FileExistsError:
                self._number += 1
                continue
            self._number += 1
            self._new_file = True
            return segment

    def _wake_syncer(self) -> None:
        if self._sync_each:
            return
        if self._syncer is None:
            self._syncer = threading.Thread(
                target=_sync_in_background,
                args=(weakref.ref(self), self._signals, self._fsync_seconds),
                name="mlops-journal-sync",
                daemon=True,
            )
            try:
                self._syncer.start()
            except RuntimeError:
                # The interpreter is shutting down; `close` syncs.
                self._syncer = None
        self._signals.wake.set()

    def _abandon(self) -> None:
        # Runs in a forked child: another thread of the parent may have held the lock.
        self._lock = threading.RLock()
        self._syncing = threading.RLock()
        self._ends_syncer.detach()
        for segment in self._full:
            segment.abandon()
        self._full.clear()
        if self._stopped is None:
            self._stopped = ForkedWriter(
                "this journal belongs to the parent process", where=str(self.path), hint="open one in the child"
            )
            self._segment.abandon()


def _refuse(_: bytes) -> NoReturn:
    raise ValueError("the segment accepts no more frames")


class _Signals:
    """Signals to the thread of a writer, which refers to these and not to the writer.

    Attributes
    ----------
    wake : threading.Event
        There are frames to sync within the interval.
    urgent : threading.Event
        There are frames to sync at once.
    ended : bool
        The writer is closed or collected.
    """

    def __init__(self) -> None:
        self.wake = threading.Event()
        self.urgent = threading.Event()
        self.ended = False

    def end(self) -> None:
        """End the thread."""
        self.ended = True
        self.urgent.set()
        self.wake.set()


def _sync_in_background(owner: weakref.ref[JournalWriter], signals: _Signals, seconds: float) -> None:
    while True:
        signals.wake.wait()
        signals.wake.clear()
        signals.urgent.wait(seconds)
        signals.urgent.clear()
        if signals.ended:
            return
        writer = owner()
        if writer is None or writer._stopped is not None:
            return
        # The writer keeps a permanent failure, and the next append raises it.
        with contextlib.suppress(StorageError):
            writer.sync()
        del writer


def _abandon_all() -> None:
    for writer in list(_writers):
        writer._abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)

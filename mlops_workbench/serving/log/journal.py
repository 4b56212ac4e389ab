"""Answers on the disk before they are sent: the journal of an endpoint, until its answers are in segments.

A process writes one session of the journal after another, each into files ``<process>.<number>-<nnnn>.mlj``. It holds
the lock of ``<process>.lock``; whoever gets it may take the sessions of a process that has ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.ids import new_id
from mlops_workbench.journal import JournalWriter, read_frames
from mlops_workbench.journal.format import SUFFIX
from mlops_workbench.serving.log.answers import (
    Answered,
    AnswerEncoder,
    Context,
    Record,
    decode_context,
    decode_record,
)
from mlops_workbench.serving.log.protection import Protection

log = logging.getLogger("mlops_workbench.serving")

_LOCK = ".lock"
#: Types of frames.
_CONTEXT, ANSWER = 1, 2
#: Size of a file; a session is converted long before.
_FILE_BYTES = 64 << 20


class AnswerJournal:
    """Writes the answers of this process.

    Parameters
    ----------
    folder : Path
        Of the journal; created when it is first used.
    sync_seconds : float
        Longest time until an answer would survive a power failure; it survives the death of the process at once.
    protection : Protection, optional
        Inputs that are not written in clear.
    """

    def __init__(self, folder: Path, sync_seconds: float, protection: Protection | None = None) -> None:
        self._protection = protection
        self._folder = folder
        self._sync_seconds = sync_seconds
        self._process = new_id()
        self._lock: int | None = None
        self._number = 0
        self._writer: JournalWriter | None = None
        self._encoder = AnswerEncoder(protection)
        self._closed: list[str] = []

    @property
    def is_empty(self) -> bool:
        """Whether the current session has no answers."""
        return self._writer is None or self._writer.sequence == 0

    @property
    def closed(self) -> list[str]:
        """Sessions of this process that are complete, oldest first."""
        return list(self._closed)

    def append(self, answered: Answered) -> None:
        """Append an answer, which then survives the death of the process.

        Raises
        ------
        StorageError
            The journal is not open, or the disk is full or failed.
        """
        if self._writer is None:
            raise StorageError("the journal is not open", where=str(self._folder))
        context, payload = self._encoder.encode(answered)
        if context is not None:
            self._writer.append(_CONTEXT, context)
        self._writer.append(ANSWER, payload)

    def open(self) -> JournalWriter:
        """Make a writer for the next session.

        Raises
        ------
        StorageError
            The folder cannot be written.
        """
        try:
            while self._lock is None:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                # Another process that ends may delete the folder while it is empty.
                with contextlib.suppress(FileNotFoundError):
                    self._lock = _held(self._folder / f"{self._process}{_LOCK}")
        except OSError as error:
            raise StorageError(
                f"the prediction log cannot be written: {error.strerror or error}",
                where=str(self._folder),
                hint="check that the folder is writable and the disk has free space",
            ) from error
        self._number += 1
        session = f"{self._process}.{self._number:09d}"
        return JournalWriter(self._folder, session, segment_bytes=_FILE_BYTES, fsync_seconds=self._sync_seconds)

    def switch(self, writer: JournalWriter) -> JournalWriter | None:
        """Use `writer` from now on, and return the one before, which the caller closes with :meth:`end`."""
        before, self._writer = self._writer, writer
        self._encoder = AnswerEncoder(self._protection)
        return before

    def end(self, writer: JournalWriter) -> None:
        """Close the writer of a session."""
        writer.close()
        self._closed.append(writer.session)

    def delete(self, session: str) -> None:
        """Delete the files of a session of this process or one before, since its answers are in segments."""
        delete_session(self._folder, session)
        if session in self._closed:
            self._closed.remove(session)

    def close(self) -> None:
        """End the current session."""
        before, self._writer = self._writer, None
        if before is not None:
            self.end(before)

    def release(self) -> None:
        """Let others take the sessions that are left."""
        if self._lock is not None:
            if not self._closed:
                with contextlib.suppress(OSError):
                    (self._folder / f"{self._process}{_LOCK}").unlink()
            os.close(self._lock)
            self._lock = None
        with contextlib.suppress(OSError):
            # Only if nothing is left.
            self._folder.rmdir()


def _held(path: Path) -> int:
    """Descriptor of the lock file, which this process holds."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _is_file(descriptor, path):
            return descriptor
        # Somebody took it for that of a process that has ended, and deleted it.
        os.close(descriptor)


def _is_file(descriptor: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


@contextlib.contextmanager
def sessions_left(folder: Path) -> Iterator[list[str]]:
    """Sessions of processes that have ended, oldest first; nobody else takes them until the end of the block."""
    with contextlib.ExitStack() as held:
        sessions: list[str] = []
        for process in sorted({_process(path) for path in folder.glob(f"*{SUFFIX}")} | _locks(folder)):
            lock = folder / f"{process}{_LOCK}"
            try:
                descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError:
                continue
            held.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if not _is_file(descriptor, lock):
                # Another process took its sessions and deleted it; a file of that name may be held by its new owner.
                continue
            found = sorted({_session(path) for path in folder.glob(f"{process}.*{SUFFIX}")})
            sessions += found
            held.callback(_delete_lock, folder, process)
        yield sessions


def sessions_of(folder: Path) -> set[str]:
    """Sessions that are in the journal: their answers may not be in segments yet, or not all."""
    return {_session(path) for path in folder.glob(f"*{SUFFIX}")}


def read(folder: Path, session: str) -> list[tuple[int, Context, Record]]:
    """The answers of a session that has ended, with their sequence numbers; damaged files are kept as ``*.damaged``.

    Raises
    ------
    StorageError
        A file cannot be read.
    """
    contexts: dict[int, Context] = {}
    answers: list[tuple[int, Record]] = []
    frames = 0
    last = -1
    for path in _files(folder, session):
        for frame in read_frames(path):
            last = max(last, frame.sequence)
            with contextlib.suppress(msgspec.MsgspecError):
                if frame.type == _CONTEXT:
                    number, context = decode_context(frame.payload)
                    contexts[number] = context
                else:
                    answers.append((frame.sequence, decode_record(frame.payload)))
                frames += 1
    known = [(number, contexts[record.context], record) for number, record in answers if record.context in contexts]
    lost = last + 1 - frames + len(answers) - len(known)
    if lost:
        log.error("%d records in %s/%s* are damaged and not in the prediction log", lost, folder, session)
        for path in _files(folder, session):
            with contextlib.suppress(FileExistsError):
                os.link(path, path.with_name(f"{path.name}.damaged"))
    return known


def delete_session(folder: Path, session: str) -> None:
    """Delete the files of a session."""
    for path in _files(folder, session):
        path.unlink(missing_ok=True)


def _files(folder: Path, session: str) -> list[Path]:
    return sorted(folder.glob(f"{session}-*{SUFFIX}"))


def _session(path: Path) -> str:
    return path.name.rpartition("-")[0]


def _process(path: Path) -> str:
    return path.name.partition(".")[0]


def _locks(folder: Path) -> set[str]:
    return {path.name.removesuffix(_LOCK) for path in folder.glob(f"*{_LOCK}")}


def _delete_lock(folder: Path, process: str) -> None:
    if not any(folder.glob(f"{process}.*{SUFFIX}")):
        (folder / f"{process}{_LOCK}").unlink(missing_ok=True)

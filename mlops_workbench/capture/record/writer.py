"""Writing of records to the journal, which tolerates disk errors."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from mlops_workbench.capture.kernel.notices import notify, show_again
from mlops_workbench.capture.kernel.place import notebook_path
from mlops_workbench.capture.record.encoding import UNSTORABLE, encode, encode_quickly
from mlops_workbench.capture.record.masked import masked_content, masked_record
from mlops_workbench.core.errors import StorageError, WorkbenchError
from mlops_workbench.core.ids import new_id, now_ms
from mlops_workbench.core.records import TYPE_NUMBERS, Record, RunEnd, RunStart, SessionEnd, SessionStart
from mlops_workbench.core.secrets.registered import any_registered, holds_registered
from mlops_workbench.core.sessions import session_start
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.journal import JournalWriter, NotSynced

#: Largest size of records that wait in memory while the disk cannot be written.
BUFFER_BYTES = 16 << 20
#: Seconds between two attempts to write again.
RETRY_SECONDS = 1.0


class RecordWriter:
    """Writes records to a journal, which it opens for the first one.

    Disk errors are not raised: records then wait in a bounded buffer, one warning is shown, and
    runs that lost a record are listed in `incomplete`.

    Parameters
    ----------
    find : callable
        Returns the workspace; called again while it fails.
    running : callable
        Returns the start records of active runs, which are repeated if the journal is lost.
    on_use : callable
        Called when a record is buffered, so that the caller can arrange for `close`.

    Attributes
    ----------
    workspace : Workspace or None
        Set when the journal is open.
    incomplete : set of str
        Uids of runs of which a record was dropped.
    """

    def __init__(
        self, find: Callable[[], Workspace], running: Callable[[], Iterable[RunStart]], on_use: Callable[[], None]
    ) -> None:
        self._find = find
        self._running = running
        self._on_use = on_use
        self.workspace: Workspace | None = None
        self.incomplete: set[str] = set()
        self._writer: JournalWriter | None = None
        self._buffer: deque[tuple[int, bytes, bool]] = deque()
        self._buffered = 0
        self._retry_at = 0.0
        self._lock = threading.RLock()
        self._blobs_to_sync: deque[tuple[str, str]] = deque()

    def write(self, record: Record, sync: bool = False) -> None:
        """Write a record; disk errors are not raised. `sync` also waits until it is on the disk."""
        number = TYPE_NUMBERS[type(record)]
        try:
            payload = encode_quickly(record)
        except UNSTORABLE:
            payload = encode(record)
        if holds_registered(payload):
            record = masked_record(record)
            payload = encode(record)
        writer = self._writer
        if writer is not None and not self._buffer:
            try:
                writer.append(number, payload, sync)
                return
            except NotSynced:
                return
            except (WorkbenchError, OSError) as error:
                self._handle_error(error)
        with self._lock:
            self._keep(record, number, payload, sync)
            if sync or time.monotonic() >= self._retry_at:
                self._flush()

    def sync_soon(self) -> None:
        """Request a sync of the journal in the background."""
        writer = self._writer
        if writer is not None:
            writer.sync_soon()

    def store(self, run_uid: str, data: bytes | Path, *, again: bool = False, wait: bool = True) -> str | None:
        """Put bytes or a file into the blob store.

        Parameters
        ----------
        run_uid : str
            The run that it belongs to.
        data : bytes or Path
            Content, or a file with it.
        again : bool, default=False
            Whether the caller will store it again before the run ends, so that a failure is not reported.
        wait : bool, default=True
            Wait until bytes are on the disk; otherwise they are synced with the journal.

        Returns
        -------
        str or None
            Its digest; None when it could not be stored, which is reported and makes the run incomplete.
        """
        try:
            if any_registered():
                masked = masked_content(data)
                if masked is None:
                    self._refuse_secret(run_uid)
                    return None
                data = masked
            blobs = self.open_workspace().blobs
            if not isinstance(data, bytes):
                return blobs.put_file(data)
            digest = blobs.put_bytes(data, sync=wait)
        except (WorkbenchError, OSError) as error:
            if not again:
                self._lost_artifact(run_uid, error)
            return None
        if not wait and not blobs.holds(digest):
            self._blobs_to_sync.append((run_uid, digest))
        return digest

    def open_workspace(self) -> Workspace:
        """Return the workspace of the journal.

        Raises
        ------
        WorkbenchError
            It cannot be found or its settings are invalid.
        """
        if self.workspace is None:
            try:
                self.workspace = self._find()
            except OSError as error:
                raise StorageError(f"the workspace cannot be read: {error.strerror or error}") from error
        return self.workspace

    def close(self) -> None:
        """Write the waiting records and close the journal."""
        with self._lock:
            if self._buffer:
                self._flush()
            if self._buffer:
                notify(f"{len(self._buffer)} records could not be written and are lost")
                self._buffer.clear()
            writer, self._writer = self._writer, None
            self._sync_blobs()
            if writer is not None:
                with contextlib.suppress(WorkbenchError, OSError):
                    writer.append(TYPE_NUMBERS[SessionEnd], encode(SessionEnd(now_ms())))
                writer.close()

    def after_fork(self) -> None:
        """Reset in a forked child: waiting records belong to the parent, and the child opens its own journal."""
        self._lock = threading.RLock()
        self._writer = None
        self._buffer.clear()
        self._buffered = 0
        self._retry_at = 0.0
        self._blobs_to_sync.clear()

    def _keep(self, record: Record, number: int, payload: bytes, sync: bool) -> None:
        structural = isinstance(record, RunStart | RunEnd)
        if self._buffered + len(payload) > BUFFER_BYTES and not structural:
            if run_uid := getattr(record, "run_uid", ""):
                self.incomplete.add(run_uid)
            return
        self._buffer.append((number, payload, sync))
        self._buffered += len(payload)
        # Also when no journal can be opened: `close` then reports the lost records.
        self._on_use()

    def _flush(self) -> None:
        try:
            if self._writer is None:
                self._writer = self._open()
            writer = self._writer
            sync = False
            while self._buffer:
                number, payload, synced = self._buffer[0]
                with contextlib.suppress(NotSynced):
                    writer.append(number, payload)
                self._buffer.popleft()
                self._buffered -= len(payload)
                sync = sync or synced
            if sync:
                with contextlib.suppress(NotSynced):
                    writer.sync()
            show_again("disk")
        except (WorkbenchError, OSError) as error:
            self._handle_error(error)

    def _open(self) -> JournalWriter:
        workspace = self.open_workspace()
        workspace.prepare()
        session = new_id()
        settings = workspace.settings.journal
        writer = JournalWriter(
            workspace.journal,
            session,
            segment_bytes=settings.segment_mb << 20,
            fsync_seconds=settings.fsync_seconds,
            before_sync=self._sync_blobs,
        )
        writer.append(TYPE_NUMBERS[SessionStart], encode(session_start(session, notebook_path())))
        return writer

    def _sync_blobs(self) -> None:
        while self.workspace is not None and self._blobs_to_sync:
            try:
                run_uid, digest = self._blobs_to_sync.popleft()
            except IndexError:
                return  # Another thread took it.
            try:
                self.workspace.blobs.sync(digest)
            except StorageError as error:
                self._lost_artifact(run_uid, error)

    def _lost_artifact(self, run_uid: str, error: WorkbenchError | OSError) -> None:
        """Mark a run as incomplete, and report the error once."""
        self.incomplete.add(run_uid)
        notify(f"an artifact could not be stored and is missing from the run ({error})", once="artifact")

    def _refuse_secret(self, run_uid: str) -> None:
        """Mark a run as incomplete, and report that a secret is not stored."""
        self.incomplete.add(run_uid)
        notify(
            "an artifact contains the value of a secret and is no text in which it can be masked; it is missing from "
            "the run"
        )

    def _handle_error(self, error: WorkbenchError | OSError) -> None:
        with self._lock:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            writer = self._writer
            if writer is not None and writer.stopped:
                # The journal file was lost with its records: open another one with the starts of active runs.
                self._writer = None
                self._retry_at = 0.0
                writer.close()
                for start in self._running():
                    self.incomplete.add(start.run_uid)
                    payload = encode(start)
                    self._buffer.appendleft((TYPE_NUMBERS[RunStart], payload, True))
                    self._buffered += len(payload)
        notify(
            f"runs cannot be written to disk ({error})\n"
            "  they are kept in memory, up to 16 MB, until writing works again; your code continues",
            once="disk",
        )

"""Atomic file writes, damaged files put aside, and a lock between processes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.ids import now_ms


def write_atomic(path: Path, data: bytes | str, *, mode: int = 0o644) -> None:
    """Write a file so that readers see its old or its new content, also after a crash.

    Raises
    ------
    StorageError
        The folder cannot be created or written, or the disk is full.
    """
    raw = data.encode() if isinstance(data, str) else data
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise StorageError(
            f"cannot write {path.name}: {error.strerror or error}",
            where=str(path),
            hint="check that the folder is writable and the disk has free space",
        ) from error


def put_aside(path: Path) -> Path:
    """Rename what is damaged or in the way of a file, and return its new name; it need not exist."""
    aside = path.with_name(f"{path.name}.damaged-{now_ms()}")
    with contextlib.suppress(FileNotFoundError):
        os.replace(path, aside)
    return aside


def sync_folder(folder: Path) -> None:
    """Write a folder's entries to the disk, where the system supports it; errors are ignored."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def file_lock(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold an advisory lock between processes; the system releases it when the holder ends.

    Parameters
    ----------
    path : Path
        Lock file, created if missing. It is never removed: two processes could then hold locks on two files.
    wait : bool
        Whether to wait for another holder.

    Yields
    ------
    bool
        Whether the lock is held.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        holder = os.getpid()
        try:
            yield True
        finally:
            # The file is unlocked and not only closed, because a child forked meanwhile has it open too. Such a child
            # must not release the lock of its parent.
            if os.getpid() == holder:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)

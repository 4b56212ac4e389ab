"""Atomic file writes, damaged files put aside, a lock between processes, and the folder of caches."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.ids import now_ms

_LOCK_PAUSE = 0.02  # seconds between two attempts at a lock that has a deadline


def cache_folder() -> Path:
    """The user's folder for what can be made again; raises RuntimeError without a home folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlops-workbench"


def write_atomic(path: Path, data: bytes | str, *, mode: int = 0o644) -> None:
    """Write a file so that readers see its old or its new content, also after a crash.

    Raises
    ------
    StorageError
        The folder cannot be created or written, or the disk is full.
    """
    with atomic_file(path, mode=mode) as temporary, open(temporary, "wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)


@contextlib.contextmanager
def atomic_file(path: Path, *, mode: int = 0o644) -> Iterator[Path]:
    """Yield the path of an empty file beside `path`, which replaces it when the block ends without an error.

    Raises
    ------
    StorageError
        The folder cannot be created or written, or the disk is full.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
        os.close(handle)
        yield Path(temporary)
        with open(temporary, "rb") as file:
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if not isinstance(error, OSError):
            raise
        known = _DISK.get(error.errno or 0) if error.errno != errno.ENOENT else None
        raise StorageError(
            f"cannot write {path.name}: {error.strerror or error}",
            where=str(path),
            hint=known[1] if known else "check that the folder is writable and the disk has free space",
        ) from error


def create_secret(path: Path, data: bytes | str) -> bool:
    """Create a file that only its owner can read, complete when another process sees it; False if there is one.

    Raises
    ------
    OSError
        It cannot be written.
    """
    # A descriptor of mode 0600 from the start.
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(handle)
        # Of several processes that create it at once, the file of one is everyone's.
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    return True


def put_aside(path: Path) -> Path:
    """Rename what is damaged or in the way of a file, and return its new name; it need not exist."""
    aside = path.with_name(f"{path.name}.damaged-{now_ms()}")
    with contextlib.suppress(FileNotFoundError):
        os.replace(path, aside)
    return aside


#: What the system says about a disk that cannot be used, and how to mend it.
_DISK: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("the disk is full", "free space on it, then repeat the command"),
    errno.EDQUOT: ("the disk quota is used up", "delete files or ask for more space, then repeat the command"),
    errno.EROFS: ("the file system is read-only", "mount it writable, or move the workspace to another disk"),
    errno.EACCES: ("no permission", "make the file and its folder readable and writable for this user"),
    errno.EPERM: ("no permission", "make the file and its folder readable and writable for this user"),
    errno.ENOENT: (
        "unable to open database file",
        "check that it is a file, and that its folder exists and is writable",
    ),
    errno.EIO: ("the disk reports an error", "check the disk; copy the workspace to another one"),
    errno.EMFILE: ("too many open files", "close programs, or raise the limit: ulimit -n"),
    errno.ENFILE: ("too many open files", "close programs"),
}
#: The same in the words of SQLite.
_SQLITE = {
    "database or disk is full": errno.ENOSPC,
    "readonly database": errno.EROFS,
    # It is no file, or one that this user must not open, or its folder is missing.
    "unable to open database file": errno.ENOENT,
    "disk I/O error": errno.EIO,
}


def disk_error(error: BaseException, folder: Path) -> StorageError | None:
    """What a failure of the disk means for the user; None if the error, and what caused it, is none.

    Parameters
    ----------
    error : BaseException
        An error of the system, of SQLite, or one that was caused by such an error.
    folder : Path
        Where it happened, if the error does not say it.
    """
    seen: BaseException | None = error
    for _ in range(8):
        if seen is None:
            return None
        if isinstance(seen, OSError) and seen.errno in _DISK and seen.errno != errno.ENOENT:
            return _disk_error(seen.errno, str(seen.filename or folder), folder)
        # The class is looked up by name, because a kernel does not import sqlite3 on our account.
        if type(seen).__module__ == "sqlite3":
            number = next((code for words, code in _SQLITE.items() if words in str(seen)), None)
            if number is not None:
                return _disk_error(number, str(folder), folder)
        seen = getattr(seen, "orig", None) or seen.__cause__ or seen.__context__
    return None


def _disk_error(number: int, where: str, folder: Path) -> StorageError:
    with contextlib.suppress(OSError):
        # SQLite reports a disk without space under several names.
        if number in (errno.EIO, errno.ENOENT) and os.statvfs(folder).f_bavail == 0:
            number = errno.ENOSPC
    what, hint = _DISK[number]
    return StorageError(what, where=where, hint=hint)


def sync_folder(folder: Path) -> None:
    """Write a folder's entries to the disk, where the system supports it; errors are ignored."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def file_lock(path: Path, *, wait: bool | float = True) -> Iterator[bool]:
    """Hold an advisory lock between processes; the system releases it when the holder ends.

    Parameters
    ----------
    path : Path
        Lock file, created if missing. It is never removed: two processes could then hold locks on two files.
    wait : bool or float
        Whether to wait for another holder, or for how many seconds.

    Yields
    ------
    bool
        Whether the lock is held.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _locked(descriptor, float("inf") if wait is True else float(wait)):
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


def _locked(descriptor: int, seconds: float) -> bool:
    if seconds == float("inf"):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return True
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOCK_PAUSE)
        else:
            return True


def file_stamp(file: Path) -> tuple[int, int, int]:
    """Inode, time and size, which change with every atomic write; zeros for a missing file."""
    try:
        found = file.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_mtime_ns, found.st_size)

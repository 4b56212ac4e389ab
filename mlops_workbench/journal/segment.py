"""A journal file open for writing: space reserved on disk, mapped into memory."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Callable
from pathlib import Path

from mlops_workbench.core.errors import StorageError
from mlops_workbench.journal.format import HEADER_BYTES, MARK, SALT_BYTES, pack_header

#: Space is reserved in steps of this many bytes, so that a small session makes a small file.
_STEP = 1 << 20

fdatasync = getattr(os, "fdatasync", os.fsync)


class Segment:
    """A new file with a header, and space for frames.

    Parameters
    ----------
    path : Path
        Must not exist.
    room : int
        Bytes needed at once, after the header.
    limit : int
        Size in bytes up to which the file may grow.

    Attributes
    ----------
    map : mmap.mmap
        The file in memory; its position is the offset of the next frame.
    write : callable
        Writes a frame there, atomically for signals and other threads; raises
        ``ValueError`` when there is no space for it, or the segment is closed.
    reserved : int
        Bytes that can be written without growing.
    prefix : bytes
        Marker and salt, the first bytes of every frame.

    Raises
    ------
    FileExistsError
        The file exists.
    StorageError
        The file cannot be created.
    """

    __slots__ = ("file", "limit", "map", "path", "prefix", "reserved", "write")

    def __init__(self, path: Path, *, room: int, limit: int) -> None:
        try:
            self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise
        except OSError as error:
            raise storage_error(error, path) from error
        self.path = path
        self.limit = max(limit, HEADER_BYTES + room)
        self.reserved = min(self.limit, _round_up(HEADER_BYTES + room))
        salt = os.urandom(SALT_BYTES)
        self.prefix = MARK + salt
        try:
            _reserve(self.file, 0, self.reserved)
            self.map = mmap.mmap(self.file, self.reserved)
        except OSError as error:
            os.close(self.file)
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise storage_error(error, path) from error
        self.write: Callable[[bytes], object] = self.map.write
        self.write(pack_header(salt))

    @property
    def position(self) -> int:
        """Offset of the next frame."""
        return self.map.tell()

    def grow(self, end: int) -> bool:
        """Reserve space up to offset `end`; return False when that is beyond the limit."""
        if end <= self.reserved:
            return True
        if end > self.limit:
            return False
        size = min(self.limit, _round_up(end))
        try:
            _reserve(self.file, self.reserved, size - self.reserved)
            try:
                self.map.resize(size)
            except SystemError:
                # This system cannot resize a map: create another one; the old one is freed with its object.
                position = self.map.tell()
                self.map = mmap.mmap(self.file, size)
                self.map.seek(position)
                self.write = self.map.write
        except OSError as error:
            raise storage_error(error, self.path) from error
        self.reserved = size
        return True

    def finish(self) -> None:
        """Truncate the file to what was written, sync and close it.

        Errors are ignored: the frames are in the page cache already, and readers skip a tail of zeros.
        """
        position = self.map.tell()
        self.map.close()
        with contextlib.suppress(OSError):
            os.ftruncate(self.file, position)
        with contextlib.suppress(OSError):
            fdatasync(self.file)
        with contextlib.suppress(OSError):
            os.close(self.file)

    def abandon(self) -> None:
        """Close the file without changing it."""
        with contextlib.suppress(BufferError, OSError):
            self.map.close()
            os.close(self.file)


def storage_error(error: OSError, path: Path) -> StorageError:
    """Return the error to raise for a failed system call."""
    return StorageError(
        f"cannot write the journal: {error.strerror or error}",
        where=str(path),
        hint="check that the folder exists and is writable, and that the disk is not full",
    )


def _round_up(size: int) -> int:
    return -(-size // _STEP) * _STEP


def _reserve(file: int, start: int, size: int) -> None:
    """Allocate blocks: writing to a hole through a map raises SIGBUS when the disk is full."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, start, size)
        return
    zeros = bytes(min(size, _STEP))
    while size > 0:
        written = os.pwrite(file, zeros[:size], start)
        start += written
        size -= written

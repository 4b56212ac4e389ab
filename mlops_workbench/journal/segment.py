"""One journal file while it is written: reserved on disk, mapped into memory."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Callable
from pathlib import Path

from mlops_workbench.core.errors import StorageError
from mlops_workbench.journal.format import HEADER_BYTES, MARK, SALT_BYTES, pack_header

#: Room is reserved in steps of this many bytes, so that a small session makes a small file.
_STEP = 1 << 20

fdatasync = getattr(os, "fdatasync", os.fsync)


class Segment:
    """A new file with a header, and room for frames.

    Parameters
    ----------
    path : Path
        Must not exist.
    room : int
        Bytes that are needed at once, after the header.
    limit : int
        Size in bytes up to which the file may grow.

    Attributes
    ----------
    map : mmap.mmap
        The file in memory; its own position is where the next frame goes.
    write : callable
        Puts a frame there, in one step that neither a signal nor another thread can fall into; a
        ``ValueError`` when there is no room for it, or the segment is closed.
    reserved : int
        Bytes that can be written without growing.
    prefix : bytes
        Marker and salt, the first bytes of every frame.

    Raises
    ------
    FileExistsError
        There is such a file.
    StorageError
        It cannot be made.
    """

    __slots__ = ("file", "limit", "map", "path", "prefix", "reserved", "write")

    def __init__(self, path: Path, *, room: int, limit: int) -> None:
        try:
            self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise
        except OSError as error:
            raise trouble(error, path) from error
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
            raise trouble(error, path) from error
        self.write: Callable[[bytes], object] = self.map.write
        self.write(pack_header(salt))

    @property
    def position(self) -> int:
        """Offset at which the next frame goes."""
        return self.map.tell()

    def grow(self, end: int) -> bool:
        """Make room up to offset `end`; False when the file would pass its limit."""
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
                # This system cannot move a map: make another one, the old one goes with its object.
                position = self.map.tell()
                self.map = mmap.mmap(self.file, size)
                self.map.seek(position)
                self.write = self.map.write
        except OSError as error:
            raise trouble(error, self.path) from error
        self.reserved = size
        return True

    def finish(self) -> None:
        """Cut the file to what was written and close it.

        Nothing is raised: the frames are in the page cache whatever fails here, and a tail of zeros
        hurts no reader.
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
        """Let go of the file without changing it."""
        with contextlib.suppress(BufferError, OSError):
            self.map.close()
            os.close(self.file)


def trouble(error: OSError, path: Path) -> StorageError:
    """The error a caller can act on."""
    return StorageError(
        f"cannot write the journal: {error.strerror or error}",
        where=str(path),
        hint="check that the folder exists, is writable and has room",
    )


def _round_up(size: int) -> int:
    return -(-size // _STEP) * _STEP


def _reserve(file: int, start: int, size: int) -> None:
    """Give the file room for real: writing to a hole of a full disk through a map is a SIGBUS."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, start, size)
        return
    zeros = bytes(min(size, _STEP))
    while size > 0:
        written = os.pwrite(file, zeros[:size], start)
        start += written
        size -= written

"""Content-addressed blobs: a file is kept once, under the SHA-256 of its bytes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from mlops_workbench.core.errors import NotFound, StorageError
from mlops_workbench.core.files import sync_folder

_CHUNK = 1 << 20
_WRITABLE = 0o222


def digest_file(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class BlobStore:
    """Blobs under ``root/ab/abcdef...``.

    Writing is safe between processes without a lock: a blob is written to a temporary file and
    renamed to a name that only its own content can have. It can be written by nobody from then on that it is known
    to be on the disk; until then a loss of power may leave it short, and it is not trusted unseen.

    Parameters
    ----------
    root : Path
        Folder of the store, made on first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Where the blob with this digest is, or would be."""
        return self.root / digest[:2] / digest

    def get(self, digest: str) -> Path:
        """Path of a stored blob; the file must not be changed.

        Raises
        ------
        NotFound
            No blob has this digest, or a loss of power damaged it.
        """
        path = self.path(digest)
        try:
            mode = path.stat().st_mode
        except OSError:
            mode = 0
        if not stat.S_ISREG(mode):
            raise NotFound(f"no blob {digest[:12]} in the store", where=str(path))
        if mode & _WRITABLE and digest_file(path) != digest:
            raise NotFound(f"the blob {digest[:12]} did not reach the disk before a loss of power", where=str(path))
        return path

    def put_bytes(self, data: bytes, *, sync: bool = True) -> str:
        """Store bytes and return their digest.

        Parameters
        ----------
        data : bytes
            Content.
        sync : bool, default=True
            Wait until they are on the disk. Otherwise the death of the process does not harm them, but a loss of
            power may until :meth:`sync` was called.
        """
        digest = hashlib.sha256(data).hexdigest()
        if not self.holds(digest):
            with self._incoming(sync) as (file, keep):
                file.write(data)
                keep(digest)
        return digest

    def holds(self, digest: str) -> bool:
        """Whether a blob is on the disk, for all that is known."""
        with contextlib.suppress(OSError):
            return not self.path(digest).stat().st_mode & _WRITABLE
        return False

    def sync(self, digest: str) -> None:
        """Wait until a blob is on the disk; one that was removed meanwhile is no matter.

        Raises
        ------
        StorageError
            The disk failed.
        """
        path = self.path(digest)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                _settle(descriptor, path.parent)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"a blob did not reach the disk: {error.strerror or error}", where=str(path)) from error

    def put_file(self, source: Path) -> str:
        """Store a copy of a file, read in pieces, and return its digest."""
        state = hashlib.sha256()
        with open(source, "rb") as reader, self._incoming() as (file, keep):
            while piece := reader.read(_CHUNK):
                state.update(piece)
                file.write(piece)
            keep(state.hexdigest())
        return state.hexdigest()

    def export(self, digest: str, target: Path) -> None:
        """Copy a blob to `target` (a copy and not a link: the target may be edited)."""
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.get(digest), target)

    @contextlib.contextmanager
    def _incoming(self, sync: bool = True) -> Iterator[tuple[BinaryIO, Callable[[str], None]]]:
        temporary = ""

        def keep(digest: str) -> None:
            nonlocal temporary
            file.flush()
            final = self.path(digest)
            os.fchmod(file.fileno(), 0o644)
            try:
                os.replace(temporary, final)
            except FileNotFoundError:
                final.parent.mkdir(exist_ok=True)
                os.replace(temporary, final)
            temporary = ""
            if sync:
                _settle(file.fileno(), final.parent)

        file: BinaryIO
        try:
            try:
                handle, temporary = tempfile.mkstemp(prefix=".incoming-", dir=self.root)
            except FileNotFoundError:
                self.root.mkdir(parents=True, exist_ok=True)
                handle, temporary = tempfile.mkstemp(prefix=".incoming-", dir=self.root)
            with os.fdopen(handle, "wb") as file:
                yield file, keep
        except OSError as error:
            raise StorageError(
                f"cannot store a blob: {error.strerror or error}",
                where=str(self.root),
                hint="check that the folder is writable and has room",
            ) from error
        finally:
            if temporary:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)


def _settle(descriptor: int, folder: Path) -> None:
    """Wait for the disk, then mark a blob as being on it."""
    os.fsync(descriptor)
    # Its name, and that of a folder that may be new.
    sync_folder(folder)
    sync_folder(folder.parent)
    # In a store of several people another one may have put the same content there meanwhile, who marks it then.
    with contextlib.suppress(PermissionError):
        os.fchmod(descriptor, 0o444)

"""Content-addressed blobs: each content is stored once, under its SHA-256."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from mlops_workbench.core.errors import NotFound, StorageError
from mlops_workbench.core.files import sync_folder

_CHUNK = 1 << 20
_WRITABLE = 0o222
#: Seconds after which a use of a blob is noted again as its time of change.
_USED_SECONDS = 600.0
#: End of the names of blobs that are being removed.
_ASIDE = ".removing"
_INCOMING = ".incoming-"
#: Reads of a blob that another process moves aside and back meanwhile.
_TRIES = 5


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class BlobStore:
    """Blobs under ``root/ab/abcdef...``.

    Processes write without a lock: a blob is written to a temporary file, which is renamed to the digest of its
    content. A blob is made read-only once it is on the disk. A loss of power before that may truncate it, so the digest
    of a writable blob is checked on each read.

    :meth:`remove` needs no lock either. Who relies on a blob that exists notes the use as its time of change; a blob is
    removed in two steps, and comes back when a use was noted before the first one. A use after it fails, so that the
    blob is written anew.

    Parameters
    ----------
    root : Path
        Folder of the store, created by the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Return the path of the blob with this digest, whether it exists or not."""
        return self.root / digest[:2] / digest

    def get(self, digest: str) -> Path:
        """Return the path of an existing blob; the caller must not change the file.

        Raises
        ------
        NotFound
            No blob has this digest, or a loss of power damaged the blob.
        """
        path = self.path(digest)
        mode = 0
        for _ in range(_TRIES):
            with contextlib.suppress(OSError):
                mode = path.stat().st_mode
                break
            self._bring_back(digest)
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
            Content of the blob.
        sync : bool, default=True
            Wait until they are on the disk. Otherwise a loss of power before :meth:`sync` may damage the blob; an
            end of the process does not.
        """
        digest = hashlib.sha256(data).hexdigest()
        if not self.holds(digest):
            with self._incoming(sync) as (file, keep):
                file.write(data)
                keep(digest)
        return digest

    def holds(self, digest: str) -> bool:
        """Return whether a blob exists and is known to be on the disk; then it is not removed within an hour."""
        path = self.path(digest)
        with contextlib.suppress(OSError):
            found = path.stat()
            if found.st_mode & _WRITABLE:
                return False
            if found.st_mtime < time.time() - _USED_SECONDS:
                # This fails when the blob is being removed, or is another user's. It may also set the time of a file
                # that was found here and has been moved since, so that the blob is looked for again.
                os.utime(path)
                return path.stat().st_ino == found.st_ino
            return True
        return False

    def blobs(self) -> Iterator[tuple[str, os.stat_result]]:
        """Yield the digest and the state of each blob."""
        for folder in _entries(self.root):
            if len(folder.name) == 2 and folder.is_dir(follow_symlinks=False):
                for entry in _entries(Path(folder.path)):
                    if len(entry.name) == 64 and entry.name[:2] == folder.name:
                        with contextlib.suppress(FileNotFoundError):
                            found = entry.stat(follow_symlinks=False)
                            if stat.S_ISREG(found.st_mode):
                                yield entry.name, found

    def remove(self, digest: str, *, unused_since: float) -> bool:
        """Remove a blob unless it was used since a time.

        An end of the process at any moment leaves the blob where readers find it.

        Parameters
        ----------
        digest : str
            The blob.
        unused_since : float
            Seconds since the epoch; at least some minutes ago, because a use is noted every ten minutes.

        Returns
        -------
        bool
            Whether it was removed.

        Raises
        ------
        OSError
            The folder cannot be changed.
        """
        path = self.path(digest)
        aside = path.with_name(digest + _ASIDE)
        try:
            if path.stat().st_mtime >= unused_since:
                return False
            os.replace(path, aside)
            # Looked at again: a use may have been noted in between, and none can be any more.
            if aside.stat().st_mtime >= unused_since:
                self._bring_back(digest)
                return False
            os.unlink(aside)
        except FileNotFoundError:
            return False
        return True

    def settle(self, *, unused_since: float) -> None:
        """Finish what ended processes have left: bring back blobs half removed, delete blobs half written."""
        for folder in _entries(self.root):
            if folder.name.startswith(_INCOMING):
                with contextlib.suppress(FileNotFoundError):
                    if folder.stat(follow_symlinks=False).st_mtime < unused_since:
                        os.unlink(folder.path)
            elif len(folder.name) == 2 and folder.is_dir(follow_symlinks=False):
                for entry in _entries(Path(folder.path)):
                    if entry.name.endswith(_ASIDE):
                        self._bring_back(entry.name.removesuffix(_ASIDE))

    def _bring_back(self, digest: str) -> None:
        path = self.path(digest)
        with contextlib.suppress(OSError):
            os.replace(path.with_name(digest + _ASIDE), path)

    def sync(self, digest: str) -> None:
        """Wait until a blob is on the disk; a missing blob is ignored.

        Raises
        ------
        StorageError
            The system could not write the blob to the disk.
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
        """Store a copy of a file, without loading it into memory, and return its digest."""
        state = hashlib.sha256()
        with open(source, "rb") as reader, self._incoming() as (file, keep):
            while piece := reader.read(_CHUNK):
                state.update(piece)
                file.write(piece)
            keep(state.hexdigest())
        return state.hexdigest()

    def export(self, digest: str, target: Path) -> None:
        """Copy a blob to `target`; the copy may be edited."""
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
                handle, temporary = tempfile.mkstemp(prefix=_INCOMING, dir=self.root)
            except FileNotFoundError:
                self.root.mkdir(parents=True, exist_ok=True)
                handle, temporary = tempfile.mkstemp(prefix=_INCOMING, dir=self.root)
            with os.fdopen(handle, "wb") as file:
                yield file, keep
        except OSError as error:
            raise StorageError(
                f"cannot store a blob: {error.strerror or error}",
                where=str(self.root),
                hint="check that the folder is writable and the disk has free space",
            ) from error
        finally:
            if temporary:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)


def _settle(descriptor: int, folder: Path) -> None:
    """Wait until a blob is on the disk, then make it read-only."""
    os.fsync(descriptor)
    # The entry of the blob, and that of its folder, which may be new.
    sync_folder(folder)
    sync_folder(folder.parent)
    # In a shared store another user may own the file by now; the process of that user makes it read-only.
    with contextlib.suppress(PermissionError):
        os.fchmod(descriptor, 0o444)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except (FileNotFoundError, NotADirectoryError):
        return []

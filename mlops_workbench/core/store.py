"""Content-addressed blobs: a file is kept once, under the SHA-256 of its bytes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from mlops_workbench.core.errors import NotFound, StorageError

_CHUNK = 1 << 20


def digest_file(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class BlobStore:
    """Blobs under ``root/ab/abcdef...``.

    Writing is safe between processes without a lock: a blob is written to a temporary file and
    renamed to a name that only its own content can have.

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
            No blob has this digest.
        """
        path = self.path(digest)
        if not path.is_file():
            raise NotFound(f"no blob {digest[:12]} in the store", where=str(path))
        return path

    def put_bytes(self, data: bytes) -> str:
        """Store bytes and return their digest."""
        digest = hashlib.sha256(data).hexdigest()
        if not self.path(digest).exists():
            with self._incoming() as (file, keep):
                file.write(data)
                keep(digest)
        return digest

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
    def _incoming(self) -> Iterator[tuple[BinaryIO, Callable[[str], None]]]:
        temporary = ""

        def keep(digest: str) -> None:
            file.flush()
            os.fsync(file.fileno())
            final = self.path(digest)
            final.parent.mkdir(exist_ok=True)
            os.chmod(temporary, 0o444)
            os.replace(temporary, final)

        file: BinaryIO
        try:
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
            with contextlib.suppress(OSError):
                os.unlink(temporary)

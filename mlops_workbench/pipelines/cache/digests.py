"""Digests of files and folders; a file is read again only when its inode says that it may have changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.files import file_lock, write_atomic
from mlops_workbench.core.store import digest_file

_Stamp = tuple[int, int, int, int, int]
_decoder = msgspec.msgpack.Decoder(dict[str, tuple[_Stamp, str]])
_MOST = 100_000
#: A file that changed this shortly ago may change again within the resolution of its times.
_SETTLED_NS = 50_000_000


class FileDigests:
    """SHA-256 digests of files, remembered between processes.

    A digest is remembered for device, inode, size, modification and change time of the file. No program can set the
    change time back, so that a file whose content was replaced under its old modification time is read again.

    Parameters
    ----------
    cache : Path
        File that holds them; it may be deleted.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._known = self._load()
        self._new: dict[str, tuple[_Stamp, str]] = {}

    def of(self, path: str) -> str:
        """Return the digest of a file, or of a folder: of the names and digests of all files below it.

        Raises
        ------
        OSError
            It cannot be read.
        """
        if os.path.isdir(path):  # noqa: PTH112 - a text is at hand
            return self._of_folder(path)
        stamp = _stamp(path)
        known = self._known.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        digest = digest_file(Path(path))
        if _stamp(path) == stamp and _now_ns() - max(stamp[3], stamp[4]) > _SETTLED_NS:
            self._known[path] = self._new[path] = (stamp, digest)
        return digest

    def save(self) -> None:
        """Remember the new digests, beside those that other processes have remembered meanwhile.

        Raises
        ------
        StorageError
            The file cannot be written.
        """
        if not self._new:
            return
        try:
            with file_lock(self._cache.with_suffix(".lock")):
                merged = {**self._load(), **self._new}
                if len(merged) > _MOST:
                    merged = dict(list(merged.items())[-_MOST // 2 :])
                write_atomic(self._cache, msgspec.msgpack.encode(merged))
        except OSError as error:
            raise StorageError(
                f"cannot write {self._cache.name}: {error.strerror or error}", where=str(self._cache)
            ) from error
        self._new.clear()

    def _load(self) -> dict[str, tuple[_Stamp, str]]:
        try:
            return _decoder.decode(self._cache.read_bytes())
        except (OSError, msgspec.MsgspecError):
            return {}

    def _of_folder(self, path: str) -> str:
        found = {}
        for folder, _, files in os.walk(path):
            for name in files:
                file = os.path.join(folder, name)  # noqa: PTH118
                found[os.path.relpath(file, path)] = self.of(file)
        return files_digest(found)


def files_digest(files: Mapping[str, str]) -> str:
    """Return the digest of a folder from those of the files below it, by their paths in it.

    A single file that has the empty path, as outputs do that are no folders, has its own digest.
    """
    if list(files) == [""]:
        return files[""]
    text = "".join(f"{name}\0{digest}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


#: What Jupyter and Python put into folders by themselves.
_NOT_DATA = frozenset((".ipynb_checkpoints", "__pycache__", ".virtual_documents"))


def names_digest(names: list[str]) -> str:
    """Return the digest of the names in a folder."""
    text = "\0".join(sorted(name for name in names if name not in _NOT_DATA))
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _stamp(path: str) -> _Stamp:
    status = os.stat(path)  # noqa: PTH116
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _now_ns() -> int:
    import time

    return time.time_ns()

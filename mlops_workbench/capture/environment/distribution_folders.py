"""The distributions in the folders of ``sys.path``, cached between sessions.

Reading the metadata of a few hundred distributions takes a tenth of a second and thousands of system calls, each of
which waits for the interpreter's lock, which the user's cell holds. A folder with the same modification time has the
same distributions, so this is done once per environment and not in each session.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from pathlib import Path

import msgspec

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.files import cache_folder, write_atomic

_FOLDERS = (".dist-info", ".egg-info")
#: Name and version are in the first bytes of the metadata.
_HEAD_BYTES = 1024
_NAME, _VERSION = (re.compile(rb"^%b:[ \t]*(.*?)\s*$" % key, re.MULTILINE) for key in (b"Name", b"Version"))
#: First part of each file's path, and whether a slash follows.
_FIRST = re.compile(rb"^([^/,\r\n]+)(/?)", re.MULTILINE)
_MODULE_SUFFIXES = (b".py", b".so", b".pyd")
#: Smallest number of distributions for which the cache is faster than the folder.
_CACHED_FROM = 8


class Distribution(msgspec.Struct, frozen=True, array_like=True):
    """An installed distribution.

    Attributes
    ----------
    name : str
        Normalized name; empty if the installation is broken.
    version : str
        Version in its metadata.
    modules : tuple of str
        Its top-level modules and packages.
    changed : int
        Modification time of its metadata folder, nanoseconds since the epoch.
    """

    name: str
    version: str
    modules: tuple[str, ...]
    changed: int


class _Folder(msgspec.Struct, frozen=True, array_like=True):
    """A cached folder: its modification time, and its distributions by the names of their metadata folders."""

    form: int
    path: str
    changed: int
    distributions: dict[str, Distribution]


_FORM = 1
_decoder = msgspec.msgpack.Decoder(_Folder)


class DistributionFolders:
    """Reads the distributions in folders, with a cache on disk.

    Parameters
    ----------
    cache : Path, optional
        Folder of the cache; by default in the user's cache folder. Errors of the cache are ignored.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
        self._known: dict[str, _Folder] = {}

    def read(self, path: str) -> list[Distribution]:
        """Return the distributions in a folder, in the order of their metadata folders."""
        try:
            changed = Path(path).stat().st_mtime_ns
        except OSError:
            return []
        known = self._known.get(path) or self._read_cache(path)
        if known is None or known.changed != changed:
            known = _read(path, changed, known.distributions if known is not None else {})
            self._write_cache(known)
        self._known[path] = known
        # Setuptools rewrites the metadata of editable installs in place, which does not change the folder.
        return [_distribution(path, name, 0) if name.endswith(".egg-info") else one for name, one in _sorted(known)]

    def _file(self, path: str) -> Path:
        if self._cache is None:
            self._cache = cache_folder() / "distributions"
        return self._cache / hashlib.blake2b(os.fsencode(path), digest_size=12).hexdigest()

    def _read_cache(self, path: str) -> _Folder | None:
        # Path.home raises RuntimeError without a home folder.
        with contextlib.suppress(OSError, RuntimeError, msgspec.MsgspecError):
            found = _decoder.decode(self._file(path).read_bytes())
            if found.form == _FORM and found.path == path:
                return found
        return None

    def _write_cache(self, folder: _Folder) -> None:
        if len(folder.distributions) >= _CACHED_FROM:
            with contextlib.suppress(StorageError, RuntimeError):
                write_atomic(self._file(folder.path), msgspec.msgpack.encode(folder))


def _read(path: str, changed: int, before: dict[str, Distribution]) -> _Folder:
    found: dict[str, Distribution] = {}
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            if not entry.name.endswith(_FOLDERS):
                continue
            with contextlib.suppress(OSError):
                since = entry.stat().st_mtime_ns
                known = before.get(entry.name)
                unchanged = known is not None and known.changed == since
                found[entry.name] = known if known and unchanged else _distribution(path, entry.name, since)
    return _Folder(_FORM, path, changed, found)


def _sorted(folder: _Folder) -> list[tuple[str, Distribution]]:
    return sorted(folder.distributions.items())


def _distribution(path: str, name: str, changed: int) -> Distribution:
    place = f"{path}/{name}"
    head = _head(place)
    modules = tuple(sorted(top_modules(_files(place))))
    return Distribution(_value(_NAME, head).lower().replace("_", "-"), _value(_VERSION, head), modules, changed)


def top_modules(files: bytes) -> set[str]:
    """Return the top-level modules in a list of files (``RECORD``) or of modules (``top_level.txt``)."""
    found = set()
    for first, more in set(_FIRST.findall(files)):
        name = first
        if not more and b"." in first:
            if not first.endswith(_MODULE_SUFFIXES):
                continue
            name = first.partition(b".")[0]
        with contextlib.suppress(UnicodeDecodeError):
            text = name.decode()
            # Excludes folders of metadata, and "..".
            if text.isidentifier():
                found.add(text)
    return found


def _head(folder: str) -> bytes:
    for name in ("METADATA", "PKG-INFO"):
        with contextlib.suppress(OSError), open(f"{folder}/{name}", "rb", buffering=0) as file:
            return file.read(_HEAD_BYTES)
    # In Debian, egg-info is a file.
    with contextlib.suppress(OSError), open(folder, "rb", buffering=0) as file:
        return file.read(_HEAD_BYTES)
    return b""


def _value(pattern: re.Pattern[bytes], head: bytes) -> str:
    match = pattern.search(head)
    return match[1].decode("utf-8", "replace") if match else ""


def _files(folder: str) -> bytes:
    """Return the list of files of a distribution, one per line; empty if it has none."""
    for name in ("top_level.txt", "RECORD", "SOURCES.txt"):
        with contextlib.suppress(OSError), open(f"{folder}/{name}", "rb", buffering=0) as file:
            if data := file.read():
                return data
    return b""

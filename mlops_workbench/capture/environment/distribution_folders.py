"""What lies in the folders that modules are imported from, remembered between sessions.

To read the metadata of a few hundred distributions takes a tenth of a second, in thousands of calls of the system,
after each of which the interpreter's lock is asked for, which the user's cell holds. A folder whose time of change is
the same has the same distributions, so that is done once for an environment and not once for each session.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from pathlib import Path

import msgspec

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.files import write_atomic

_FOLDERS = (".dist-info", ".egg-info")
#: Name and version are at the top of the metadata.
_HEAD_BYTES = 1024
_NAME, _VERSION = (re.compile(rb"^%b:[ \t]*(.*?)\s*$" % key, re.MULTILINE) for key in (b"Name", b"Version"))
#: First part of each file's path, and what follows it.
_FIRST = re.compile(rb"^([^/,\r\n]+)(/?)", re.MULTILINE)
_MODULE_ENDINGS = (b".py", b".so", b".pyd")
#: Folders with fewer distributions are read as fast as what is remembered of them.
_WORTH = 8


class Distribution(msgspec.Struct, frozen=True, array_like=True):
    """An installed distribution.

    Attributes
    ----------
    name : str
        Its normalised name; empty if the installation is broken.
    version : str
        Its version as it says.
    modules : tuple of str
        Top-level modules and packages that it brings.
    changed : int
        Nanoseconds since the epoch at which the folder of its metadata was changed.
    """

    name: str
    version: str
    modules: tuple[str, ...]
    changed: int


class _Folder(msgspec.Struct, frozen=True, array_like=True):
    """What is remembered of a folder: when it was changed, and its distributions under their metadata's names."""

    form: int
    path: str
    changed: int
    distributions: dict[str, Distribution]


_FORM = 1
_decoder = msgspec.msgpack.Decoder(_Folder)


class DistributionFolders:
    """Reads the distributions in folders; remembers those of full ones.

    Parameters
    ----------
    memory : Path, optional
        Folder to remember them in; by default the user's cache folder. What cannot be kept there is read again.
    """

    def __init__(self, memory: Path | None = None) -> None:
        self._memory = memory
        self._known: dict[str, _Folder] = {}

    def read(self, path: str) -> list[Distribution]:
        """The distributions in a folder, in the order of their metadata's names."""
        try:
            changed = Path(path).stat().st_mtime_ns
        except OSError:
            return []
        known = self._known.get(path) or self._remembered(path)
        if known is None or known.changed != changed:
            known = _read(path, changed, known.distributions if known is not None else {})
            self._remember(known)
        self._known[path] = known
        # Setuptools writes the metadata of a project under development anew in place, which changes no folder.
        return [_distribution(path, name, 0) if name.endswith(".egg-info") else one for name, one in _sorted(known)]

    def _file(self, path: str) -> Path:
        if self._memory is None:
            home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
            self._memory = home / "mlops-workbench" / "distributions"
        return self._memory / hashlib.blake2b(os.fsencode(path), digest_size=12).hexdigest()

    def _remembered(self, path: str) -> _Folder | None:
        # Without a home there is a RuntimeError.
        with contextlib.suppress(OSError, RuntimeError, msgspec.MsgspecError):
            found = _decoder.decode(self._file(path).read_bytes())
            if found.form == _FORM and found.path == path:
                return found
        return None

    def _remember(self, folder: _Folder) -> None:
        if len(folder.distributions) >= _WORTH:
            # Nobody's loss but time's: the next session reads the folder itself.
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
    modules = tuple(sorted(brought(_files(place))))
    return Distribution(_value(_NAME, head).lower().replace("_", "-"), _value(_VERSION, head), modules, changed)


def brought(files: bytes) -> set[str]:
    """Top-level modules among files of a distribution (``RECORD``), or as it names them (``top_level.txt``)."""
    found = set()
    for first, more in set(_FIRST.findall(files)):
        name = first
        if not more and b"." in first:
            if not first.endswith(_MODULE_ENDINGS):
                continue
            name = first.partition(b".")[0]
        with contextlib.suppress(UnicodeDecodeError):
            text = name.decode()
            # A folder of metadata, a way out of the folder: no modules.
            if text.isidentifier():
                found.add(text)
    return found


def _head(folder: str) -> bytes:
    for name in ("METADATA", "PKG-INFO"):
        with contextlib.suppress(OSError), open(f"{folder}/{name}", "rb", buffering=0) as file:
            return file.read(_HEAD_BYTES)
    # Debian's form of egg-info is a file.
    with contextlib.suppress(OSError), open(folder, "rb", buffering=0) as file:
        return file.read(_HEAD_BYTES)
    return b""


def _value(pattern: re.Pattern[bytes], head: bytes) -> str:
    match = pattern.search(head)
    return match[1].decode("utf-8", "replace") if match else ""


def _files(folder: str) -> bytes:
    """What a distribution says of its files, a line each; empty if it says nothing."""
    for name in ("top_level.txt", "RECORD", "SOURCES.txt"):
        with contextlib.suppress(OSError), open(f"{folder}/{name}", "rb", buffering=0) as file:
            if data := file.read():
                return data
    return b""

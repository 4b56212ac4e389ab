"""Installed distributions, and which of them a process has imported.

``importlib.metadata`` takes a third of a second to read a few hundred of them, most of it for lists of files and in
the interpreter's lock, which the user's cell waits for. Here the head of each ``METADATA`` is read, and the lists of
files of all of them only when modules were imported that have another name than their distribution.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Seconds after which the installed distributions are looked at again: %pip install in a session.
_FRESH_SECONDS = 60.0
_FOLDERS = (".dist-info", ".egg-info")
#: Name and version are at the top of the metadata.
_HEAD_BYTES = 1024
_NAME, _VERSION = (re.compile(rb"^%b:[ \t]*(.*?)\s*$" % key, re.MULTILINE) for key in (b"Name", b"Version"))


@dataclass(frozen=True)
class Installed:
    """What is installed.

    Attributes
    ----------
    versions : dict
        Distribution to version, under its normalised name.
    folders : dict
        Distribution to the folder of its metadata.
    modules : dict
        Imported top-level module to the distributions that bring it.
    """

    versions: dict[str, str] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict, repr=False)
    modules: dict[str, tuple[str, ...]] = field(default_factory=dict)


class Distributions:
    """The installed distributions, read again at most once a minute."""

    def __init__(self) -> None:
        self._known: Installed | None = None
        self._read_at = 0.0
        self._for: frozenset[str] = frozenset()

    @property
    def known(self) -> Installed | None:
        """What was read last, None before the first time."""
        return self._known

    def read(self) -> Installed:
        """The installed distributions; read anew when a minute has passed, or a module came that none is known for."""
        top = imported_modules()
        known, fresh = self._known, time.monotonic() - self._read_at <= _FRESH_SECONDS
        if known is not None and fresh and not top <= self._for:
            known.modules.update(_brought_by(top - self._for, known.folders))
        roots = _roots()
        strangers = known is None or any(
            name not in known.modules and _is_installed(name, roots) for name in top - self._for
        )
        if known is None or not fresh or strangers:
            known = self._known = _installed(top)
            self._read_at = time.monotonic()
        self._for = top
        return known


def imported_modules() -> frozenset[str]:
    """Top-level modules that are imported now, the standard library's left out."""
    # A copy of the keys: another thread may import meanwhile.
    return frozenset({name for name in list(sys.modules) if "." not in name} - sys.stdlib_module_names)


def describe_packages(installed: Installed, imported: Iterable[str]) -> dict[str, Any]:
    """Versions of all distributions, the names of those that were imported, and both as ``requirements.txt``."""
    used = sorted({name for module in imported for name in installed.modules.get(module, ())})
    return {
        "installed": installed.versions,
        "imported": used,
        "requirements": [f"{name}=={version}" for name, version in installed.versions.items()],
    }


def _installed(modules: Iterable[str]) -> Installed:
    versions: dict[str, str] = {}
    folders: dict[str, str] = {}
    for root in _roots():
        try:
            found = sorted(entry.name for entry in os.scandir(root) if entry.name.endswith(_FOLDERS))
        except OSError:
            continue
        for name in found:
            folder = f"{root}/{name}"
            head = _head(folder)
            key = _value(_NAME, head).lower().replace("_", "-")
            # A broken installation may have neither; the first of a name on the path is the one that counts.
            if key and key not in versions:
                versions[key] = _value(_VERSION, head)
                folders[key] = folder
    return Installed(dict(sorted(versions.items())), folders, _brought_by(modules, folders))


def _roots() -> list[str]:
    """Folders that modules are imported from."""
    return [root for root in dict.fromkeys(map(os.path.realpath, sys.path)) if Path(root).is_dir()]


def _brought_by(modules: Iterable[str], folders: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Top-level modules, and the distributions that bring them."""
    found: dict[str, tuple[str, ...]] = {}
    sought: list[str] = []
    roots = _roots()
    for module in modules:
        name = module.lower().replace("_", "-")
        if name in folders and _place(module) is not None:
            alike = (other for other in folders if other == name or other.startswith(f"{name}-"))
            found[module] = tuple(sorted(other for other in alike if _brings(_files(folders[other]), module)))
        if not found.get(module) and _is_installed(module, roots):
            sought.append(module)
    everywhere: dict[str, list[str]] = {module: [] for module in sought}
    for name, folder in folders.items() if sought else ():
        files = _files(folder)
        for module in sought:
            if _brings(files, module):
                everywhere[module].append(name)
    found.update({module: tuple(sorted(names)) for module, names in everywhere.items()})
    return {module: names for module, names in found.items() if names}


def _is_installed(module: str, roots: list[str]) -> bool:
    """Whether a module lies where distributions do; what lies elsewhere, or nowhere, comes from none of them."""
    known: Any = sys.modules.get(module)
    if getattr(known, "__file__", None) is None and not hasattr(known, "__path__"):
        return False
    place = _place(module)
    return place is None or place in roots


def _place(module: str) -> str | None:
    """Folder that a top-level module was imported from; None for a package in several folders, or none."""
    known: Any = sys.modules.get(module)
    file = getattr(known, "__file__", None)
    if not isinstance(file, str):
        return None
    folder = Path(os.path.realpath(file)).parent
    return str(folder.parent if hasattr(known, "__path__") else folder)


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
                return b"\n" + data.replace(b"\r\n", b"\n") if b"\r" in data else b"\n" + data
    return b""


def _brings(files: bytes, module: str) -> bool:
    start = b"\n" + module.encode("utf-8", "replace")
    place = files.find(start)
    while place >= 0:
        after = files[place + len(start) : place + len(start) + 1]
        # A folder, a line of top_level.txt, or a file with any of the endings of a module.
        if after in (b"/", b"\n", b"") or (after == b"." and _is_module_file(files, place + len(start))):
            return True
        place = files.find(start, place + len(start))
    return False


def _is_module_file(files: bytes, place: int) -> bool:
    end = files.find(b",", place)
    name = files[place : end if end >= 0 else len(files)]
    return b"/" not in name and name.endswith((b".py", b".so", b".pyd"))

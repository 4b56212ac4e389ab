"""Installed distributions, and which of them a process has imported.

``importlib.metadata`` takes a third of a second to read a few hundred of them, in the interpreter's lock, which the
user's cell waits for. Here what lies in the folders is remembered between sessions.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from mlops_workbench.capture.environment.distribution_folders import DistributionFolders

#: Seconds after which the installed distributions are looked at again: %pip install in a session.
_FRESH_SECONDS = 60.0


@dataclass(frozen=True)
class Installed:
    """What is installed.

    Attributes
    ----------
    versions : dict
        Distribution to version, under its normalised name.
    modules : dict
        Imported top-level module to the distributions that bring it.
    """

    versions: dict[str, str] = field(default_factory=dict)
    modules: dict[str, tuple[str, ...]] = field(default_factory=dict)


class Distributions:
    """The installed distributions, looked at again at most once a minute.

    Parameters
    ----------
    folders : DistributionFolders, optional
        Reads the folders.
    """

    def __init__(self, folders: DistributionFolders | None = None) -> None:
        self._folders = folders or DistributionFolders()
        self._known: Installed | None = None
        self._read_at = 0.0
        self._path: list[str] = []
        self._roots: dict[str, str] = {}
        self._for: frozenset[str] = frozenset()

    @property
    def known(self) -> Installed | None:
        """What was read last, None before the first time."""
        return self._known

    def read(self) -> Installed:
        """The installed distributions; read anew when a minute has passed, or a module came that none is known for."""
        top = imported_modules()
        known, new = self._known, top - self._for
        self._for = top
        if self._path != sys.path:
            self._path = list(sys.path)
            self._roots = _roots(self._path)
            known = None
        fresh = time.monotonic() - self._read_at <= _FRESH_SECONDS
        if known is not None and fresh and all(name in known.modules or not self._is_installed(name) for name in new):
            return known
        self._known = self._read(top)
        self._read_at = time.monotonic()
        return self._known

    def _read(self, imported: Iterable[str]) -> Installed:
        versions: dict[str, str] = {}
        modules: dict[str, set[str]] = {}
        for root in dict.fromkeys(self._roots.values()):
            for one in self._folders.read(root):
                # A broken installation may have no name; the first of a name on the path is the one that counts.
                if one.name and one.name not in versions:
                    versions[one.name] = one.version
                    for module in one.modules:
                        modules.setdefault(module, set()).add(one.name)
        brought = {name: tuple(sorted(modules[name])) for name in imported if name in modules}
        return Installed(
            dict(sorted(versions.items())),
            {name: names for name, names in brought.items() if self._is_installed(name)},
        )

    def _is_installed(self, module: str) -> bool:
        """Whether a module lies where distributions do; what lies elsewhere, or nowhere, comes from none of them."""
        known: Any = sys.modules.get(module)
        file = getattr(known, "__file__", None)
        if not isinstance(file, str):
            # A package in several folders has no file.
            return hasattr(known, "__path__")
        folder, _, name = file.rpartition(os.sep)
        # Single files may have a __path__ as well, as six does.
        if name.startswith("__init__."):
            folder = folder.rpartition(os.sep)[0]
        return folder in self._roots or os.path.realpath(folder) in self._roots.values()


def imported_modules() -> frozenset[str]:
    """Top-level modules that are imported now, the standard library's left out."""
    # A copy of the keys: another thread may import meanwhile.
    return _top_level(tuple(sys.modules))


@lru_cache(maxsize=1)
def _top_level(modules: tuple[str, ...]) -> frozenset[str]:
    return frozenset({name for name in modules if "." not in name} - sys.stdlib_module_names)


def describe_packages(installed: Installed, imported: Iterable[str]) -> dict[str, Any]:
    """Versions of all distributions, the names of those that were imported, and both as ``requirements.txt``."""
    used = sorted({name for module in imported for name in installed.modules.get(module, ())})
    return {
        "installed": installed.versions,
        "imported": used,
        "requirements": [f"{name}=={version}" for name, version in installed.versions.items()],
    }


def _roots(path: Iterable[str]) -> dict[str, str]:
    """Folders that modules are imported from, as they are named and as they are."""
    found = {name: os.path.realpath(name) for name in path}
    return {name: folder for name, folder in found.items() if Path(folder).is_dir()}

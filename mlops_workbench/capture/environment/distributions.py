"""Installed distributions, and those that a process has imported.

``importlib.metadata`` would hold the interpreter's lock for a third of a second to read a few hundred of them;
`DistributionFolders` has a cache.
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

#: Seconds after which installed distributions are read again, because %pip may have installed some.
_FRESH_SECONDS = 60.0


@dataclass(frozen=True)
class Installed:
    """The installed distributions.

    Attributes
    ----------
    versions : dict
        Normalized name of each distribution to its version.
    modules : dict
        Imported top-level module to its distributions.
    """

    versions: dict[str, str] = field(default_factory=dict)
    modules: dict[str, tuple[str, ...]] = field(default_factory=dict)


class Distributions:
    """Reader of the installed distributions.

    Parameters
    ----------
    folders : DistributionFolders, optional
        Reader of the folders.
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
        """Result of the last `read`, None before the first one."""
        return self._known

    def read(self) -> Installed:
        """Return the installed distributions, read again after a minute or for an imported module without any."""
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
                # A broken installation may have no name; the first one on the path is imported.
                if one.name and one.name not in versions:
                    versions[one.name] = one.version
                    for module in one.modules:
                        modules.setdefault(module, set()).add(one.name)
        owners = {name: tuple(sorted(modules[name])) for name in imported if name in modules}
        return Installed(
            dict(sorted(versions.items())),
            {name: names for name, names in owners.items() if self._is_installed(name)},
        )

    def _is_installed(self, module: str) -> bool:
        """Whether a module was imported from a folder of distributions."""
        known: Any = sys.modules.get(module)
        file = getattr(known, "__file__", None)
        if not isinstance(file, str):
            # A namespace package has no file.
            return hasattr(known, "__path__")
        folder, _, name = file.rpartition(os.sep)
        # Not by __path__, which single files such as six may have too.
        if name.startswith("__init__."):
            folder = folder.rpartition(os.sep)[0]
        return folder in self._roots or os.path.realpath(folder) in self._roots.values()


def imported_modules() -> frozenset[str]:
    """Return the imported top-level modules without the standard library."""
    # A copy, since another thread may import.
    return _top_level(tuple(sys.modules))


@lru_cache(maxsize=1)
def _top_level(modules: tuple[str, ...]) -> frozenset[str]:
    return frozenset({name for name in modules if "." not in name} - sys.stdlib_module_names)


def describe_packages(installed: Installed, imported: Iterable[str]) -> dict[str, Any]:
    """Return the versions of all distributions, also as requirements, and the names of the imported ones."""
    used = sorted({name for module in imported for name in installed.modules.get(module, ())})
    return {
        "installed": installed.versions,
        "imported": used,
        "requirements": [f"{name}=={version}" for name, version in installed.versions.items()],
    }


def _roots(path: Iterable[str]) -> dict[str, str]:
    """Return the folders that modules are imported from, with their real paths."""
    found = {name: os.path.realpath(name) for name in path}
    return {name: folder for name, folder in found.items() if Path(folder).is_dir()}

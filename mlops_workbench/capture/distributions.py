"""Installed distributions, and which of them a process has imported."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
        Top-level module to the distributions that bring it.
    """

    versions: dict[str, str] = field(default_factory=dict)
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
        if self._known is None or time.monotonic() - self._read_at > _FRESH_SECONDS or not top <= self._for:
            strangers = {name for name in top - self._for if self._known is None or name not in self._known.modules}
            if self._known is None or strangers or time.monotonic() - self._read_at > _FRESH_SECONDS:
                self._known, self._read_at = _installed(), time.monotonic()
            self._for = top
        return self._known


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


def _installed() -> Installed:
    from importlib import metadata

    versions: dict[str, str] = {}
    modules: dict[str, set[str]] = {}
    for distribution in metadata.distributions():
        # A broken installation may have neither; the first of a name on the path is the one that counts.
        name = str((distribution.metadata or {}).get("Name") or "").strip().lower().replace("_", "-")
        if not name or name in versions:
            continue
        versions[name] = str(distribution.version or "")
        for module in _top_level(distribution):
            modules.setdefault(module, set()).add(name)
    return Installed(dict(sorted(versions.items())), {name: tuple(sorted(by)) for name, by in modules.items()})


def _top_level(distribution: Any) -> set[str]:
    listed = (distribution.read_text("top_level.txt") or "").split()
    if listed:
        return set(listed)
    found = set()
    for file in distribution.files or ():
        first, rest = file.parts[0], len(file.parts) > 1
        if rest and first.isidentifier():
            found.add(first)
        elif not rest and Path(first).suffix in (".py", ".so", ".pyd"):
            found.add(first.partition(".")[0])
    return found

"""The files that a process has loaded, to notice that a package was changed or installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable


def loaded_files() -> dict[str, tuple[int, int]]:
    """Files of the loaded modules and folders of ``sys.path``, with size and modification time in nanoseconds."""
    modules = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return _state({path for path in [*modules, *sys.path] if isinstance(path, str) and path})


def is_current(files: dict[str, tuple[int, int]]) -> bool:
    """Whether all of the files are as they were."""
    return _state(files) == files


def shadowed(names: frozenset[str], folder: str) -> str:
    """The first of the module names that a file in the folder would hide, empty for none.

    The folder of a notebook comes first in ``sys.path``, so its own ``pandas.py`` wins over an installed one.
    """
    try:
        entries = os.listdir(folder)  # noqa: PTH208 - only names are needed
    except OSError:
        return ""
    for entry in entries:
        stem, dot, _ = entry.partition(".")
        if stem in names and (
            entry.endswith((".py", ".so", ".pyc")) if dot else os.path.exists(os.path.join(folder, stem, "__init__.py"))  # noqa: PTH110, PTH118 - called for each process
        ):
            return stem
    return ""


def _state(paths: Iterable[str]) -> dict[str, tuple[int, int]]:
    found = {}
    for path in paths:
        try:
            status = os.stat(path)  # noqa: PTH116 - thousands of files for each process
        except OSError:
            continue
        found[path] = (status.st_size, status.st_mtime_ns)
    return found

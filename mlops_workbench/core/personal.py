"""Columns of personal data, which the settings name by patterns."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from typing import Any


def is_personal(name: Any, patterns: Iterable[str]) -> bool:
    """Return whether a column is personal: its name, or one of its levels, matches a pattern such as ``*email*``.

    Letters match in either case.
    """
    parts = [str(part).casefold() for part in (name if isinstance(name, tuple) else (name,))]
    return any(fnmatch.fnmatchcase(part, pattern.casefold()) for pattern in patterns for part in parts)

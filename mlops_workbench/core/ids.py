"""Identifiers that sort by time of creation."""

from __future__ import annotations

import os
import re
import time

from mlops_workbench.core.errors import InvalidInput

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\Z")


def new_id() -> str:
    """A UUID version 7 (RFC 9562) as 32 hexadecimal digits: ids made later sort later."""
    millis = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    value = (
        (millis & 0xFFFF_FFFF_FFFF) << 80
        | 0x7 << 76
        | (random >> 68) << 64
        | 0b10 << 62
        | random & 0x3FFF_FFFF_FFFF_FFFF
    )
    return f"{value:032x}"


def now_ms() -> int:
    """Milliseconds since the epoch, UTC: the time unit of every record."""
    return time.time_ns() // 1_000_000


def check_name(kind: str, name: str) -> str:
    """Return `name` if it can be a model, endpoint or pipeline name.

    Such names end up in file names, URLs and process arguments, so they are plain:
    letters, digits, ``_``, ``-``, ``.``, at most 128, not starting with a sign.

    Raises
    ------
    InvalidInput
        The name has other characters.
    """
    if _NAME.match(name):
        return name
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-._")[:128]
    raise InvalidInput(
        f"'{name}' cannot be the name of {'an' if kind[0] in 'aeiou' else 'a'} {kind}",
        hint="use letters, digits, '_', '-' and '.'" + (f", for example '{plain}'" if plain else ""),
    )

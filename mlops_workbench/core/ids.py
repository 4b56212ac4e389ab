"""Ids that sort by time of creation, and names of objects."""

from __future__ import annotations

import os
import re
import time

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.wire.patterns import NAME

_NAME = re.compile(NAME)
#: Random numbers for ids: asking the system for each takes longer than all the rest.
_random: list[int] = []
_AT_ONCE = 64
# A forked process must not make the ids of its parent.
os.register_at_fork(after_in_child=_random.clear)


def new_id() -> str:
    """Return a UUID version 7 (RFC 9562) as 32 hexadecimal digits; later ids sort later."""
    millis = time.time_ns() // 1_000_000
    try:
        random = _random.pop()
    except IndexError:
        fresh = os.urandom(10 * _AT_ONCE)
        _random.extend(int.from_bytes(fresh[at : at + 10]) for at in range(0, len(fresh), 10))
        random = int.from_bytes(os.urandom(10))
    value = (
        (millis & 0xFFFF_FFFF_FFFF) << 80
        | 0x7 << 76
        | (random >> 68) << 64
        | 0b10 << 62
        | random & 0x3FFF_FFFF_FFFF_FFFF
    )
    return f"{value:032x}"


def short_id(full: str) -> str:
    """Return the form of an id that is shown: its last eight digits, which are random.

    The first digits are the time, which runs of one search or loop have in common.
    """
    return full[-8:]


def now_ms() -> int:
    """Return the milliseconds since the epoch, the time unit of all records."""
    return time.time_ns() // 1_000_000


def check_name(kind: str, name: str) -> str:
    """Return `name` if it is valid as the name of a model, endpoint or pipeline.

    Names are parts of file names, URLs and process arguments: 1 to 128 letters, digits, ``_``, ``-`` and ``.``,
    the first one a letter or digit.

    Raises
    ------
    InvalidInput
        The name is not valid.
    """
    if _NAME.fullmatch(name):
        return name
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-._")[:128]
    raise InvalidInput(
        f"'{name}' cannot be the name of {'an' if kind[0] in 'aeiou' else 'a'} {kind}",
        hint="use letters, digits, '_', '-' and '.'" + (f", for example '{plain}'" if plain else ""),
    )

"""Masking of secrets in text and values: by their names, their places, their forms and their randomness.

A secret is replaced by ``***``. A text scanner makes mistakes. This one prefers to mask where the name is that of a
secret (``password``, ``API_KEY``), and to keep the text where only the value could identify a secret: hashes, UUIDs,
paths, identifiers and settings are kept, so that masked source code still runs. Values that are known to be secrets
(`registered`) are masked without any such judgement.

Every pattern reads a character a bounded number of times: a pattern that can match anywhere has a bounded length, and
an unbounded pattern cannot match again within its match. So the time is linear in the length of the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops_workbench.core.secrets.formats import MASK, TOKEN, mask_forms, mask_private_keys, mask_random
from mlops_workbench.core.secrets.names import Strength, find_name, name_strength
from mlops_workbench.core.secrets.places import mask_places
from mlops_workbench.core.secrets.registered import mask_registered, mask_registered_value

_PASSES = 6
#: No text with a secret that is told by its place, its form or a name in it is shorter.
_SHORTEST = 5


def mask_value(name: str, value: Any) -> Any:
    """Return `value` with its secrets masked.

    Parameters
    ----------
    name : str
        Name of a parameter, tag or variable.
    value : object
        Text and bytes with the name of a secret become ``***``; other text is passed to `mask`; booleans, None and
        numbers are kept, except for a number of four or more digits whose name is that of a password or PIN; the items
        of lists and mappings are masked.
    """
    return _masked_value(mask_registered_value(value), name_strength(name), name)


def mask(text: str) -> str:
    """Return `text` with secrets replaced by ``***``; masking the result again does not change it.

    Parameters
    ----------
    text : str
        Source code, output, a traceback, a diff or other text.
    """
    text = mask_registered(text)
    if len(text) < _SHORTEST:
        return text
    for _ in range(_PASSES):
        words = text.split()
        long = [word for word in words if len(word) >= TOKEN]
        masked = mask_forms(mask_private_keys(text), long)
        masked = mask_places(masked, masked.lower(), words)
        masked = _mask_named(masked, _lower(masked))
        masked = mask_random(masked, long)
        if masked == text:
            break
        text = masked
    return text


def _mask_named(text: str, lower: str) -> str:
    """Mask the values of names of secrets."""
    found = find_name(text, lower, 0)
    if found is None:
        return text
    # A late import, whose patterns most texts do not need.
    from mlops_workbench.core.secrets.assigned import value_spans

    kept, written = [], 0
    while found:
        start, end, strength = found
        position = end
        for begin, stop in value_spans(text, start, end, strength):
            if begin >= written:
                kept += [text[written:begin], MASK]
                written = position = stop
        found = find_name(text, lower, position)
    return "".join([*kept, text[written:]])


def _lower(text: str) -> str:
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    # A letter with two letters in lower case would shift all later positions.
    return "".join(character.lower() if character.isascii() else character for character in text)


def _masked_value(value: Any, strength: Strength, name: str) -> Any:
    from mlops_workbench.core.secrets.values import is_count, is_long_number, is_secret

    if isinstance(value, str):
        if value and strength and not is_count(value, name) and is_secret(value, strength, name):
            return MASK
        return mask(value)
    if isinstance(value, bytes | bytearray):
        return MASK if strength == "strong" and value else value
    if isinstance(value, int) and not isinstance(value, bool):
        return MASK if strength and is_long_number(str(value), name) else value
    if isinstance(value, Mapping):
        return {key: _masked_item(item, str(key), strength, name) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        if strength == "weak" and name.lower().endswith("auth") and isinstance(value, list | tuple) and len(value) == 2:
            # User and password.
            return [_masked_value(value[0], "", ""), _masked_value(value[1], "strong", "password")]
        return [_masked_value(item, strength, name) for item in value]
    return value


def _masked_item(value: Any, key: str, strength: Strength, name: str) -> Any:
    own = name_strength(key)
    return _masked_value(value, own, key) if own else _masked_value(value, strength, name)

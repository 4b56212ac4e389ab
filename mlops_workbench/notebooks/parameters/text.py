"""Text that a person typed for a parameter, and what it says where no type is known."""

from __future__ import annotations

import ast
import json
import math

from mlops_workbench.core.errors import UNREADABLE

#: Words for no value and for numbers that are not finite, as JSON, YAML and Python write them.
NO_VALUE = frozenset(("none", "null", "~"))
_WORDS: dict[str, object] = {
    "true": True, "false": False,
    "nan": math.nan, ".nan": math.nan,
    "inf": math.inf, "+inf": math.inf, "-inf": -math.inf, ".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf,
    "infinity": math.inf, "+infinity": math.inf, "-infinity": -math.inf,
}  # fmt: skip


class Text(str):
    """A value typed in a shell or a field: text that is not yet known to be text.

    ``convert`` reads it by the type of the parameter. It differs from a `str`, which is the text itself, where the
    type leaves a choice: ``null`` is None for an optional text, ``3`` a number for ``int | str`` and for no type.
    """

    __slots__ = ()


def number_word(text: str) -> float | None:
    """Return the number for a word such as ``inf``, ``NaN`` or ``-.inf``; None for other texts."""
    found = _WORDS.get(text.strip().lower())
    return found if isinstance(found, float) else None


def parse_literal(text: str) -> object:
    """Parse JSON or a Python literal.

    Raises
    ------
    ValueError
        The text is neither.
    """
    for parse in (json.loads, ast.literal_eval):
        try:
            found: object = parse(text.strip())
        except UNREADABLE:
            continue
        return found
    raise ValueError(f"'{text[:80]}' is neither JSON nor a Python literal")


def guessed(text: str) -> object:
    """Return the value that a text most likely means: None, a bool, a number, a list, a dict, else the text."""
    plain = text.strip()
    if plain.lower() in NO_VALUE:
        return None
    if plain.lower() in _WORDS:
        return _WORDS[plain.lower()]
    try:
        found = parse_literal(plain)
    except ValueError:
        return str(text)
    # In a shell, quotes around a text are the text's own.
    return str(text) if isinstance(found, (str, bytes)) else found

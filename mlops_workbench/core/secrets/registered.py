"""Secrets whose values are known: they are masked wherever they occur, whatever their form and place."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from mlops_workbench.core.secrets.formats import MASK
from mlops_workbench.core.secrets.written_forms import SHORTEST, written_forms

#: Variable with the names of the variables of the environment that hold secrets, separated by commas.
NAMES_VARIABLE = "MLOPS_SECRET_NAMES"


class _Registered:
    """Values, and patterns for them in text and in UTF-8."""

    def __init__(self, values: frozenset[str]) -> None:
        self.values = values
        forms = {form for value in values for form in written_forms(value)}
        # A value that contains another one comes first.
        ordered = sorted(forms, key=lambda form: (-len(form), form))
        self.text = re.compile("|".join(map(re.escape, ordered)))
        encoded = [
            form.encode("utf-8", "surrogateescape" if _is_undecoded(form) else "surrogatepass") for form in ordered
        ]
        self.utf8 = re.compile(b"|".join(map(re.escape, encoded)))
        self.longest = max(map(len, encoded))


_registered: _Registered | None = None


def register_secrets(values: Iterable[str]) -> None:
    """Mask these values from now on in every text that is written; shorter ones than four characters are ignored."""
    global _registered
    known = _registered.values if _registered is not None else frozenset[str]()
    new = {form for value in values for form in (value, value.strip()) if len(form) >= SHORTEST} - known
    if new:
        _registered = _Registered(known | new)


def register_environment(environ: Mapping[str, str] | None = None) -> None:
    """Register the values of the variables of the environment that ``MLOPS_SECRET_NAMES`` names."""
    environ = os.environ if environ is None else environ
    names = environ.get(NAMES_VARIABLE, "").split(",")
    register_secrets(environ[name.strip()] for name in names if name.strip() in environ)


def any_registered() -> bool:
    """Whether there are registered values."""
    return _registered is not None


def longest_registered() -> int:
    """Return the number of bytes of the longest registered value."""
    return _registered.longest if _registered is not None else 0


def holds_registered(content: str | bytes) -> bool:
    """Whether a registered value occurs in a text, or in its bytes in UTF-8."""
    if _registered is None:
        return False
    if isinstance(content, str):
        return _registered.text.search(content) is not None
    return _registered.utf8.search(content) is not None


def mask_registered(text: str) -> str:
    """Return a text with the registered values replaced by ``***``."""
    return text if _registered is None else _registered.text.sub(MASK, text)


def mask_registered_value(value: Any) -> Any:
    """Return a plain value with the registered values replaced by ``***``: in texts, in names, and as a number."""
    if _registered is None or value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return mask_registered(value)
    if isinstance(value, bytes | bytearray):
        return _registered.utf8.sub(MASK.encode(), bytes(value))
    if isinstance(value, int | float):
        return MASK if _as_text(value) in _registered.values else value
    if isinstance(value, Mapping):
        return {mask_registered_value(name): mask_registered_value(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [mask_registered_value(item) for item in value]
    return value


def _as_text(value: float) -> str:
    try:
        return str(value)
    except ValueError:
        return ""  # An int with more digits than Python writes.


def _is_undecoded(text: str) -> bool:
    """Whether it is a value of the environment that is not UTF-8, as Python represents it."""
    return any("\udc80" <= character <= "\udcff" for character in text)

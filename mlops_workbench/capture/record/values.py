"""Values of a user's program as plain values: parameters, metrics, steps, names."""

from __future__ import annotations

import datetime
import enum
import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from mlops_workbench.core.errors import InvalidInput

_MAX_DEPTH = 12

_MAX_ITEMS = 10_000

_MAX_REPR = 100_000

#: Steps that a database keeps.
MAX_STEP = 2**63 - 1

MIN_STEP = -MAX_STEP


def plain(value: Any) -> Any:
    """A parameter or tag without objects of the user's libraries.

    Numbers, text, booleans, None, dates and containers of them stay what they are (NumPy scalars become
    Python's, small arrays lists); anything else is kept as its ``repr``.
    """
    return _plain(value, 0)


def number(name: str, value: Any) -> float | int:
    """A metric's value as a float or an int, exactly.

    Raises
    ------
    InvalidInput
        It is not a single number.
    """
    kind = type(value)
    if kind is float or kind is int:
        return value  # type: ignore[no-any-return]
    if kind is bool:
        return int(value)
    item = getattr(value, "item", None)
    if callable(item) and _is_one(value):
        # NumPy, torch, jax and others: a scalar, or an array that holds one. A tensor that gradients flow through
        # would warn if it were made a float.
        value = _item(item, value)
    if isinstance(value, int):
        return int(value)
    if not isinstance(value, (str, bytes, complex)) and (hasattr(value, "__float__") or isinstance(value, float)):
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            pass
    raise InvalidInput(
        f"metric '{name}' is not a number: {_short(value)}",
        hint="use log_param for text and settings, and one call or name per number",
    )


def whole_step(step: Any) -> int:
    """A step as an int.

    Raises
    ------
    InvalidInput
        It is no whole number, or larger than databases keep.
    """
    try:
        whole: int = step.__index__()
    except (AttributeError, TypeError):
        raise InvalidInput(f"step must be a whole number, not {step!r}") from None
    if not MIN_STEP <= whole <= MAX_STEP:
        raise InvalidInput(f"step is a whole number of about 2^{whole.bit_length()}, more than a database keeps")
    return whole


def named(values: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Names and values of two mappings as one.

    Raises
    ------
    InvalidInput
        The first is no mapping, or a name no text.
    """
    if not isinstance(values, Mapping):
        raise InvalidInput(
            f"a mapping of names to values is needed, not {type(values).__name__}", hint="log(auc=0.9) or log({...})"
        )
    both = {**values, **more}
    for name in both:
        if not isinstance(name, str) or not name:
            raise InvalidInput(f"a name must be text and not empty, not {name!r}")
    return both


def text(value: str) -> str:
    """A string that can be written as UTF-8."""
    return value.encode("utf-8", "backslashreplace").decode()


def _is_one(value: Any) -> bool:
    size = getattr(value, "size", 1)
    # With torch it is a method.
    return size == 1 if isinstance(size, int) else math.prod(getattr(value, "shape", (0,))) == 1


def _item(item: Any, value: Any) -> Any:
    try:
        return item()
    except (TypeError, ValueError, RuntimeError):
        return value


def _plain(value: Any, depth: int) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, float, str, bytes):
        return value
    if depth > _MAX_DEPTH:
        return _short(value, _MAX_REPR)
    if isinstance(value, Mapping) and len(value) <= _MAX_ITEMS:
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and len(value) <= _MAX_ITEMS:
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, (set, frozenset)) and len(value) <= _MAX_ITEMS:
        return sorted((_plain(item, depth + 1) for item in value), key=repr)
    if isinstance(value, enum.Enum):
        return f"{kind.__qualname__}.{value.name}"
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "dtype"):
        small = _small_array(value)
        if small is not None:
            return _plain(small, depth + 1)
    for base in (int, float, str):
        if isinstance(value, base):
            return base(value)
    return _short(value, _MAX_REPR)


def _small_array(value: Any) -> Any:
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        found = value.item()
        return found if type(found) in (bool, int, float, str, bytes, datetime.datetime, datetime.date) else None
    if hasattr(value, "tolist") and math.prod(getattr(value, "shape", (_MAX_ITEMS,))) <= 1000:
        return value.tolist()
    return None


def _short(value: Any, limit: int = 80) -> str:
    try:
        shown = repr(value)
    except Exception as error:  # noqa: BLE001 a user's __repr__ may raise anything
        shown = f"<{type(value).__qualname__}, its repr fails: {type(error).__name__}>"
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"

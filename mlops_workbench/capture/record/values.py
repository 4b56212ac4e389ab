"""Conversion of parameters, metrics, steps and names to plain values."""

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
#: Range of steps in a database.
MAX_STEP = 2**63 - 1
MIN_STEP = -MAX_STEP


def plain(value: Any) -> Any:
    """Convert a parameter or tag to a plain value.

    Numbers, text, booleans, None and containers of them are kept (NumPy scalars become
    Python's, small arrays lists); anything else becomes text, such as its ``repr``.
    """
    return _plain(value, 0)


def number(name: str, value: Any) -> float | int:
    """Convert the value of a metric to a float or an int.

    Raises
    ------
    InvalidInput
        The value is not a single number.
    """
    kind = type(value)
    if kind is float or kind is int:
        return value  # type: ignore[no-any-return]
    if kind is bool:
        return int(value)
    item = getattr(value, "item", None)
    if callable(item) and _is_one(value):
        # A scalar of NumPy, torch, jax and others, or an array with one item; `float` of a tensor that requires
        # gradients would warn.
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
        hint="use log_param for text and settings, and log each number under its own name",
    )


def whole_step(step: Any) -> int:
    """Convert a step to an int.

    Raises
    ------
    InvalidInput
        The step is not an integer, or beyond the range of databases.
    """
    try:
        whole: int = step.__index__()
    except (AttributeError, TypeError):
        raise InvalidInput(f"step must be an integer, not {step!r}") from None
    if not MIN_STEP <= whole <= MAX_STEP:
        raise InvalidInput(f"step is about 2^{whole.bit_length()}, beyond the 64-bit integers of databases")
    return whole


def named(values: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two mappings of names to values.

    Raises
    ------
    InvalidInput
        The first is not a mapping, or a name is not text.
    """
    if not isinstance(values, Mapping):
        raise InvalidInput(
            f"the argument must be a mapping of names to values, not {type(values).__name__}",
            hint="log(auc=0.9) or log({...})",
        )
    both = {**values, **more}
    for name in both:
        if not isinstance(name, str) or not name:
            raise InvalidInput(f"a name must be text that is not empty, not {name!r}")
    return both


def text(value: str) -> str:
    """Return a string that can be encoded as UTF-8; lone surrogates are escaped."""
    return value.encode("utf-8", "backslashreplace").decode()


def _is_one(value: Any) -> bool:
    size = getattr(value, "size", 1)
    # In torch, `size` is a method.
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
    except Exception as error:  # noqa: BLE001 __repr__ of a user's object
        shown = f"<{type(value).__qualname__}, its repr fails: {type(error).__name__}>"
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"

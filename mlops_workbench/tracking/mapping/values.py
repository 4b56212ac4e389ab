"""Names and values as MLflow takes them, with nothing lost: what had to change is kept beside it."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import posixpath
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlops_workbench.core.records import Number, as_float

#: Limits of MLflow's API (``mlflow.utils.validation``).
MAX_NAME = 250
#: Length that a changed name is cut to, so that a prefix still fits.
_CUT = 200
MAX_PARAM = 6000
MAX_TAG = 8000
#: Length of a run's name in MLflow's database.
MAX_RUN_NAME = 250
#: Largest finite double, which MLflow stores for an infinity.
MAX_FLOAT = 1.7976931348623157e308
#: Largest whole number that a database keeps.
MAX_INT = 2**63 - 1
#: Python refuses to write an int of more than 4300 digits in decimal.
_DECIMAL_BITS = 14_000
#: What reading or converting a value can raise. Trouble with files, memory or a database is none of these.
UNUSABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)

_FORBIDDEN = re.compile(r"[^/\w.\- :]")


@functools.lru_cache(10_000)
def store_name(name: str) -> str:
    """The name under which MLflow takes a parameter, metric or tag.

    Allowed names stay as they are. Any other gets its forbidden characters replaced and a short hash of
    the original, so that two names never become one and a name becomes the same each time.
    """
    if is_store_name(name):
        return name
    plain = _FORBIDDEN.sub("_", name)
    plain = posixpath.normpath(plain).lstrip("/.").strip() or "unnamed"
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain[:_CUT].rstrip('/.') or 'unnamed'}-{digest}"


def is_store_name(name: str) -> bool:
    """Whether MLflow takes this name unchanged."""
    if not name or len(name) > MAX_NAME or _FORBIDDEN.search(name):
        return False
    normal = posixpath.normpath(name)
    return normal == name and normal != "." and not normal.startswith(("..", "/"))


def as_text(value: Any) -> str:
    r"""A parameter or tag as text: plain values as ``str`` gives them, containers as JSON.

    NUL characters, which databases refuse, are written as ``\x00``.
    """
    if isinstance(value, str):
        text = value
    elif isinstance(value, (Mapping, list, tuple, set, frozenset)):
        text = json.dumps(_plain(value), ensure_ascii=False, default=repr)
    else:
        text = str(_plain(value))
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item) for item in value), key=repr)
    if isinstance(value, int) and value.bit_length() > _DECIMAL_BITS:
        return hex(value)
    return value


def clip(text: str, limit: int) -> str:
    """At most `limit` characters, the last one an ellipsis when something was cut off."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def finite(number: float) -> float:
    """The number as MLflow's SQL store keeps it: an infinity is the largest double of its sign."""
    return math.copysign(MAX_FLOAT, number) if math.isinf(number) else number


def metric_for_store(value: Number) -> tuple[float, str]:
    """A metric as MLflow takes it, and the true value as text when it cannot keep that.

    NaN is kept by MLflow; infinities, and ints beyond the floats, become the largest double, and other ints
    the nearest one.
    """
    number = as_float(value)
    if math.isinf(number):
        return finite(number), as_text(value)
    return number, "" if type(value) is float or math.isnan(number) or number == value else as_text(value)


def step_for_store(step: int) -> int:
    """The step, or the nearest one that a database keeps."""
    return max(-MAX_INT, min(step, MAX_INT))


def safe_path(path: str) -> str:
    """A relative artifact path with forward slashes that stays below its run, whatever was recorded."""
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join(part.replace("\x00", "_") for part in parts) or "unnamed"


class IndexedValue(NamedTuple):
    """A metric's value in the index.

    `number` orders and compares as in MLflow: None for NaN, the largest double for what is beyond it. `text` tells
    the value that `number` is not: ``nan``, ``inf``, ``-inf`` or the digits of a huge int.
    """

    number: float | None
    text: str | None

    @property
    def shown(self) -> float | None:
        """The number; None for what is no finite one."""
        return None if self.text is not None else self.number


def indexed_value(value: Number) -> IndexedValue:
    """A metric's value, from the journal or from MLflow, as the index keeps it."""
    number = as_float(value)
    if math.isnan(number):
        return IndexedValue(None, "nan")
    if abs(number) >= MAX_FLOAT:
        told = math.copysign(math.inf, number) if type(value) is float else value
        return IndexedValue(finite(number), as_text(told))
    return IndexedValue(number, None)

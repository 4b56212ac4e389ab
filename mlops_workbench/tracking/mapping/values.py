"""Names and values in the form that MLflow accepts, and the originals of those that had to change."""

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
from mlops_workbench.core.wire.json_numbers import JsonNumber, json_number, json_value

#: Limits of MLflow's API (``mlflow.utils.validation``).
MAX_NAME = 250
#: Length that a changed name is cut to, so that there is space for a prefix.
_CUT = 200
MAX_PARAM = 6000
MAX_TAG = 8000
#: Length of a run's name in MLflow's database.
MAX_RUN_NAME = 250
#: Largest finite double, which MLflow stores for an infinity.
MAX_FLOAT = 1.7976931348623157e308
#: Largest integer of a database.
MAX_INT = 2**63 - 1
#: Python refuses to format an int of more than 4300 decimal digits.
_DECIMAL_BITS = 14_000
#: Exceptions of reading or converting a value; failures of files, memory or a database are others.
UNUSABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)

_FORBIDDEN = re.compile(r"[^/\w.\- :]")


@functools.lru_cache(10_000)
def store_name(name: str) -> str:
    """A name that MLflow accepts for a parameter, metric or tag.

    Allowed names are not changed. In any other, forbidden characters are replaced and a short hash of the original is
    appended, so that different names stay different and the result is always the same.
    """
    if is_store_name(name):
        return name
    plain = _FORBIDDEN.sub("_", name)
    plain = posixpath.normpath(plain).lstrip("/.").strip() or "unnamed"
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain[:_CUT].rstrip('/.') or 'unnamed'}-{digest}"


def is_store_name(name: str) -> bool:
    """Whether MLflow accepts this name unchanged."""
    if not name or len(name) > MAX_NAME or _FORBIDDEN.search(name):
        return False
    normal = posixpath.normpath(name)
    return normal == name and normal != "." and not normal.startswith(("..", "/"))


def as_text(value: Any) -> str:
    r"""A parameter or tag as text: containers as JSON, other values by ``str``.

    NUL characters, which databases reject, are written as ``\x00``.
    """
    if isinstance(value, str):
        text = value
    elif isinstance(value, (Mapping, list, tuple, set, frozenset)):
        text = json.dumps(json_value(_plain(value)), ensure_ascii=False, default=repr)
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
    """At most `limit` characters of a text, ending with an ellipsis if it was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def finite(number: float) -> float:
    """The number as MLflow's SQL store has it: an infinity is the largest double of its sign."""
    return math.copysign(MAX_FLOAT, number) if math.isinf(number) else number


def metric_for_store(value: Number) -> tuple[float, str]:
    """A metric as MLflow stores it, and the exact value as text if that differs.

    MLflow stores NaN; infinities, and ints out of the range of a double, become the largest double, and other ints
    the nearest one.
    """
    number = as_float(value)
    if math.isinf(number):
        return finite(number), as_text(value)
    return number, "" if type(value) is float or math.isnan(number) or number == value else as_text(value)


def step_for_store(step: int) -> int:
    """The step, or the nearest one in the range of a database."""
    return max(-MAX_INT, min(step, MAX_INT))


def safe_path(path: str) -> str:
    """A relative artifact path with forward slashes, without parts that lead out of the run's folder."""
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join(part.replace("\x00", "_") for part in parts) or "unnamed"


class IndexedValue(NamedTuple):
    """A metric's value in the index.

    `number` is compared and ordered as in MLflow: None for NaN, the largest double for larger values. `text` is the
    exact value where `number` is not, as in :mod:`mlops_workbench.core.wire.json_numbers`.
    """

    number: float | None
    text: str | None

    @property
    def shown(self) -> JsonNumber | None:
        """The exact value, as it is written to JSON."""
        return self.number if self.text is None else self.text


def indexed_value(value: Number) -> IndexedValue:
    """A metric's value, from the journal or from MLflow, as it is stored in the index."""
    number = as_float(value)
    if math.isnan(number):
        return IndexedValue(None, "NaN")
    if abs(number) >= MAX_FLOAT:
        exact = math.copysign(math.inf, number) if type(value) is float else value
        return IndexedValue(finite(number), str(json_number(exact)))
    return IndexedValue(number, None)

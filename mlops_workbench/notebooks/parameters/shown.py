"""Values of parameters as they are shown and recorded, and as they are written to JSON."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from typing import Any

from mlops_workbench.core.pipelines import Scalar
from mlops_workbench.core.wire.json_numbers import json_value


def shown(value: object) -> Scalar:
    """Return a value as a scalar of JSON: lists and dicts as JSON text, ``inf`` and ``nan`` as these words."""
    plain = plain_value(value)
    if isinstance(plain, (list, dict)):
        return json.dumps(plain, ensure_ascii=False)
    return plain  # type: ignore[no-any-return]


def plain_value(value: object) -> Any:
    """Return a value in the form that JSON has for it.

    Dates and durations are text as Python writes it, bytes are their literal, numbers without a form in JSON are the
    texts ``inf``, ``-inf``, ``nan`` or their digits; `ParameterType.convert` reads all of them.
    """
    if type(value).__module__ == "numpy" and hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    if value is None or isinstance(value, (bool, int, float)):
        return json_value(value)
    if isinstance(value, Mapping):
        return {_key(key): plain_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_value(item) for item in value]
    if isinstance(value, (set, frozenset)):
        # The order of a set differs from process to process.
        return [plain_value(item) for item in sorted(value, key=lambda item: (type(item).__name__, repr(item)))]
    if isinstance(value, (datetime.date, datetime.time)):
        zone = getattr(getattr(value, "tzinfo", None), "key", None)
        return value.isoformat() + (f"[{zone}]" if zone and isinstance(value, datetime.datetime) else "")
    if isinstance(value, bytes):
        return repr(value)
    return json_value(str(value))


def _key(key: object) -> str:
    plain = plain_value(key)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)

"""The fields of a form from the schema of a model: pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from mlops_workbench.core.model_schema import InputSpec

Kind = Literal["number", "integer", "choice", "boolean", "text", "time"]

#: Steps of a slider over the range of the training data.
_STEPS = 100


@dataclass(frozen=True)
class FormField:
    """A field.

    Attributes
    ----------
    name, kind
        Name of the input, and which control it gets.
    value : object
        What it has at first; None for a missing value.
    missing : bool
        Whether the value may be missing.
    low, high, step : number or None
        Range of a slider; None for a field without one.
    choices : tuple of object
        Values to choose from.
    is_open : bool
        Whether another text may be written.
    """

    name: str
    kind: Kind
    value: Any
    missing: bool
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[Any, ...] = field(default=())
    is_open: bool = False


def field_of(spec: InputSpec, example: Any) -> FormField:
    """Return the field of an input; `example` is its value in the example, None for a missing or unknown one."""
    missing = bool(spec.nullable) or not spec.required
    value: Any
    if spec.categories is not None:
        return _choice(spec, tuple(spec.categories), example, missing)
    match spec.type:
        case "boolean":
            value = example if isinstance(example, bool) or (example is None and missing) else False
            return FormField(spec.name, "boolean", value, missing)
        case "integer" | "long" | "float" | "double":
            return _number(spec, example, missing)
        case "datetime":
            value = time_of(example)
            if value is None and not missing:
                value = time_of(spec.low) or datetime(2000, 1, 1)
            return FormField(spec.name, "time", value, missing)
    if spec.values:
        return _choice(spec, tuple(spec.values), example, missing)
    value = str(example) if example is not None else None if missing else ""
    return FormField(spec.name, "text", value, missing)


def time_of(text: Any) -> datetime | None:
    """A time from ISO 8601, without a zone as the wire has it; None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


def _choice(spec: InputSpec, choices: tuple[Any, ...], example: Any, missing: bool) -> FormField:
    is_open = spec.type == "string" and spec.open is True
    if example is None:
        value = None if missing else choices[0] if choices else ""
    else:
        value = example if example in choices or is_open else choices[0] if choices else example
    return FormField(spec.name, "choice", value, missing, choices=choices, is_open=is_open)


def _number(spec: InputSpec, example: Any, missing: bool) -> FormField:
    is_whole = spec.type in ("integer", "long")
    low, high = (_finite(bound) for bound in (spec.low, spec.high))
    value = _finite(example)
    if value is None and not missing:
        value = low if low is not None else 0
    if low is None or high is None or not low < high or not 0 < (high - low) / _STEPS < math.inf:
        low = high = None
    if is_whole:
        kept = None if value is None else int(value)
        return FormField(spec.name, "integer", kept, missing, low, high, 1 if low is not None else None)
    step = None if low is None or high is None else _round_step((high - low) / _STEPS)
    return FormField(spec.name, "number", None if value is None else float(value), missing, low, high, step)


def _round_step(least: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is at most a number: values have few digits then."""
    digits, _, power = f"{least:.6e}".partition("e")
    return float(f"{max(one for one in (1, 2, 5) if one <= float(digits))}e{power}")


def _finite(value: Any) -> float | int | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) else None

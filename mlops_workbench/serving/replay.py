"""Logged rows that a loaded model answers again, compared with the logged answers."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.personal import is_personal
from mlops_workbench.core.releases import ReplayDifference, ReplayReport
from mlops_workbench.core.secrets.columns import is_secret_name
from mlops_workbench.serving.log.segments import FEATURE, HASHED
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.runtimes.estimator import PREDICT, PREDICT_PROBA, Runtime

#: Rows that differ most, and problems, that are kept; inputs of a row, and characters of a value.
_MOST_ROWS, _MOST_PROBLEMS, _MOST_INPUTS, _MOST_TEXT = 10, 5, 8, 60
#: Numbers as near as this are the same answer: relative to the larger one, and in all.
_RELATIVE, _NEAR = 1e-6, 1e-9


@dataclass(frozen=True)
class _Answer:
    """The answer to a row; None for what was not asked for, or is not logged."""

    label: Any
    probabilities: Sequence[float] | None


def replay(runtime: Runtime, rows: pa.Table, personal: Sequence[str], seconds: float) -> ReplayReport:
    """Answer logged rows again.

    Parameters
    ----------
    runtime : Runtime
        The loaded model.
    rows : pyarrow.Table
        Columns ``request_id``, ``row``, ``prediction``, ``probabilities``, ``feature.<name>`` and ``hashed.<name>``.
    personal : sequence of str
        Patterns of the names of personal columns.
    seconds : float
        Longest time; rows that are not answered then are left out.
    """
    count = rows.num_rows
    if reason := _unknown_inputs(runtime, rows.column_names, personal):
        return ReplayReport(left_out=count, why_left_out=reason)
    logged = _logged(rows)
    asked = [row for row, one in enumerate(logged) if one.label is not None or one.probabilities is not None]
    if not asked or PREDICT not in runtime.selectable:
        return ReplayReport(left_out=count, why_left_out="the log has no predictions to compare with")
    inputs = {
        column.name: _values(rows[FEATURE + column.name])
        for column in runtime.signature.columns
        if FEATURE + column.name in rows.column_names
    }
    probable = PREDICT_PROBA in runtime.outputs and any(one.probabilities is not None for one in logged)
    outputs = (PREDICT, PREDICT_PROBA) if probable else (PREDICT,)
    answers, failed = _ask(runtime, inputs, _requests(runtime, rows, asked), outputs, seconds)
    late = len(asked) - len(answers) - len(failed)
    reasons = []
    if len(asked) < count:
        reasons.append(f"{count - len(asked):,} have no prediction in the log")
    if late:
        reasons.append(f"{late:,} were not answered within {seconds:.0f} s")
    compared = _compared(runtime, rows, inputs, logged, answers)
    return ReplayReport(
        compared=len(answers),
        agree=compared.agree,
        mean_difference=compared.mean,
        max_difference=compared.most,
        errors=len(failed),
        problems=list(dict.fromkeys(failed.values()))[:_MOST_PROBLEMS],
        left_out=count - len(asked) + late,
        why_left_out="; ".join(reasons),
        differ=compared.differ,
    )


def _unknown_inputs(runtime: Runtime, names: Sequence[str], personal: Sequence[str]) -> str:
    """Why no row can be asked again; empty if they can."""
    hidden, absent = [], []
    for column in runtime.signature.columns:
        name = column.name
        if FEATURE + name in names:
            continue
        if HASHED + name in names or is_personal(name, personal) or is_secret_name(name):
            hidden.append(name)
        elif column.required:
            absent.append(name)
    reasons = []
    if hidden:
        reasons.append(f"the log has no values of the personal or secret columns {_listed(hidden)}")
    if absent:
        reasons.append(f"the version needs the columns {_listed(absent)}, which no logged row has")
    return "; ".join(reasons)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_INPUTS} more" if len(names) > _MOST_INPUTS else ""
    return ", ".join(repr(name) for name in names[:_MOST_INPUTS]) + more


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Values as JSON has them in a request: missing ones are null, times are text."""
    values = column.to_pylist()
    if pa.types.is_timestamp(column.type):
        return [value.isoformat() if isinstance(value, datetime) else None for value in values]
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]


def _logged(rows: pa.Table) -> list[_Answer]:
    labels = rows["prediction"].to_pylist()
    probabilities = rows["probabilities"].to_pylist() if "probabilities" in rows.column_names else [None] * len(labels)
    return [_Answer(label, chances) for label, chances in zip(labels, probabilities, strict=True)]


def _requests(runtime: Runtime, rows: pa.Table, asked: Sequence[int]) -> list[list[int]]:
    """Rows that are asked together: those of a request if the answer to a row depends on the others."""
    if runtime.is_row_wise:
        return [list(asked)]
    ids = rows["request_id"].to_pylist()
    together: dict[str, list[int]] = {}
    for row in asked:
        together.setdefault(ids[row], []).append(row)
    return list(together.values())


def _ask(
    runtime: Runtime,
    inputs: dict[str, list[Any]],
    requests: Sequence[list[int]],
    outputs: Sequence[str],
    seconds: float,
) -> tuple[dict[int, _Answer], dict[int, str]]:
    """Answers by row, and what went wrong with the rows that have none."""
    answers: dict[int, _Answer] = {}
    failed: dict[int, str] = {}
    end = time.monotonic() + seconds
    waiting = list(requests)
    while waiting and time.monotonic() < end:
        part = waiting.pop()
        try:
            answers |= zip(part, _answered(runtime, inputs, part, outputs), strict=True)
        except WorkbenchError as error:
            if len(part) == 1 or not runtime.is_row_wise:
                failed |= dict.fromkeys(part, error.message)
            else:
                # The rows that fail are found by halves; the others have their answers.
                half = len(part) // 2
                waiting += [part[half:], part[:half]]
    return answers, failed


def _answered(
    runtime: Runtime, inputs: dict[str, list[Any]], part: Sequence[int], outputs: Sequence[str]
) -> Iterator[_Answer]:
    batch = Batch.of_values(runtime.signature, {name: [values[row] for row in part] for name, values in inputs.items()})
    found = runtime.predict(batch, outputs).outputs
    labels = found[PREDICT].tolist()
    chances = found[PREDICT_PROBA].tolist() if PREDICT_PROBA in found else [None] * len(part)
    return (_Answer(label, chance) for label, chance in zip(labels, chances, strict=True))


@dataclass(frozen=True)
class _Compared:
    agree: int
    mean: float | None
    most: float | None
    differ: list[ReplayDifference]


def _compared(
    runtime: Runtime,
    rows: pa.Table,
    inputs: dict[str, list[Any]],
    logged: Sequence[_Answer],
    answers: dict[int, _Answer],
) -> _Compared:
    differences: dict[int, float | None] = {}
    different: list[int] = []
    for row, after in answers.items():
        before = logged[row]
        differences[row] = _difference(before, after, runtime.classes is not None)
        if not _same(before, after):
            different.append(row)
    numbers = [value for value in differences.values() if value is not None]
    worst = sorted(different, key=lambda row: (-_size(differences[row]), row))[:_MOST_ROWS]
    ids, numbered = rows["request_id"], rows["row"]
    return _Compared(
        agree=len(answers) - len(different),
        mean=math.fsum(numbers) / len(numbers) if numbers else None,
        most=max(numbers, default=None),
        differ=[
            ReplayDifference(
                str(ids[row].as_py()), int(numbered[row].as_py()), _shown(logged[row]), _shown(answers[row]),
                differences[row],
                {name: _text(values[row]) for name, values in list(inputs.items())[:_MOST_INPUTS]},
            )
            for row in worst
        ],
    )  # fmt: skip


def _size(difference: float | None) -> float:
    # No number can be given for the difference to an answer that is none.
    return math.inf if difference is None else difference


def _same(before: _Answer, after: _Answer) -> bool:
    if before.label is not None:
        return _equal(before.label, after.label)
    return _equal(list(before.probabilities or ()), list(after.probabilities or ()))


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, list) or isinstance(second, list):
        return (
            isinstance(first, list) and isinstance(second, list) and len(first) == len(second)
            and all(map(_equal, first, second))
        )  # fmt: skip
    if isinstance(first, int | float) and isinstance(second, int | float):
        if math.isnan(first) or math.isnan(second):
            return math.isnan(first) and math.isnan(second)
        return first == second or abs(first - second) <= _RELATIVE * max(abs(first), abs(second)) + _NEAR
    return str(first) == str(second)


def _difference(before: _Answer, after: _Answer, classifies: bool) -> float | None:
    if classifies:
        pair: tuple[Any, Any] = (before.probabilities, after.probabilities)
    else:
        pair = (before.label, after.label)
    return _distance(*pair)


def _distance(first: Any, second: Any) -> float | None:
    """Largest absolute difference of numbers or lists of them; None if there is none, or it is not finite."""
    if isinstance(first, list) and isinstance(second, list):
        if len(first) != len(second):
            return None
        parts = [_distance(*pair) for pair in zip(first, second, strict=True)]
        known = [part for part in parts if part is not None]
        return max(known) if known and len(known) == len(parts) else None
    if not (isinstance(first, int | float) and isinstance(second, int | float)):
        return None
    found = abs(float(first) - float(second))
    return found if math.isfinite(found) else None


def _shown(answer: _Answer) -> str:
    if answer.label is None:
        return _text(answer.probabilities)
    if not answer.probabilities:
        return _text(answer.label)
    return _text(f"{answer.label} ({max(answer.probabilities):.3g})")


def _text(value: Any) -> str:
    return str(value)[:_MOST_TEXT]

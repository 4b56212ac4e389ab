"""The golden set of a model: rows, and the answers of the fitted object to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from mlops_workbench.core.model_schema import InputSpec, ModelSchema
from mlops_workbench.data.digest import len_of
from mlops_workbench.data.digest_cost import take_rows
from mlops_workbench.data.fitted.answers import Answers, answer_columns, first_difference, output_spec
from mlops_workbench.data.fitted.inputs import ModelInputs
from mlops_workbench.data.fitted.perturb import Change, borders, can_be_unseen, make_missing, make_unseen, perturbed
from mlops_workbench.data.fitted.wire import wire_of_arrow
from mlops_workbench.data.tables.kinds import kind_of

Array = np.ndarray[Any, Any]

TRAINING, BOUNDARY, PERTURBED = "training", "boundary", "perturbed"
#: Number of rows of the training data, and of changed ones; cells of each.
ROWS, _CELLS = 1000, 1_000_000
#: Seconds for all answers, and for a call with all rows.
_SECONDS, _CALL_SECONDS, _GROWTH = 15.0, 2.0, 4
_FEWEST_ROWS, _TRIED_ROWS = 20, 8
#: Questions about which columns may have missing, or unseen, values: all columns of a table with some fifty.
_TRIES = 100
_SEED = 20_260_301
_ROW = "row kind"


@dataclass(frozen=True)
class GoldenRows:
    """Rows of one kind, answered together.

    Attributes
    ----------
    kind : str
        ``training``, ``boundary`` or ``perturbed``.
    columns : list of ndarray of shape (rows,)
        Inputs as the wire has them.
    answers : dict
        Columns of Arrow, see :func:`answer_columns`.
    """

    kind: str
    columns: list[Array]
    answers: dict[str, Any]


def make_golden(
    schema: ModelSchema,
    given: Any,
    answer: Callable[[Any], Answers],
    replace: Callable[[InputSpec, Array], Array],
) -> tuple[ModelSchema, list[GoldenRows]]:
    """Return the golden set of a model, and its schema with what was found out by asking it.

    Parameters
    ----------
    schema : ModelSchema
        Schema of the training data, without a problem.
    given : table, array, sparse matrix, Series or list
        A sample of the training data as it was passed to ``fit``, at least one row.
    answer : callable
        Asks the fitted object; raises what it raises.
    replace : callable
        Returns a column that may be stored: values of columns of secrets and personal columns are replaced.

    Returns
    -------
    schema : ModelSchema
        With `nullable` and `open` of its columns, `outputs`, `deterministic`, or a `problem`.
    golden : list of GoldenRows
        Empty with a problem.

    Raises
    ------
    Exception
        What the model raises for its own training data.
    """
    deadline = time.monotonic() + _SECONDS
    inputs = ModelInputs(schema)
    sample = _head(given, _rows(schema, given, answer))
    answers = answer(sample)
    columns = inputs.wire(sample)
    expected = answer_columns(answers)
    outputs = [output_spec(name, array) for name, array in answers.items()]
    schema = msgspec.structs.replace(schema, outputs=outputs)
    restored = answer_columns(answer(inputs.restore(columns)))
    if difference := first_difference(expected, restored):
        if first_difference(expected, answer_columns(answer(sample))):
            return msgspec.structs.replace(schema, deterministic=False), []
        problem = f"the model gives other answers to its training data when a request brings it: {difference}"
        return msgspec.structs.replace(schema, problem=problem), []
    kept = [replace(spec, values) for spec, values in zip(schema.columns, columns, strict=True)]
    trial = _Trial(inputs, answer, columns, deadline)
    if any(new is not old for new, old in zip(kept, columns, strict=True)):
        rows = trial.answered(TRAINING, kept)
    else:
        rows = GoldenRows(TRAINING, columns, expected)
    specs = trial.tried(schema.columns)
    schema = msgspec.structs.replace(schema, columns=specs)
    random = np.random.default_rng(_SEED)
    more = [
        trial.answered(BOUNDARY, borders(specs, kept)),
        trial.answered(PERTURBED, perturbed(specs, kept, len(kept[0]), random)),
    ]
    return schema, [found for found in (rows, *more) if found is not None]


def golden_parquet(golden: Sequence[GoldenRows], schema: ModelSchema) -> bytes:
    """Return a golden set as Parquet: ``x0``, ``x1`` and so on, the answers, and the kind of each row."""
    import pyarrow as pa
    from pyarrow import parquet

    tables = []
    types = [codec.wire for codec in ModelInputs(schema).codecs]
    for rows in golden:
        columns = {f"x{i}": wire_to_arrow(values, types[i]) for i, values in enumerate(rows.columns)}
        kinds = pa.array([rows.kind] * len(rows.columns[0]))
        tables.append(pa.table({**columns, **rows.answers, _ROW: kinds}))
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.concat_tables(tables, promote_options="permissive"), sink, compression="zstd")
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def read_golden(content: bytes, schema: ModelSchema) -> list[GoldenRows]:
    """Return a golden set.

    Raises
    ------
    ValueError
        The file is damaged, or of another model.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        # Unlike `read_table`, it imports no data sets of Arrow, which an endpoint does not need otherwise.
        table = parquet.ParquetFile(pa.BufferReader(content)).read()
        kinds = table[_ROW].to_pylist()
        codecs = ModelInputs(schema).codecs
        found = []
        for kind in dict.fromkeys(kinds):
            part = table.filter(pa.array([one == kind for one in kinds])).combine_chunks()
            columns = [wire_of_arrow(_whole(part[f"x{i}"]), codec.type, codec.wire) for i, codec in enumerate(codecs)]
            answers = {
                name: _whole(part[name])
                for name in part.column_names
                if name != _ROW and name.partition(":")[0] in {output.name for output in schema.outputs}
            }
            found.append(GoldenRows(kind, columns, answers))
    except (pa.ArrowException, KeyError, TypeError, OSError) as error:
        raise ValueError(f"the golden set is damaged: {error}") from error
    return found


def example_values(schema: ModelSchema, columns: Sequence[Array], rows: int) -> list[list[Any]]:
    """Return the first rows of columns of the wire as JSON has them, times in ISO 8601."""
    return [
        [_json(spec, value) for value in _listed(values[:rows])]
        for spec, values in zip(schema.columns, columns, strict=True)
    ]


class _Trial:
    """Asks a model about changed rows, as long as there is time."""

    def __init__(
        self, inputs: ModelInputs, answer: Callable[[Any], Answers], columns: list[Array], deadline: float
    ) -> None:
        self._inputs, self._answer, self._columns, self._deadline = inputs, answer, columns, deadline

    def answered(self, kind: str, columns: list[Array]) -> GoldenRows | None:
        """The rows that the model has answers for; None without any, or when the time is over."""
        waiting = [np.arange(len(columns[0]))] if len(columns[0]) else []
        good: list[Array] = []
        while waiting and time.monotonic() < self._deadline:
            rows = waiting.pop()
            if self._answers([values[rows] for values in columns]) is not None:
                good.append(rows)
            elif len(rows) > 1:
                waiting += [rows[: len(rows) // 2], rows[len(rows) // 2 :]]
        if not good:
            return None
        rows = np.sort(np.concatenate(good))
        chosen = [values[rows] for values in columns]
        found = self._answers(chosen)
        return GoldenRows(kind, chosen, answer_columns(found)) if found is not None else None

    def tried(self, specs: Sequence[InputSpec]) -> list[InputSpec]:
        """The columns, with whether the model gives answers for missing and for unseen values."""
        nullable = self._accepted(specs, range(len(specs)), make_missing)
        unseen = self._accepted(specs, [i for i, spec in enumerate(specs) if can_be_unseen(spec)], make_unseen)
        return [
            msgspec.structs.replace(spec, nullable=nullable.get(i), open=unseen.get(i)) for i, spec in enumerate(specs)
        ]

    def _accepted(self, specs: Sequence[InputSpec], positions: Sequence[int], change: Change) -> dict[int, bool]:
        """Which columns may be changed: all at once if that works, else by halves."""
        found: dict[int, bool] = {}
        waiting = [list(positions)] if positions else []
        for _ in range(_TRIES):
            if not waiting or time.monotonic() > self._deadline:
                break
            group = waiting.pop()
            if self._takes(specs, group, change):
                found.update(dict.fromkeys(group, True))
            elif len(group) == 1:
                found[group[0]] = False
            else:
                waiting += [group[: len(group) // 2], group[len(group) // 2 :]]
        return found

    def _takes(self, specs: Sequence[InputSpec], positions: Sequence[int], change: Change) -> bool:
        columns = [values[:_TRIED_ROWS] for values in self._columns]
        # Some rows keep their values: a column without any value is another case.
        rows = np.arange(len(columns[0])) % 2 == 0
        for position in positions:
            columns[position] = change(specs[position], columns[position], rows)
        return self._answers(columns) is not None

    def _answers(self, columns: list[Array]) -> Answers | None:
        try:
            found = self._answer(self._inputs.restore(columns))
        except Exception:  # noqa: BLE001 what a model raises for values that it does not take
            return None
        return found if all(len(array) == len(columns[0]) for array in found.values()) else None


def _rows(schema: ModelSchema, given: Any, answer: Callable[[Any], Answers]) -> int:
    """How many rows there is time for."""
    count = len_of(given)
    wanted = min(count, ROWS, max(_FEWEST_ROWS, _CELLS // max(len(schema.columns), 1)))
    # A model has a cost per call and one per row, so more rows are tried as long as there is time for them.
    rows = min(_FEWEST_ROWS, wanted)
    while rows < wanted:
        begun = time.monotonic()
        answer(_head(given, rows))
        if (time.monotonic() - begun) * _GROWTH > _CALL_SECONDS:
            return rows
        rows = min(rows * _GROWTH, wanted)
    return rows


def _head(data: Any, rows: int) -> Any:
    """Rows of a sample, evenly spread."""
    count = len_of(data)
    if rows >= count:
        return data
    found = take_rows(data, np.linspace(0, count - 1, rows).astype(int))
    return found.asformat(data.format) if kind_of(data) == "sparse" else found


def _listed(values: Array) -> list[Any]:
    if values.dtype.kind != "M":
        return list(values.tolist())
    import pandas as pd

    return [None if pd.isna(moment) else moment.isoformat() for moment in pd.DatetimeIndex(values)]


def _json(spec: InputSpec, value: Any) -> Any:
    if not isinstance(value, float):
        return value
    if not np.isfinite(value):
        return None
    return int(value) if spec.type in ("integer", "long") else value


def wire_to_arrow(values: Array, wire: np.dtype[Any]) -> Any:
    """Return a column of the wire as an array of Arrow; `wire` is its type without missing values."""
    import pyarrow as pa

    if wire.kind in "iu" and values.dtype != wire:
        # With missing values, they are floats or objects.
        kind = pa.from_numpy_dtype(wire)
        return pa.array(values, kind if values.dtype == object else None, from_pandas=True).cast(kind)
    return pa.array(values, from_pandas=values.dtype == object or values.dtype.kind == "M")


def _whole(column: Any) -> Any:
    found = column.combine_chunks()
    return found.chunk(0) if hasattr(found, "chunk") else found

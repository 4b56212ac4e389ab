"""Rows that a model was tested on: their inputs as the wire has them, the true values, and the model's answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops_workbench.core.model_schema import ONE_COLUMN, UNNAMED, InputSpec, ModelSchema, WireType
from mlops_workbench.data.fitted.answers import Answers, answer_columns, first_difference
from mlops_workbench.data.fitted.describe import form_of
from mlops_workbench.data.fitted.golden import wire_to_arrow
from mlops_workbench.data.fitted.inputs import ModelInputs, codec_of_part, fields_of, parts_of
from mlops_workbench.data.fitted.wire import objects, wire_of_arrow
from mlops_workbench.data.tables.arrow_columns import arrow_array
from mlops_workbench.data.tables.columns import column_names

Array = np.ndarray[Any, Any]

#: Column of the true values.
TRUTH = "truth"


@dataclass(frozen=True)
class EvaluationRows:
    """Rows with their true values.

    Attributes
    ----------
    columns : dict of str to ndarray of shape (rows,)
        Inputs as the wire has them, by name.
    truth : pyarrow.Array
        True values.
    answers : dict
        Columns of Arrow, see :func:`answer_columns`.
    """

    columns: dict[str, Array]
    truth: Any
    answers: dict[str, Any]


def evaluation_rows(schema: ModelSchema, given: Any, truth: Any, answer: Callable[[Any], Answers]) -> EvaluationRows:
    """Ask a fitted object about the rows that it was tested on.

    Parameters
    ----------
    schema : ModelSchema
        Schema of the model.
    given : table, array, sparse matrix, Series or list
        The rows.
    truth : Series or ndarray of shape (rows,)
        Their true values.
    answer : callable
        Asks the fitted object.

    Raises
    ------
    ValueError
        A column is of another type than in the training data.
    Exception
        What the model raises.
    """
    inputs = ModelInputs(schema)
    form = form_of(given)
    parts = parts_of(given, form)
    fields = [*fields_of(given, form), *[None] * len(parts)][: len(parts)]
    if (schema.form in ONE_COLUMN) != (form in ONE_COLUMN) or schema.is_named != (form not in UNNAMED):
        raise ValueError(f"the test data is of another kind ({form}) than the training data ({schema.form})")
    if schema.form in ("frame", "polars", "arrow"):
        names = column_names(given) if form == "frame" else [str(field.name) for field in fields]
        missing = [spec.name for spec in schema.columns if spec.name not in names]
        if missing:
            raise ValueError(f"the test data has no column '{missing[0]}'")
        places = [names.index(spec.name) for spec in schema.columns]
        parts, fields = [parts[place] for place in places], [fields[place] for place in places]
    elif len(parts) != len(schema.columns):
        raise ValueError(f"the test data has {len(parts)} columns, and the training data {len(schema.columns)}")
    columns = [
        coerced(codec_of_part(part, field).encode(part), spec.type, codec.wire, spec.name)
        for spec, codec, part, field in zip(schema.columns, inputs.codecs, parts, fields, strict=True)
    ]
    answers = answer_columns(answer(inputs.restore(columns)))
    if difference := first_difference(answer_columns(answer(given)), answers):
        raise ValueError(f"the model gives other answers to the test data when a request brings it: {difference}")
    by_name = {spec.name: values for spec, values in zip(schema.columns, columns, strict=True)}
    return EvaluationRows(by_name, arrow_array(truth), answers)


def evaluation_parquet(rows: EvaluationRows, schema: ModelSchema) -> bytes:
    """Return evaluation rows as Parquet: ``x0``, ``x1`` and so on, the answers, and the true values."""
    import pyarrow as pa
    from pyarrow import parquet

    types = [codec.wire for codec in ModelInputs(schema).codecs]
    columns = {f"x{i}": wire_to_arrow(values, types[i]) for i, values in enumerate(rows.columns.values())}
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table({**columns, **rows.answers, TRUTH: rows.truth}), sink, compression="zstd")
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def read_evaluation(content: bytes, schema: ModelSchema) -> EvaluationRows:
    """Return evaluation rows.

    Raises
    ------
    ValueError
        The file is damaged, or of another model.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(pa.BufferReader(content)).combine_chunks()
        columns = {
            spec.name: wire_of_arrow(_whole(table[f"x{i}"]), codec.type, codec.wire)
            for i, (spec, codec) in enumerate(zip(schema.columns, ModelInputs(schema).codecs, strict=True))
        }
        outputs = {output.name for output in schema.outputs}
        answers = {name: _whole(table[name]) for name in table.column_names if name.partition(":")[0] in outputs}
        return EvaluationRows(columns, _whole(table[TRUTH]), answers)
    except (pa.ArrowException, KeyError, TypeError, OSError) as error:
        raise ValueError(f"the rows that the model was tested on are damaged: {error}") from error


def for_columns(rows: EvaluationRows, wanted: Sequence[tuple[str, WireType, np.dtype[Any]]]) -> dict[str, Array]:
    """Return the columns that another model takes, by name, wire type and NumPy type.

    Raises
    ------
    ValueError
        A column is missing, or of another type.
    """
    missing = [name for name, _, _ in wanted if name not in rows.columns]
    if missing:
        raise ValueError(f"the rows have no column '{missing[0]}'")
    return {name: coerced(rows.columns[name], kind, dtype, name) for name, kind, dtype in wanted}


def coerced(values: Array, kind: WireType, dtype: np.dtype[Any], name: str) -> Array:
    """Return a column of the wire as one of another type, as an endpoint takes the values of a request.

    Raises
    ------
    ValueError
        It is not possible.
    """
    wrong = ValueError(f"column '{name}' is not of the type {kind} ({dtype}), but {values.dtype}")
    family = {"b": "boolean", "i": "number", "u": "number", "f": "number", "M": "datetime"}
    wanted = {"boolean": "boolean", "string": "string", "datetime": "datetime"}.get(kind, "number")
    if values.dtype == dtype:
        return values
    if values.dtype == object:
        # Texts, or booleans and large integers of which some are missing.
        present = [value for value in values.tolist() if value is not None]
        classes = {"boolean": bool, "string": str, "number": int}
        if wanted in classes and all(type(value) is classes[wanted] for value in present):
            return values if present or wanted != "number" else np.full(len(values), np.nan)
        raise wrong
    if family.get(values.dtype.kind) != wanted:
        raise wrong
    if dtype.kind == "f":
        return values.astype(dtype)
    absent = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), dtype=bool)
    whole = values[~absent]
    limits = np.iinfo(dtype)
    if len(whole) and ((whole != np.floor(whole)) | (whole < limits.min) | (whole > limits.max)).any():
        raise wrong
    return values if absent.any() else values.astype(dtype)


def slices_of(specs: Sequence[InputSpec], rows: Mapping[str, Array], name: str, most: int) -> list[tuple[str, Array]]:
    """Return the values of a column, and the rows of each as a mask; the most frequent ones.

    Raises
    ------
    ValueError
        There is no such column.
    """
    if name not in rows:
        raise ValueError(f"the model has no input '{name}'")
    values = objects([None if value is None or value != value else value for value in rows[name].tolist()])
    counts: dict[Any, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    frequent = sorted(counts, key=lambda value: (-counts[value], str(value)))[:most]
    return [(str(value), np.array([one == value for one in values])) for value in frequent if value is not None]


def _whole(column: Any) -> Any:
    found = column.combine_chunks()
    return found.chunk(0) if hasattr(found, "chunk") else found

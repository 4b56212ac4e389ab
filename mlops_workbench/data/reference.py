"""Sample of the training data of a model, for its signature, its input example, and monitors."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.model_schema import TargetSpec
from mlops_workbench.core.personal import is_personal
from mlops_workbench.core.records import Column
from mlops_workbench.core.secrets import MASK
from mlops_workbench.core.secrets.columns import is_secret_column, is_secret_name, mask_texts
from mlops_workbench.data.digest import len_of
from mlops_workbench.data.digest_cost import take_rows
from mlops_workbench.data.tables.arrow_columns import arrow_array
from mlops_workbench.data.tables.columns import columns_of, is_array, is_frame, is_missing, is_series, is_table
from mlops_workbench.data.tables.kinds import kind_of
from mlops_workbench.data.tables.tensors import Tensors, readable

#: Number of rows of the reference, and approximate limit of its cells.
SAMPLE_ROWS = 5000
_SAMPLE_CELLS = 1_000_000
#: Number of rows of the input example.
EXAMPLE_ROWS = 5
_FEWEST_ROWS = 200
_SEED = 20_240_229


@dataclass(frozen=True)
class FitData:
    """Columns of the training data of a model, and a random sample of its rows.

    Attributes
    ----------
    columns : list of Column
        Input columns.
    X : DataFrame, Series or ndarray
        At most 5000 rows, in order.
    y : Series or ndarray or None
        Target of the same rows.
    rows : int
        Number of rows of the training data.
    given : table, array, sparse matrix, Series or list
        The rows of `X` as they were passed to ``fit``: `X` itself unless that is a table of Arrow or polars, a
        sparse matrix, or a list.
    targets : list of TargetSpec
        Names and types of all targets.
    test : FitData, optional
        Rows that it was not fitted on, with their true values, which its predictions were compared with.
    """

    columns: list[Column]
    X: Any
    y: Any
    rows: int
    given: Any = None
    targets: list[TargetSpec] = field(default_factory=list)
    test: FitData | None = None


def sample_fit_data(X: Any, y: Any = None, columns: list[Column] | None = None) -> FitData | None:
    """Return columns and a sample of training data; None if `X` is not a table.

    The sample is drawn with a fixed seed and does not change the user's random state. `columns` are those of `X`,
    if they are known.

    Raises
    ------
    InvalidInput
        `X` and `y` have different lengths.
    """
    X, y = readable(X), readable(y)
    if isinstance(X, Tensors):
        # A dataset with two tensors contains inputs and target.
        X, y = X.take(slice(None)).parts[0], y if y is not None or len(X.parts) != 2 else X.take(slice(None)).parts[1]
    targets = _targets(y)
    given, X, y = X, _dense(X), _target(y)
    kind = kind_of(X)
    if (not is_table(X) and kind not in ("arrow", "polars", "sparse")) or not len_of(X):
        return None
    rows = len_of(X)
    if y is not None and len(y) != rows:
        raise InvalidInput(f"X has {rows} rows and y has {len(y)}", hint="pass the X and y that were passed to fit")
    chosen = _chosen(rows, X.shape[1] if len(getattr(X, "shape", ())) == 2 else 1)
    sample = sample_given = None
    if is_table(X):
        width = X.shape[1] if X.ndim == 2 else 1
        described = columns if columns is not None and len(columns) == width else columns_of(X)
        sample = sample_given = _take(X, chosen)
        if isinstance(given, list | tuple) and X.ndim == 1:
            sample_given = [given[i] for i in chosen.tolist()]
    elif kind == "sparse":
        sample_given = X.tocsr()[chosen]
        sample = sample_given.toarray()
        sample_given = sample_given.asformat(X.format)
        described = columns_of(sample)
    else:
        from mlops_workbench.data.tables.arrow_columns import arrow_columns, polars_columns
        from mlops_workbench.data.tables.frames import as_frame

        described = arrow_columns(X) if kind == "arrow" else polars_columns(X)
        sample_given = take_rows(X, chosen)
        sample = as_frame(sample_given)
    return FitData(described, sample, None if y is None else _take(y, chosen), rows, sample_given, targets)


def sample_seen(X: Any, y: Any = None, columns: list[Column] | None = None) -> FitData | None:
    """Call :func:`sample_fit_data` with the arguments of ``fit``; ignore a `y` whose length differs."""
    try:
        return sample_fit_data(X, y, columns)
    except InvalidInput:
        return sample_fit_data(X, columns=columns)


def reference_parquet(data: FitData, prediction: Any, personal: Sequence[str] = ()) -> bytes:
    """Return the sample as Parquet: input columns named as in the signature, ``__target__``, ``__prediction__``.

    Columns of secrets, and those whose names match a pattern of `personal`, are left out, and monitors do not watch
    them. It imports pyarrow, which a process needs only when it saves a model.
    """
    import pyarrow as pa
    from pyarrow import parquet

    names = [column.name for column in data.columns]
    parts = [column_of(data.X, i) for i in range(len(names))]
    table = {
        name: arrow_array(part)
        for name, part in zip(names, parts, strict=True)
        if not is_personal(name, personal) and not holds_secrets(name, part)
    }
    if data.y is not None:
        if hides_target(data, personal):
            prediction = None
        else:
            table["__target__"] = arrow_array(data.y)
    if prediction is not None and getattr(prediction, "ndim", 1) == 1:
        table["__prediction__"] = arrow_array(prediction)
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table(table), sink, compression="zstd")
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def hides_target(data: FitData, personal: Sequence[str]) -> bool:
    """Return whether the true values are secrets or personal data."""
    if data.y is None:
        return False
    name = getattr(data.y, "name", "")
    return is_personal(name, personal) or holds_secrets(name, data.y)


def input_example(data: FitData, personal: Sequence[str] = ()) -> bytes:
    """Return the first rows of the sample as JSON, in MLflow's ``dataframe_split`` format.

    In columns of secrets, and those whose names match a pattern of `personal`, ``***`` and 0 stand for texts and
    numbers.
    """
    columns = []
    for i, described in enumerate(data.columns):
        column = column_of(data.X, i)
        values = [_json_value(value) for value in column[:EXAMPLE_ROWS].tolist()]
        hides = is_personal(described.name, personal) or holds_secrets(described.name, column)
        columns.append(list(map(_hidden, values)) if hides else mask_texts(values))
    return example_json([column.name for column in data.columns], columns)


def example_json(names: Sequence[str], columns: Sequence[Sequence[Any]]) -> bytes:
    """Return values by column as JSON, in MLflow's ``dataframe_split`` format; without names, they are an array."""
    rows = [list(row) for row in zip(*columns, strict=True)]
    split = {"columns": list(names), "data": rows} if names else {"data": rows}
    return json.dumps({"dataframe_split": split}, ensure_ascii=False, allow_nan=False).encode(
        "utf-8", "backslashreplace"
    )


def holds_secrets(name: Any, values: Any) -> bool:
    """Return whether a column, a Series or an array of shape (rows,), holds secrets."""
    if getattr(values.dtype, "kind", "O") in "biufcmM":
        return is_secret_name(name) and values.dtype.kind != "b"
    return is_secret_column(name, values.tolist())


def _hidden(value: Any) -> Any:
    return MASK if isinstance(value, str) else value if value is None or isinstance(value, bool) else 0


def output_columns(prediction: Any) -> list[Column]:
    """Return the columns of a prediction: ``prediction`` for one output, ``prediction_0`` and so on for several."""
    if is_frame(prediction):
        return columns_of(prediction)
    if is_series(prediction) or (is_array(prediction) and prediction.ndim == 1):
        return [Column("prediction", columns_of(prediction)[0].dtype)]
    if is_array(prediction):
        return [Column(f"prediction_{i}", column.dtype) for i, column in enumerate(columns_of(prediction))]
    return []


def _chosen(rows: int, width: int) -> Any:
    numpy: Any = sys.modules["numpy"]
    count = min(SAMPLE_ROWS, max(_FEWEST_ROWS, _SAMPLE_CELLS // max(1, width)))
    if rows <= count:
        return numpy.arange(rows)
    return numpy.sort(numpy.random.default_rng(_SEED).choice(rows, count, replace=False))


def _targets(y: Any) -> list[TargetSpec]:
    if kind_of(y) not in ("frame", "series", "array", "records"):
        return []
    # NumPy is imported by now, and not when this module is.
    from mlops_workbench.data.fitted.describe import describe_target

    return describe_target(y)


def _take(data: Any, rows: Any) -> Any:
    if len(rows) == len(data):
        return data.copy()
    # Before pandas 3, the selected rows keep a reference to the whole frame; a copy does not.
    return data.iloc[rows].copy() if hasattr(data, "iloc") else data[rows]


def _dense(X: Any) -> Any:
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and isinstance(X, list | tuple):
        try:
            return numpy.asarray(X)
        except ValueError:
            return None
    return X


def _target(y: Any) -> Any:
    y = _dense(y)
    if is_frame(y):
        return y.iloc[:, 0] if y.shape[1] == 1 else None
    if is_array(y):
        return y if y.ndim == 1 else y[:, 0] if y.shape[1] == 1 else None
    if kind_of(y) == "polars" and not hasattr(y, "get_columns"):
        return y.to_numpy()
    return y if is_series(y) else None


def column_of(X: Any, i: int) -> Any:
    """Return a column of a DataFrame, of a Series, or of an array with one or two dimensions."""
    if is_frame(X):
        return X.iloc[:, i]
    return X if X.ndim == 1 else X[:, i]


def _json_value(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_missing(value):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "item"):
        return _json_value(value.item())
    return str(value)

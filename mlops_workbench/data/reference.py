"""What a model was trained on, as a sample: for its signature, its example, and monitors to compare with."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from typing import Any

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.records import Column
from mlops_workbench.data.digest import len_of
from mlops_workbench.data.digest_cost import take_rows
from mlops_workbench.data.tables.columns import columns_of, is_array, is_frame, is_series, is_table
from mlops_workbench.data.tables.kinds import kind_of
from mlops_workbench.data.tables.tensors import Tensors, readable

#: Rows of the reference, and about the cells of a table that it may hold.
SAMPLE_ROWS = 5000
_SAMPLE_CELLS = 1_000_000
#: Rows of the input example.
EXAMPLE_ROWS = 5
_FEWEST_ROWS = 200
_SEED = 20_240_229


@dataclass(frozen=True)
class FitData:
    """Training data of a model: columns of all of it, and a random sample of its rows.

    Attributes
    ----------
    columns : list of Column
        Input columns.
    X : DataFrame, Series or ndarray
        At most 5000 rows, in their order.
    y : Series or ndarray or None
        The target of the same rows.
    rows : int
        Rows of all of it.
    """

    columns: list[Column]
    X: Any
    y: Any
    rows: int


def sample_fit_data(X: Any, y: Any = None, columns: list[Column] | None = None) -> FitData | None:
    """Columns and a sample of training data; None for what is not a table.

    The sample is drawn with a seed of its own and leaves the user's random state alone. `columns` are those of `X`
    where they are known already.

    Raises
    ------
    InvalidInput
        `X` and `y` have different lengths.
    """
    X, y = readable(X), readable(y)
    if isinstance(X, Tensors):
        # Inputs and target, as a network is fed with them.
        X, y = X.take(slice(None)).parts[0], y if y is not None or len(X.parts) != 2 else X.take(slice(None)).parts[1]
    X, y = _dense(X), _target(y)
    kind = kind_of(X)
    if (not is_table(X) and kind not in ("arrow", "polars")) or not len_of(X):
        return None
    rows = len_of(X)
    if y is not None and len(y) != rows:
        raise InvalidInput(f"X has {rows} rows and y has {len(y)}", hint="give both as they went into fit")
    chosen = _chosen(rows, X.shape[1] if len(getattr(X, "shape", ())) == 2 else 1)
    if is_table(X):
        width = X.shape[1] if X.ndim == 2 else 1
        described = columns if columns is not None and len(columns) == width else columns_of(X)
        sample = _take(X, chosen)
    else:
        described, sample = _other_table(X, kind, chosen)
    return FitData(described, sample, None if y is None else _take(y, chosen), rows)


def sample_seen(X: Any, y: Any = None, columns: list[Column] | None = None) -> FitData | None:
    """:func:`sample_fit_data` of what a call of ``fit`` was given; a second argument of another length is no target."""
    try:
        return sample_fit_data(X, y, columns)
    except InvalidInput:
        return sample_fit_data(X, columns=columns)


def reference_parquet(data: FitData, prediction: Any) -> bytes:
    """The sample as Parquet: input columns under the names of the signature, ``__target__``, ``__prediction__``.

    pyarrow is imported for it, which only happens when the user saves a model.
    """
    import pyarrow as pa
    from pyarrow import parquet

    names = [column.name for column in data.columns]
    parts = [_column(data.X, i) for i in range(len(names))]
    table = {name: _arrow(part, pa) for name, part in zip(names, parts, strict=True)}
    if data.y is not None:
        table["__target__"] = _arrow(data.y, pa)
    if prediction is not None and getattr(prediction, "ndim", 1) == 1:
        table["__prediction__"] = _arrow(prediction, pa)
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table(table), sink, compression="zstd")
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def input_example(data: FitData) -> bytes:
    """The first rows of the sample as JSON, in MLflow's ``dataframe_split`` form."""
    columns = [_column(data.X, i) for i in range(len(data.columns))]
    rows = zip(*([_json_value(value) for value in column[:EXAMPLE_ROWS].tolist()] for column in columns), strict=True)
    split = {"columns": [column.name for column in data.columns], "data": [list(row) for row in rows]}
    return json.dumps({"dataframe_split": split}, ensure_ascii=False, allow_nan=False).encode(
        "utf-8", "backslashreplace"
    )


def output_columns(prediction: Any) -> list[Column]:
    """Columns of a prediction: ``prediction`` for one output, ``prediction_0`` and on for several."""
    if is_frame(prediction):
        return columns_of(prediction)
    if is_series(prediction) or (is_array(prediction) and prediction.ndim == 1):
        return [Column("prediction", columns_of(prediction)[0].dtype)]
    if is_array(prediction):
        return [Column(f"prediction_{i}", column.dtype) for i, column in enumerate(columns_of(prediction))]
    return []


def _chosen(rows: int, width: int) -> Any:
    numpy: Any = sys.modules["numpy"]
    wanted = min(SAMPLE_ROWS, max(_FEWEST_ROWS, _SAMPLE_CELLS // max(1, width)))
    if rows <= wanted:
        return numpy.arange(rows)
    return numpy.sort(numpy.random.default_rng(_SEED).choice(rows, wanted, replace=False))


def _take(data: Any, rows: Any) -> Any:
    if len(rows) == len(data):
        return data.copy()
    # A copy once more: before pandas 3 what was taken remembers that it is a part of something.
    return data.iloc[rows].copy() if hasattr(data, "iloc") else data[rows]


def _other_table(X: Any, kind: str, rows: Any) -> tuple[list[Column], Any]:
    """Columns of a pyarrow or polars table, and some of its rows as a pandas frame."""
    from mlops_workbench.data.tables.arrow_columns import arrow_columns, polars_columns

    some = take_rows(X, rows)
    if kind == "arrow":
        return arrow_columns(X), some.to_pandas()
    return polars_columns(X), (some.to_frame() if not hasattr(some, "get_columns") else some).to_arrow().to_pandas()


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


def _column(X: Any, i: int) -> Any:
    if is_frame(X):
        return X.iloc[:, i]
    return X if X.ndim == 1 else X[:, i]


def _arrow(values: Any, pa: Any) -> Any:
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        # Mixed objects: their text is what a monitor can count.
        return pa.array([None if _is_missing(value) else str(value) for value in values])


def _json_value(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if _is_missing(value):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "item"):
        return _json_value(value.item())
    return str(value)


def _is_missing(value: Any) -> bool:
    # pandas' NA refuses to be compared.
    return value is None or str(value) in ("<NA>", "NaT") or (isinstance(value, float) and math.isnan(value))

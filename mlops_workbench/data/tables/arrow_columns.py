"""Columns as Arrow has them: names, MLflow data types, whether values are missing; columns of pandas converted."""

from __future__ import annotations

from typing import Any

from mlops_workbench.core.records import Column
from mlops_workbench.data.tables.columns import is_missing


def arrow_columns(table: Any) -> list[Column]:
    """Return the columns of a pyarrow Table."""
    return [
        Column(name, arrow_type(column.type), not column.null_count)
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]


def polars_columns(data: Any) -> list[Column]:
    """Return the columns of a polars DataFrame, Series or LazyFrame; those of a LazyFrame may have missing values."""
    if hasattr(data, "collect"):
        import polars

        empty = polars.DataFrame(schema=data.collect_schema())
        return [Column(column.name, column.dtype, False) for column in arrow_columns(empty.to_arrow())]
    series = data.get_columns() if hasattr(data, "get_columns") else [data]
    return [Column(one.name, arrow_type(one[:0].to_arrow().type), not one.null_count()) for one in series]


def arrow_type(kind: Any) -> str:
    """Return the MLflow data type of an Arrow type."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return arrow_type(kind.value_type)
    if types.is_boolean(kind):
        return "boolean"
    if types.is_integer(kind):
        return "integer" if kind.bit_width < 32 or str(kind) == "int32" else "long"
    if types.is_floating(kind):
        return "double" if kind.bit_width == 64 else "float"
    if types.is_decimal(kind):
        return "double"
    if types.is_timestamp(kind) or types.is_date(kind):
        return "datetime"
    return "long" if types.is_duration(kind) else "string"


def arrow_array(values: Any) -> Any:
    """Return a column as an Arrow array; values that Arrow has no type for are converted to text.

    Parameters
    ----------
    values : pandas.Series or ndarray of shape (rows,)
        Values of any kind: mixed objects, intervals, integers beyond 64 bits, text with lone surrogates.

    Returns
    -------
    pyarrow.Array or pyarrow.ChunkedArray
        Of `rows` values; missing ones are null.
    """
    import pyarrow as pa

    if type(values.dtype).__name__ == "SparseDtype":
        values = values.array.to_dense()
    if values.dtype.kind == "f" and values.dtype.itemsize > 8:
        values = values.astype("float64")
    try:
        found = pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.array(texts_of(values), type=pa.string())
    kind = found.type.value_type if pa.types.is_dictionary(found.type) else found.type
    # Compute functions and other processes do not know the extension types of pandas.
    return pa.array(texts_of(values), type=pa.string()) if isinstance(kind, pa.BaseExtensionType) else found


def texts_of(values: Any) -> list[str | None]:
    """Return values as text that can be encoded as UTF-8, and None for missing ones."""
    return [None if is_missing(v) else str(v).encode("utf-8", "backslashreplace").decode() for v in values]

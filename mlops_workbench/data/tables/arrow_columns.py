"""Columns of Arrow and polars tables: names, MLflow data types, and whether values are missing."""

from __future__ import annotations

from typing import Any

from mlops_workbench.core.records import Column


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

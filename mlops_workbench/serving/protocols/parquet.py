"""Parquet bodies of MLflow's scoring protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlops_workbench.core.errors import first_line
from mlops_workbench.serving.errors import BodyTooLarge, InvalidRequest
from mlops_workbench.serving.protocols.body import check_columns
from mlops_workbench.serving.rows.arrays import are_exact, typed_array
from mlops_workbench.serving.rows.batch import check_rows
from mlops_workbench.serving.rows.signature import DTYPES, InputColumn, Signature
from mlops_workbench.serving.rows.values import MISSING, Array, column_array, objects

PARQUET = "application/vnd.apache.parquet"


def parquet_columns(body: bytes, signature: Signature, most: int) -> Mapping[str, Array]:
    """Return the typed columns of the model; other columns are not read.

    Parameters
    ----------
    body : bytes
        A Parquet file; columns are found by name.
    signature : Signature
        Inputs of the model.
    most : int
        Largest size of the values in bytes.

    Raises
    ------
    InvalidRequest
        Not Parquet, a column is missing or there twice, or a value is not one of its column.
    BodyTooLarge
        Too many rows, or the decompressed values are larger than `most`.
    """
    # Imported here, since the process answers its first request sooner without it.
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(pa.BufferReader(body), memory_map=False)
        metadata, names = file.metadata, file.schema_arrow.names
        wanted = wanted_columns(names, signature)
        check_rows(metadata.num_rows)
        _check_size(_declared(metadata, {names[at] for at in wanted.values()}), most)
        texts = [names[at] for at in wanted.values() if is_text(file.schema_arrow.field(at).type)]
        # Repeated texts stay one until their size is known.
        file = parquet.ParquetFile(pa.BufferReader(body), memory_map=False, read_dictionary=texts)
        table = file.read(columns=[names[at] for at in wanted.values()], use_threads=False)
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise InvalidRequest(f"the body is not a valid Parquet file: {first_line(error)}") from None
    check_rows(table.num_rows)
    found: dict[str, Array] = {}
    used = 0
    for name, at in wanted.items():
        if names[at] not in table.column_names:
            raise InvalidRequest(f"column '{name}': a nested column of a Parquet file is not taken")
        given = table[names[at]]
        used += _text_bytes(given) if pa.types.is_dictionary(given.type) else given.nbytes
        _check_size(used, most)
        found[name] = arrow_values(signature.by_name[name], given)
    return found


def wanted_columns(names: Sequence[str], signature: Signature) -> dict[str, int]:
    """Return the places of the model's columns among the names of a file.

    Raises
    ------
    InvalidRequest
        A column is missing or there twice, or there are too many.
    """
    check_columns(len(names))
    own = [signature.own_name(name) for name in names]
    wanted = {name: at for at, name in enumerate(own) if name in signature.by_name}
    if twice := next((name for at, name in enumerate(own) if wanted.get(name, at) != at), None):
        raise InvalidRequest(f"the Parquet file names column '{twice[:200]}' twice")
    signature.check_complete(dict.fromkeys(own).keys())
    return wanted


def is_text(kind: Any) -> bool:
    """Whether a type of Arrow is one of texts."""
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _declared(metadata: Any, wanted: set[str]) -> int:
    """Decompressed bytes of the columns, as the file says."""
    size = 0
    for group in range(metadata.num_row_groups):
        one = metadata.row_group(group)
        for at in range(one.num_columns):
            chunk = one.column(at)
            if chunk.path_in_schema in wanted:
                size += max(chunk.total_uncompressed_size, 0)
    return size


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise BodyTooLarge(f"the values are larger than {most >> 20} MiB decompressed (serving.max_body_mb)")


def arrow_values(column: InputColumn, given: Any) -> Array:
    """Return the typed values of a chunked array of Arrow.

    Raises
    ------
    InvalidRequest
        A value is not one of the column.
    """
    import pyarrow as pa
    from pyarrow import compute

    kind = given.type
    if pa.types.is_dictionary(kind):
        return column_array(column, _texts(given))
    if pa.types.is_null(kind):
        return column_array(column, [None] * len(given))
    if (pa.types.is_timestamp(kind) or pa.types.is_date(kind)) and column.type == "datetime":
        return _times(column, given)
    plain = pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    if plain and not given.null_count:
        return typed_array(column, _numpy(given))
    is_exact = pa.types.is_integer(kind) and are_exact(_numpy(given.drop_null())) and column.nullable is not False
    if pa.types.is_floating(kind) or is_exact:
        return typed_array(column, _numpy(compute.fill_null(given.cast(pa.float64()), np.nan)))
    if is_text(kind) or plain:
        return column_array(column, given.to_pylist())
    raise InvalidRequest(f"column '{column.name}': expected {column.type}, got Parquet values of type {kind}")


def _numpy(given: Any) -> Array:
    # A copy, since models may write to what they get.
    return np.array(given.to_numpy())


def _text_bytes(given: Any) -> int:
    """Bytes of texts, of which equal ones are stored once."""
    size = 8 * len(given)
    for chunk in given.chunks:
        lengths = np.array([len(text) if isinstance(text, str | bytes) else 8 for text in chunk.dictionary.to_pylist()])
        size += int(lengths[np.asarray(chunk.indices.drop_null())].sum()) if len(lengths) else 0
    return size


def _texts(given: Any) -> list[object]:
    found: list[object] = []
    for chunk in given.chunks:
        texts = chunk.dictionary.to_pylist()
        # The last one stands for a missing value.
        found += objects([*texts, None])[np.asarray(chunk.indices.fill_null(len(texts)))].tolist()
    return found


def _times(column: InputColumn, given: Any) -> Array:
    import pyarrow as pa

    zone = getattr(given.type, "tz", None)
    unit = "ns" if getattr(given.type, "unit", "") == "ns" else "us"
    try:
        # The values of a column with a time zone are in UTC.
        numbers = given.cast(pa.timestamp(unit, zone)).cast(pa.int64()).fill_null(_NO_TIME)
    except pa.ArrowException as error:
        raise InvalidRequest(f"column '{column.name}': {str(error)[:200]}") from None
    moments = _numpy(numbers)
    missing = moments == _NO_TIME
    if column.nullable is False and missing.any():
        raise InvalidRequest(f"column '{column.name}', row {int(missing.argmax())}: {MISSING}")
    if unit == "us":
        outside = ~missing & ((moments <= _FIRST) | (moments >= _LAST))
        if outside.any():
            row = int(outside.argmax())
            raise InvalidRequest(f"column '{column.name}', row {row}: expected a time between 1678 and 2261")
        moments[missing] = 0
    times = moments.astype(f"datetime64[{unit}]").astype(DTYPES["datetime"])
    times[missing] = np.datetime64("NaT")
    return times


_NO_TIME = -(2**63)
_FIRST, _LAST = (int(np.datetime64(day, "us").astype(np.int64)) for day in ("1677-09-22", "2262-04-11"))

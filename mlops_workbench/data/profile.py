"""Profile of a table, recorded with each version, so that versions can be compared without the data.

Missing values and extremes are computed from all rows; mean, standard deviation, quantiles and most frequent values
from evenly spaced rows. All values are JSON-compatible. Of a column that holds secrets only the number of missing
values is kept; see :func:`mlops_workbench.core.secrets.columns.is_secret_column`.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from typing import Any, NamedTuple

from mlops_workbench.core.secrets.columns import is_secret_column, is_secret_name, mask_texts
from mlops_workbench.data.content.passes import Extremes, extremes_of
from mlops_workbench.data.digest import Digest, len_of
from mlops_workbench.data.digest_cost import sample_rows, take_rows
from mlops_workbench.data.tables.columns import column_names, count_missing, is_missing, series_of
from mlops_workbench.data.tables.frames import as_frame
from mlops_workbench.data.tables.kinds import kind_of, name_of_kind

#: Number of columns that are profiled, the first ones.
COLUMNS = 200
#: Number of rows for quantiles and frequent values.
SAMPLED_ROWS = 20_000
#: Number of equidistant quantiles, including the extremes.
QUANTILES = 21
#: Number of most frequent values.
TOP = 20
#: Largest number of distinct values that are all listed.
FEW_VALUES = 50
_LONGEST = 200
#: Largest Arrow and polars tables that are profiled by all rows.
_CONVERTED_BYTES = 256 << 20


class Summary(NamedTuple):
    """Mean, standard deviation and quantiles of numbers; None where they overflow or there are no numbers."""

    mean: float | None
    std: float | None
    quantiles: list[float | int | None]


def profile_table(data: Any, digest: Digest) -> dict[str, Any]:
    """Return the profile of a table.

    Returns
    -------
    dict
        ``kind``; ``digest``: what the digest covers; ``missing``: counts of the columns with missing values;
        ``examined``: number of rows for missing values and extremes, usually all; ``sampled``: number of rows for the
        rest; ``columns``: a dict for each of the first 200 columns; ``left_out``: number of further columns.
    """
    columns, examined = _columns(data, digest)
    sampled = min(examined, SAMPLED_ROWS)
    profiled = []
    first = columns[:COLUMNS]
    for (name, values), extremes, summary in zip(first, _interleaved(first), _summaries(first), strict=True):
        column = profile_column(name, values, extremes, summary)
        if name in digest.columns and not column.get("secret"):
            column["digest"] = digest.columns[name]
        profiled.append(column)
    return {
        "kind": name_of_kind(data),
        "digest": digest.covers,
        "examined": examined,
        "sampled": sampled,
        "missing": {column["name"]: column["missing"] for column in profiled if column["missing"]},
        "columns": profiled,
        "left_out": max(0, len(columns) - COLUMNS),
    }


def profile_column(
    name: str, values: Any, extremes: Extremes | None = None, summary: Summary | None = None
) -> dict[str, Any]:
    """Return the profile of a column.

    Parameters
    ----------
    name : str
        Name of the column.
    values : Series, or ndarray of shape (rows,)
        Its values.
    extremes : Extremes, optional
        Extremes of its numbers, if they are known.
    summary : Summary, optional
        Summary of its sampled numbers, if it is known.

    Returns
    -------
    dict
        ``name dtype kind missing``; for numbers and dates (in seconds since the epoch) ``min max mean std quantiles``;
        for everything else, and for integers with few values, ``distinct``, ``counted`` (values in the sampled
        rows) and ``top`` (pairs of value and count); ``values``: all distinct values of all rows if they are few.
        For a column of secrets ``name dtype kind missing`` and ``secret``, which is true.
    """
    kind, numbers = _numbers(values)
    found: dict[str, Any] = {"name": name, "dtype": str(values.dtype), "kind": kind}
    if is_secret_name(name) and getattr(values.dtype, "kind", "") != "b":
        return found | {"missing": _missing(values, numbers, extremes), "secret": True}
    if numbers is not None:
        known = extremes or extremes_of([numbers])[0]
        some = _thinned(numbers)
        found["missing"] = known.missing
        found.update(_distribution(known, summary or _summary(some)))
        if numbers.dtype.kind != "f" and len(set(some[: 20 * FEW_VALUES].tolist())) <= FEW_VALUES:
            counts = Counter(some.tolist())
            if len(counts) <= FEW_VALUES:
                found.update(_frequencies(counts))
        return found
    found["missing"] = count_missing(values)
    some = _thinned(values)
    listed = some.tolist()
    if is_secret_column("", listed):
        return found | {"secret": True}
    counts = _counted(listed)
    found.update(_frequencies(counts))
    if len(counts) <= FEW_VALUES and (complete := _all_values(values, counts, len(some))) is not None:
        found["values"] = complete
    return found


def _missing(values: Any, numbers: Any, extremes: Extremes | None) -> int:
    return count_missing(values) if numbers is None else (extremes or extremes_of([numbers])[0]).missing


def _columns(data: Any, digest: Digest) -> tuple[list[tuple[str, Any]], int]:
    kind = kind_of(data)
    rows = len_of(data)
    if kind == "array" and data.ndim > 2:
        return [], rows
    if kind in ("arrow", "polars", "records", "sparse", "lazy"):
        data = _as_frame(data, kind)
        if data is None:
            return [], rows
    elif digest.covers == "sampled":
        data = take_rows(data, sample_rows(rows, SAMPLED_ROWS / rows))
    elif type(data).__name__ == "matrix":
        # A column of a NumPy matrix is a matrix.
        data = sys.modules["numpy"].asarray(data)
    names = column_names(data)
    if hasattr(data, "columns"):
        # Wide tables have more columns than are profiled.
        parts = series_of(data, COLUMNS)
        parts += [None] * (len(names) - len(parts))
    elif hasattr(data, "iloc") or data.ndim == 1:
        parts = [data]
    else:
        parts = [data[:, i] for i in range(data.shape[1])]
    return list(zip(names, parts, strict=True)), len(data)


def _as_frame(data: Any, kind: str) -> Any:
    """Return a DataFrame of all or, for large data, of sampled rows; None for data without columns."""
    if kind in ("sparse", "lazy"):
        return None
    rows = len_of(data)
    size = data.nbytes if kind == "arrow" else data.estimated_size() if kind == "polars" else 0
    if rows > SAMPLED_ROWS and (size > _CONVERTED_BYTES or kind == "records"):
        data = take_rows(data, sample_rows(rows, SAMPLED_ROWS / rows))
    if kind != "records":
        return as_frame(data)
    pandas: Any = sys.modules.get("pandas")
    if pandas is None or not rows:
        return None
    try:
        return pandas.DataFrame(list(data))
    except UnicodeEncodeError:
        # The text type of pandas does not accept lone surrogates.
        return pandas.DataFrame(list(data), dtype=object)


def _numbers(values: Any) -> tuple[str, Any]:
    """Return ``numeric`` or ``datetime`` and the numbers with NaN for missing ones, else ``categorical`` and None."""
    numpy: Any = sys.modules["numpy"]
    dtype = values.dtype
    plain: Any = dtype if isinstance(dtype, numpy.dtype) else getattr(dtype, "numpy_dtype", None)
    name = type(dtype).__name__
    if name == "SparseDtype":
        return _numbers(values.array.to_dense())
    if name == "DatetimeTZDtype" or getattr(plain, "kind", "") in ("m", "M"):
        if name == "ArrowDtype" and str(dtype).startswith("date"):
            # To NumPy they are objects.
            values = values.astype("datetime64[us]")
        wanted = "timedelta64[us]" if getattr(plain, "kind", "") == "m" else "datetime64[us]"
        stamps = numpy.asarray(values, dtype=None if isinstance(dtype, numpy.dtype) else wanted)
        unit = numpy.timedelta64(1, "s")
        origin = numpy.datetime64(0, "s") if stamps.dtype.kind == "M" else numpy.timedelta64(0, "s")
        return "datetime" if stamps.dtype.kind == "M" else "numeric", (stamps - origin) / unit
    if getattr(plain, "kind", "") not in ("i", "u", "f"):
        return "categorical", None
    if isinstance(dtype, numpy.dtype):
        return "numeric", values.to_numpy() if hasattr(values, "to_numpy") else values
    if plain.kind in "iu" and not values.isna().any():
        return "numeric", values.to_numpy(dtype=plain)
    return "numeric", values.to_numpy(dtype=numpy.float64, na_value=numpy.nan)


def _interleaved(columns: list[tuple[str, Any]]) -> list[Extremes | None]:
    """Return the extremes of columns that are not contiguous, computed together; None for the others."""
    numpy: Any = sys.modules["numpy"]
    found: list[Extremes | None] = [None] * len(columns)
    arrays: dict[int, Any] = {}
    for i, (_, values) in enumerate(columns):
        if isinstance(values.dtype, numpy.dtype) and values.dtype.kind in "iuf":
            array = values.to_numpy() if hasattr(values, "to_numpy") else values
            if not array.flags.c_contiguous:
                arrays[i] = array
    for i, extremes in zip(arrays, extremes_of(list(arrays.values())), strict=True):
        found[i] = extremes
    return found


def _summaries(columns: list[tuple[str, Any]]) -> list[Summary | None]:
    """Return the summaries of numeric columns without missing values; None for the others.

    Computing them together avoids a dozen NumPy calls per column.
    """
    numpy: Any = sys.modules["numpy"]
    found: list[Summary | None] = [None] * len(columns)
    plain = [
        i
        for i, (_, values) in enumerate(columns)
        if isinstance(values.dtype, numpy.dtype) and values.dtype.kind in "iuf" and values.dtype.itemsize <= 8
    ]
    if len(plain) < 2:
        return found
    some = _thinned(numpy.arange(len(columns[plain[0]][1])))
    block = numpy.empty((len(plain), len(some)))
    for row, i in zip(block, plain, strict=True):
        values = columns[i][1]
        array = values.to_numpy() if hasattr(values, "to_numpy") else values
        row[:] = array if len(some) == len(array) else array[some]
    whole = numpy.flatnonzero(numpy.isfinite(block).all(axis=1)) if len(some) else []
    if len(whole):
        complete = block[whole]
        complete.sort(axis=1)
        for k, summary in zip(whole, _of_sorted(complete), strict=True):
            found[plain[k]] = summary
    return found


def _summary(some: Any) -> Summary:
    numpy: Any = sys.modules["numpy"]
    with numpy.errstate(all="ignore"):
        present = some.astype(numpy.float64)
        present = numpy.sort(present[numpy.isfinite(present)])
    return _of_sorted(present[None, :])[0] if len(present) else Summary(None, None, [])


def _of_sorted(numbers: Any) -> list[Summary]:
    """Return the summaries of sorted numbers, an array of shape (columns, rows)."""
    numpy: Any = sys.modules["numpy"]
    last = numbers.shape[1] - 1
    places = numpy.linspace(0, last, QUANTILES)
    below = places.astype(numpy.int64)
    above = numpy.minimum(below + 1, last)
    # Overflow of large numbers must not give the user a warning.
    with numpy.errstate(all="ignore"):
        low = numbers[:, below]
        quantiles = low + (numbers[:, above] - low) * (places - below)
        means, deviations = numbers.mean(axis=1), numbers.std(axis=1)
    return [
        Summary(_finite(mean), _finite(std), [_finite(value) for value in values])
        for mean, std, values in zip(means.tolist(), deviations.tolist(), quantiles.tolist(), strict=True)
    ]


def _distribution(known: Extremes, summary: Summary) -> dict[str, Any]:
    low, high = _finite(known.low), _finite(known.high)
    return {
        "min": low,
        "max": high,
        "infinite": any(value is not None and finite is None for value, finite in
                        ((known.low, low), (known.high, high))),
        "mean": summary.mean,
        "std": summary.std,
        "quantiles": summary.quantiles,
    }  # fmt: skip


def _counted(values: list[Any]) -> Counter[Any]:
    try:
        raw = Counter(values)
    except Exception:  # noqa: BLE001 comparison of objects may raise anything
        # Lists, dicts and other unhashable values are counted by their text.
        raw = Counter(_label(value) for value in values if not is_missing(value))
    counts: Counter[Any] = Counter()
    for value, count in raw.items():
        if not is_missing(value):
            counts[_label(value)] += count
    return counts


def _frequencies(counts: Counter[Any]) -> dict[str, Any]:
    most = counts.most_common(TOP)
    # Single values may hold a secret in a column that is none of secrets.
    top = [[value, count] for value, (_, count) in zip(mask_texts([value for value, _ in most]), most, strict=True)]
    return {"distinct": len(counts), "counted": counts.total(), "top": top}


def _all_values(values: Any, counts: Counter[Any], examined: int) -> list[Any] | None:
    if examined < len(values):
        if not hasattr(values, "unique"):
            return None
        try:
            distinct = values.unique()
        except TypeError:
            return None
        found = [_label(value) for value in distinct.tolist() if not is_missing(value)]
    else:
        found = list(counts)
    if len(found) > FEW_VALUES or any(isinstance(value, str) and len(value) >= _LONGEST for value in found):
        return None
    if mask_texts(found) is not found:
        return None
    return sorted(found, key=lambda value: (str(type(value)), value))


def _thinned(values: Any) -> Any:
    if len(values) <= SAMPLED_ROWS:
        return values
    rows = sample_rows(len(values), SAMPLED_ROWS / len(values))
    return values.iloc[rows] if hasattr(values, "iloc") else values[rows]


def _label(value: Any) -> Any:
    kind = type(value)
    if kind is bool or (kind is int and abs(value) < 2**63) or (kind is float and math.isfinite(value)):
        return value
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 code of the user
        text = f"<{kind.__qualname__}>"
    return text[:_LONGEST].encode("utf-8", "replace").decode()


def _finite(value: Any) -> float | int | None:
    if value is None:
        return None
    plain = value.item() if hasattr(value, "item") else value
    if not isinstance(plain, int | float):
        # `item` returns long doubles unchanged.
        plain = float(plain)
    return plain if isinstance(plain, int) or math.isfinite(plain) else None

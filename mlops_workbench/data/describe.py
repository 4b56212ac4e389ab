"""Record of the data that a run used: version, shape, columns and profile."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.records import Column, Dataset
from mlops_workbench.data.digest import Digest, digest_data, len_of
from mlops_workbench.data.digest_cost import estimate_seconds
from mlops_workbench.data.tables.columns import columns_of, is_array, is_table
from mlops_workbench.data.tables.kinds import Kind, kind_of, name_of_kind
from mlops_workbench.data.tables.tensors import readable

_PROFILE_BYTES_PER_SECOND = 1.0e9
_PROFILE_COLUMN_SECONDS = 0.4e-3
_PROFILE_CELL_SECONDS = 0.2e-6
#: Number of cached descriptions; a profile has some kilobytes per column.
_CACHED = 32
_cache: dict[tuple[str, type, str, bool], tuple[list[Column], dict[str, Any]]] = {}
_IMPORT_SECONDS = 0.5  # import of pandas, which the profile of an Arrow table needs


def describe_dataset(
    run_uid: str,
    data: Any,
    name: str = "",
    *,
    context: str = "training",
    source: str = "",
    seconds: float = float("inf"),
) -> Dataset:
    """Describe a table, or a file or folder.

    Parameters
    ----------
    run_uid : str
        The run that used it.
    data : table or path
        A DataFrame, Series, array, sparse matrix, polars or pyarrow table, list of rows, tensor, dataset or loader of
        tensors, or a path.
    name, context, source : str
        Name, use and origin of the data.
    seconds : float
        Approximate time limit of the digest; see :func:`mlops_workbench.data.digest.digest_data`.

    Raises
    ------
    InvalidInput
        The data is neither a table nor a path, or the file cannot be read.
    """
    data = readable(data)
    kind = kind_of(data)
    if kind == "path":
        return _file(run_uid, Path(data), name, context, source, seconds)
    if not kind:
        raise InvalidInput(
            f"{type(data).__name__} is not a table",
            hint="pass a DataFrame, a Series, an array, a tensor, a sparse matrix, a list of rows, or a file's path",
        )
    digest = digest_data(data, seconds)
    columns, profile = _described(data, kind, digest, name)
    return Dataset(run_uid, name or "data", context, digest.hex, len_of(data), columns, source, profile, digest.covers)


def _described(data: Any, kind: Kind, digest: Digest, name: str) -> tuple[list[Column], dict[str, Any]]:
    """Return columns and profile; those of the same content are cached, since many cells use the same data."""
    if digest.covers != "content":
        # Tables with the same digest may differ in parts that it does not cover.
        return _columns(data, kind, name), _profile(data, kind, digest)
    # The digest covers types and names of columns, but not the variable name, which names an unnamed column.
    # Some profiles need pandas, which may be imported later.
    key = (digest.hex, type(data), name if getattr(data, "ndim", 0) == 1 else "", "pandas" in sys.modules)
    # No lock, since a forked child could inherit it locked; a race between threads at worst drops an entry.
    described = _cache.pop(key, None) or (_columns(data, kind, name), _profile(data, kind, digest))
    _cache[key] = described
    if len(_cache) > _CACHED:
        with contextlib.suppress(KeyError, RuntimeError, StopIteration):
            del _cache[next(iter(_cache))]
    return described


def description_seconds(data: Any) -> float:
    """Estimate the time of :func:`describe_dataset` without a limit, in seconds."""
    kind = kind_of(data)
    if kind == "path":
        from mlops_workbench.data.files import path_seconds

        return path_seconds(Path(data))
    if not kind:
        return 0.0
    shape: tuple[int, ...] = getattr(data, "shape", (0,))
    imports = _IMPORT_SECONDS if kind in ("arrow", "polars") and "pandas" not in sys.modules else 0.0
    columns = min(shape[1] if len(shape) == 2 else 1, 200) if kind not in ("sparse", "tensors", "unread") else 0
    size = getattr(data, "nbytes", 0) if kind != "frame" else len(data) * 8 * shape[1]
    counted = 0.0
    if kind == "frame":
        others = sum(getattr(dtype, "kind", "O") not in "iufmM" for dtype in data.dtypes.tolist()[:200])
        counted = others * min(len(data), 20_000) * _PROFILE_CELL_SECONDS
    profiled = columns * _PROFILE_COLUMN_SECONDS + float(size) / _PROFILE_BYTES_PER_SECOND
    return estimate_seconds(data) + profiled + counted + imports


def _profile(data: Any, kind: Kind, digest: Digest) -> dict[str, Any]:
    if kind == "sparse":
        entries = int(data.nnz)
        cells = max(1, len_of(data) * (data.shape[1] if data.ndim == 2 else 1))
        return {
            "kind": name_of_kind(data), "digest": digest.covers, "examined": len_of(data), "dtype": str(data.dtype),
            "entries": entries, "density": entries / cells, "width": int(data.shape[-1]),
        }  # fmt: skip
    if kind == "tensors":
        parts = [{"dtype": str(part.dtype), "shape": list(part.shape)} for part in data.parts]
        return {"kind": name_of_kind(data), "digest": digest.covers, "examined": 0, "parts": parts}
    if kind == "unread":
        found = {"kind": name_of_kind(data), "digest": digest.covers, "examined": 0, "shape": list(data.shape)}
        return found | ({"elements": data.elements} if data.elements else {})
    if kind == "lazy":
        return {"kind": name_of_kind(data), "digest": digest.covers, "examined": 0}
    from mlops_workbench.data.profile import profile_table

    return profile_table(data, digest)


def _columns(data: Any, kind: Kind, name: str) -> list[Column]:
    if kind in ("arrow", "polars", "lazy"):
        from mlops_workbench.data.tables.arrow_columns import arrow_columns, polars_columns

        return arrow_columns(data) if kind == "arrow" else polars_columns(data)
    # Thousands of unnamed columns add nothing to the width.
    if not is_table(data) or (is_array(data) and data.ndim == 2 and data.shape[1] > 1000):
        return []
    columns = columns_of(data)
    if name and data.ndim == 1 and getattr(data, "name", None) is None:
        return [Column(name, columns[0].dtype, columns[0].required)]
    return columns


def _file(run_uid: str, path: Path, name: str, context: str, source: str, seconds: float) -> Dataset:
    from mlops_workbench.data.files import digest_path, parquet_size, read_path
    from mlops_workbench.data.tables.arrow_columns import arrow_columns

    digest, covers, size = digest_path(path, seconds)
    profile: dict[str, Any] = {"kind": "folder" if path.is_dir() else "file", "digest": covers, "size": size}
    table = read_path(path)
    columns: list[Column] = []
    rows = 0
    if table is not None:
        from mlops_workbench.data.profile import profile_table

        rows, columns = table.num_rows, arrow_columns(table)
        profile = {**profile_table(table, Digest(digest, covers)), **profile}
    elif shape := parquet_size(path):
        rows, profile["width"] = shape
    return Dataset(
        run_uid, name or path.name, context, digest, rows, columns, source or os.path.abspath(path), profile, covers
    )

"""Speed of the digest of data, compared with other digests."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

#: Size of the measured frame and array in bytes: 100 columns of floats.
SIZE = 512 << 20
_COLUMNS = 100
#: Number of measurements; the fastest counts, because other processes slow some down.
_TIMES = 5


def digest_gb_per_s(size: int = SIZE) -> dict[str, float]:
    """Measure digests of a numeric frame and array of `size` bytes on one core, and those of peers.

    Returns
    -------
    dict
        ``digest_gb_per_s``: the slowest of ``digest_frame_columns_gb_per_s`` (a frame of separate columns),
        ``digest_frame_block_gb_per_s`` (a frame over one block in C order, with interleaved columns),
        ``digest_array_gb_per_s`` and ``digest_array_fortran_gb_per_s``;
        ``digest_text_gb_per_s``: a column of text, by its bytes in Arrow;
        ``pandas_hash_gb_per_s`` (``pandas.util.hash_pandas_object``) and ``joblib_hash_gb_per_s``: peers that
        read all data; ``mlflow_digest_seconds`` and ``mlflow_digest_covers``: time of MLflow's digest of the frame,
        and the share of the rows that it reads.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import joblib
    import numpy as np
    import pandas as pd

    from mlops_workbench.data.digest import digest_data

    rows = size // 8 // _COLUMNS
    array = np.random.default_rng(0).random((rows, _COLUMNS))
    block = pd.DataFrame(array, copy=False)
    columns = pd.DataFrame({f"c{i}": array[:, i].copy() for i in range(_COLUMNS)})
    fortran = np.asfortranarray(array)
    text = pd.Series(np.random.default_rng(1).integers(0, 10**9, rows).astype(str), dtype="str")
    if digest_data(array) != digest_data(fortran):
        raise AssertionError("the digest depends on the layout of the array")
    if list(digest_data(block).columns.values()) != list(digest_data(columns).columns.values()):
        raise AssertionError("the digest depends on the layout of the frame")
    ours = {
        "digest_frame_columns_gb_per_s": _speed(lambda: digest_data(columns), array.nbytes),
        "digest_frame_block_gb_per_s": _speed(lambda: digest_data(block), array.nbytes),
        "digest_array_gb_per_s": _speed(lambda: digest_data(array), array.nbytes),
        "digest_array_fortran_gb_per_s": _speed(lambda: digest_data(fortran), array.nbytes),
    }
    found = {"digest_gb_per_s": min(ours.values()), **ours}
    found["digest_text_gb_per_s"] = _speed(lambda: digest_data(text), int(text.memory_usage(deep=True, index=False)))
    found["pandas_hash_gb_per_s"] = _speed(lambda: pd.util.hash_pandas_object(columns, index=False), array.nbytes, 1)
    found["joblib_hash_gb_per_s"] = _speed(lambda: joblib.hash(columns), array.nbytes, 1)
    return found | _of_mlflow(columns)


def _of_mlflow(frame: Any) -> dict[str, float]:
    from mlflow.data.digest_utils import MAX_ROWS, compute_pandas_digest

    before = time.perf_counter()
    compute_pandas_digest(frame)
    return {
        "mlflow_digest_seconds": round(time.perf_counter() - before, 3),
        "mlflow_digest_covers": round(min(1.0, MAX_ROWS / len(frame)), 4),
    }


def _speed(work: Callable[[], Any], size: int, times: int = _TIMES) -> float:
    best = float("inf")
    for _ in range(times):
        before = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - before)
    return round(size / best / 1e9, 3)


if __name__ == "__main__":
    print(json.dumps(digest_gb_per_s()))

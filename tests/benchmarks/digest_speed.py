"""How fast a version of data is found, beside what others compute over the same data."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

#: Size of the measured frame and array in bytes: 100 columns of floats.
SIZE = 512 << 20
_COLUMNS = 100
#: Each is measured so often, and the fastest counts: the machine is shared.
_TIMES = 5


def digest_gb_per_s(size: int = SIZE) -> dict[str, float]:
    """Digest a numeric frame and array of `size` bytes with one core, and let the peers do it.

    Returns
    -------
    dict
        ``digest_gb_per_s``: the slowest of ours over the whole content, which are ``digest_frame_columns_gb_per_s``
        (a frame made of columns), ``digest_frame_block_gb_per_s`` (a frame over one block in C order, whose columns lie
        interleaved), ``digest_array_gb_per_s`` and ``digest_array_fortran_gb_per_s``;
        ``digest_text_gb_per_s``: a column of text, of its bytes in Arrow;
        ``pandas_hash_gb_per_s`` (``pandas.util.hash_pandas_object``) and ``joblib_hash_gb_per_s``: peers that
        read everything; ``mlflow_digest_seconds`` and ``mlflow_digest_covers``: MLflow's own takes so long for the
        same frame and covers that part of its rows.
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
        raise AssertionError("the layout of an array counts")
    if list(digest_data(block).columns.values()) != list(digest_data(columns).columns.values()):
        raise AssertionError("the layout of a frame counts")
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

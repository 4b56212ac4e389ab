"""Rows of several requests as one batch, and its answers taken apart."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.runtimes.estimator import Prediction


def form_of(batch: Batch) -> Hashable:
    """What two batches must share to be merged, so that no value changes its type."""
    return batch.is_matrix, tuple([array.dtype for array in batch.arrays])


def merged(batches: Sequence[Batch]) -> Batch:
    """All rows of batches of one form, in their order."""
    first = batches[0]
    rows = sum(batch.rows for batch in batches)
    if first.is_matrix:
        return Batch(first.signature, rows, None, np.concatenate([batch.arrays[0] for batch in batches]))
    parts = zip(*(batch.arrays for batch in batches), strict=True)
    columns = {column.name: np.concatenate(part) for column, part in zip(first.signature.columns, parts, strict=True)}
    return Batch(first.signature, rows, columns)


def taken_apart(prediction: Prediction, sizes: Sequence[int]) -> list[Prediction]:
    """The answers of each batch; `sizes` are their rows."""
    parts, start = [], 0
    for size in sizes:
        end = start + size
        parts.append(
            Prediction({name: values[start:end] for name, values in prediction.outputs.items()}, prediction.table)
        )
        start = end
    return parts

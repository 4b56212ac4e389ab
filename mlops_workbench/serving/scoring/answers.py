"""Answers as columns of an output file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mlops_workbench.serving.rows.values import Array
from mlops_workbench.serving.runtimes.estimator import PREDICT, PREDICT_PROBA

_LIST = pa.list_(pa.float64())
#: Names of the columns, as in the prediction log, and of each one of several.
_NAMES = {PREDICT: ("prediction", "prediction"), PREDICT_PROBA: ("probabilities", "probability")}
#: In the metadata of a Parquet file: the classes in the order of the probabilities.
CLASSES = b"mlops.classes"


class AnswerColumns:
    """The columns of a model's answers.

    Parameters
    ----------
    sample : mapping of str to ndarray
        Answers to a few rows, by method.
    classes : sequence of object
        Labels in the order of the probabilities; empty without any.
    is_flat : bool
        Whether several numbers of a row have a column each, since the format of the file has no lists.
    """

    def __init__(self, sample: Mapping[str, Array], classes: Sequence[object], *, is_flat: bool) -> None:
        self._is_flat = is_flat
        self._classes = [str(one) for one in classes]
        self.outputs = tuple(sample)
        self.fields: list[tuple[str, Any]] = []
        self._labels = {name: _kind(array) for name, array in sample.items()}
        for name, array in sample.items():
            whole, each = _NAMES.get(name, (name, name))
            if array.ndim == 1:
                self.fields.append((whole, self._labels[name]))
            elif is_flat:
                self.fields += [(f"{each}_{end}", pa.float64()) for end in self._ends(name, array.shape[1])]
            else:
                self.fields.append((whole, _LIST))

    @property
    def metadata(self) -> dict[bytes, bytes]:
        """What a reader of the file needs besides its columns."""
        return {CLASSES: json.dumps(self._classes).encode()} if self._classes and PREDICT_PROBA in self.outputs else {}

    def arrays(self, pieces: Sequence[tuple[int, int, Mapping[str, Array]]], count: int) -> list[Any]:
        """The columns of `count` rows, of which the pieces (first row, row after the last, answers) have answers."""
        if not pieces:
            return [pa.nulls(count, kind) for _, kind in self.fields]
        found: list[Any] = []
        for name in self.outputs:
            parts = [answers[name] for _, _, answers in pieces]
            values = parts[0] if len(parts) == 1 else np.concatenate(parts)
            if values.ndim == 1:
                found.append(_labels(values, self._labels[name]))
            elif self._is_flat:
                found += [pa.array(np.ascontiguousarray(values[:, at], np.float64)) for at in range(values.shape[1])]
            else:
                offsets = pa.array(np.arange(0, values.size + 1, values.shape[1], dtype=np.int32))
                flat = pa.array(np.ascontiguousarray(values, np.float64).ravel())
                found.append(pa.ListArray.from_arrays(offsets, flat))
        if sum(last - first for first, last, _ in pieces) == count:
            return found
        places = np.full(count, -1, dtype=np.int64)
        answered = np.concatenate([np.arange(first, last) for first, last, _ in pieces])
        places[answered] = np.arange(len(answered))
        order = pa.array(places, mask=places < 0)
        return [column.take(order) for column in found]

    def _ends(self, name: str, width: int) -> list[str]:
        if name == PREDICT_PROBA and len(self._classes) == width:
            return self._classes
        return [str(at) for at in range(width)]


def _kind(array: Array) -> Any:
    return {"f": pa.float64(), "i": pa.int64(), "u": pa.int64(), "b": pa.bool_()}.get(array.dtype.kind, pa.string())


def _labels(values: Array, kind: Any) -> Any:
    if kind == pa.string():
        return pa.array([str(value) for value in values.tolist()], type=kind)
    # NaN is not converted to null, since the model has answered it.
    return pa.array(values).cast(kind)

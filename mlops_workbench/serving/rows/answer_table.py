"""Answers with names: tables, and dicts of arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops_workbench.serving.rows.values import Array


@dataclass(frozen=True)
class AnswerTable:
    """Names of the columns of an array of answers.

    Attributes
    ----------
    names : tuple of str
        Names in the order of the array's columns.
    widths : tuple of int
        Columns of each name; 0 for values that were not in an array of two dimensions.
    is_dict : bool
        Whether the model answers with columns by name, and not with rows.
    """

    names: tuple[str, ...]
    widths: tuple[int, ...]
    is_dict: bool = False

    def plain(self, values: Array) -> Any:
        """The answers as MLflow writes them in JSON: objects of rows, or an object of columns."""
        if self.is_dict:
            return {name: part.tolist() for name, part in self._parts(values)}
        values = values[:, None] if values.ndim == 1 else values
        return [dict(zip(self.names, row, strict=True)) for row in values.tolist()]

    def arrays(self, values: Array) -> dict[str, Array]:
        """The answers of each name, with a type of their own; empty unless there are several names."""
        names = set(self.names)
        if len(names) < 2 or len(names) < len(self.names):
            return {}
        return {name: _typed(part) for name, part in self._parts(values)}

    def _parts(self, values: Array) -> Iterator[tuple[str, Array]]:
        values = values[:, None] if values.ndim == 1 else values
        at = 0
        for name, width in zip(self.names, self.widths, strict=True):
            yield name, values[:, at : at + width] if width else values[:, at]
            at += width or 1


def _typed(values: Array) -> Array:
    """Numbers and booleans among values of several types as an array of theirs; a missing number is NaN."""
    if values.dtype != object:
        return values
    given = values.ravel().tolist()
    kinds = {type(value) for value in given if value is not None}
    if kinds == {bool} and None not in given:
        return values.astype(bool)
    if not kinds or not kinds <= {int, float}:
        return values
    numbers = [np.nan if value is None else value for value in given]
    found = np.array(numbers)
    # Integers beyond 64 bits stay what they are.
    return values if found.dtype == object else found.reshape(values.shape)

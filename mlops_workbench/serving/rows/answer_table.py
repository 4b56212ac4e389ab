"""Answers with names: tables, and dicts of arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops_workbench.serving.rows.values import Array


@dataclass(frozen=True)
class AnswerTable:
    """Names and types of the columns of an array of answers.

    Attributes
    ----------
    names : tuple of str
        Names in the order of the array's columns.
    widths : tuple of int
        Columns of each name; 0 for values that were not in an array of two dimensions.
    dtypes : tuple of dtype
        Type of the values of each name, whatever the values are; object for all but numbers and booleans.
    is_dict : bool
        Whether the model answers with columns by name, and not with rows.
    is_named : bool
        False if the names are the places of the columns only.
    """

    names: tuple[str, ...]
    widths: tuple[int, ...]
    dtypes: tuple[np.dtype[Any], ...]
    is_dict: bool = False
    is_named: bool = True

    def plain(self, values: Array) -> Any:
        """The answers as MLflow writes them in JSON: objects of rows, or an object of columns."""
        parts = [part.tolist() for part in self._parts(values)]
        if self.is_dict:
            return dict(zip(self.names, parts, strict=True))
        return [dict(zip(self.names, row, strict=True)) for row in zip(*parts, strict=True)]

    def arrays(self, values: Array) -> dict[str, Array]:
        """The answers of each name; empty unless each column has a name of its own."""
        if not self.is_named or len(set(self.names)) < len(self.names):
            return {}
        return dict(zip(self.names, self._parts(values), strict=True))

    def _parts(self, values: Array) -> Iterator[Array]:
        values = values[:, None] if values.ndim == 1 else values
        at = 0
        for width, dtype in zip(self.widths, self.dtypes, strict=True):
            # None becomes NaN.
            yield (values[:, at : at + width] if width else values[:, at]).astype(dtype, copy=False)
            at += width or 1

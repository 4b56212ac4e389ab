"""Answers with names: tables, and dicts of arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
        values = values[:, None] if values.ndim == 1 else values
        if not self.is_dict:
            return [dict(zip(self.names, row, strict=True)) for row in values.tolist()]
        found, at = {}, 0
        for name, width in zip(self.names, self.widths, strict=True):
            found[name] = values[:, at : at + width].tolist() if width else values[:, at].tolist()
            at += width or 1
        return found

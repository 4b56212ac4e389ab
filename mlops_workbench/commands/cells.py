"""Values as a person reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from mlops_workbench.core.shown.formats import number
from mlops_workbench.core.shown.sparkline import blocks, sparkline


@dataclass(frozen=True)
class Curve:
    """Values over time, drawn the size of a word; `label` is for screen readers."""

    values: Sequence[float | None]
    label: str = ""

    def __str__(self) -> str:
        return blocks(self.values)


Cell = str | int | float | bool | Curve | None


def cell(value: Cell) -> str:
    """Any cell of a table."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, int | float) else str(value)


def cell_html(value: Cell) -> str:
    """Any cell of a table, as HTML."""
    return sparkline(value.values, label=value.label) if isinstance(value, Curve) else escape(cell(value))

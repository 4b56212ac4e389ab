"""Values in the cells of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from mlops_workbench.core.shown.formats import number
from mlops_workbench.core.shown.plain_text import visible
from mlops_workbench.core.shown.sparkline import blocks, sparkline
from mlops_workbench.core.wire.json_numbers import JsonNumber, real_number


@dataclass(frozen=True)
class Curve:
    """Values over time, drawn as a sparkline; `label` is for screen readers."""

    values: Sequence[float | None]
    label: str = ""

    def __str__(self) -> str:
        return blocks(self.values)


def metric_cell(value: JsonNumber | None) -> float | None:
    """Value of a metric for a cell, which shows NaN and infinities."""
    return None if value is None else real_number(value)


Cell = str | int | float | bool | Curve | None
#: Which part of the data a version's digest covers.
COVERS = {"content": "all of it", "sampled": "a sample of it", "shape": "its shape only"}


def counted(count: int, noun: str) -> str:
    """``1 run``, ``1,200 runs``; `noun` is the singular."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def cell(value: Cell) -> str:
    """A cell as text."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, int | float) else visible(str(value))


def cell_html(value: Cell) -> str:
    """A cell as HTML."""
    return sparkline(value.values, label=value.label) if isinstance(value, Curve) else escape(cell(value))

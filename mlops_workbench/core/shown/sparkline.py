"""Small line charts, as SVG in the colour of the text and without a script, or as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

#: Most points that can be distinguished at this size.
_POINTS = 60
_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], *, label: str = "", width: int = 72, height: int = 16) -> str:
    """Return inline SVG; empty when fewer than two values can be drawn.

    Parameters
    ----------
    values : sequence of float or None
        In order; None, NaN and infinities are gaps.
    label : str
        Text for screen readers.
    width, height : int
        Size in CSS pixels.
    """
    points = _points(values)
    if not points:
        return ""
    last = points[-1][0] or 1
    drawn = [(2 + x / last * (width - 4), 2 + (1 - y) * (height - 4)) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)
    x, y = drawn[-1]
    return (
        f'<svg role="img" aria-label="{escape(label)}" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        ' style="vertical-align:middle;overflow:visible">'
        f'<polyline points="{path}" fill="none" stroke="currentColor" stroke-width="1.25" opacity=".65"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.8" fill="currentColor"/></svg>'
    )


def blocks(values: Sequence[float | None], width: int = 16) -> str:
    """Return the chart in block characters; empty when fewer than two values can be drawn."""
    return "".join(_BLOCKS[min(int(y * len(_BLOCKS)), len(_BLOCKS) - 1)] for _, y in _points(values, width))


def _points(values: Sequence[float | None], limit: int = _POINTS) -> list[tuple[int, float]]:
    """Return position and height (0 to 1) of at most `limit` values, including the first and the last."""
    known = [(i, value) for i, value in enumerate(values) if value is not None and math.isfinite(value)]
    if len(known) > limit:
        known = [known[round(i * (len(known) - 1) / (limit - 1))] for i in range(limit)]
    if len(known) < 2:
        return []
    low, high = min(value for _, value in known), max(value for _, value in known)
    # Halves, because the difference of two finite floats may be infinite.
    span = high / 2 - low / 2
    first = known[0][0]
    return [(i - first, (value / 2 - low / 2) / span if span else 0.5) for i, value in known]

"""The graph of a pipeline as SVG, for light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from mlops_workbench.core.shown.colours import BAD, BORDER, FONT, GOOD, INFO, TEXT, WARN
from mlops_workbench.core.shown.plain_text import visible
from mlops_workbench.pipelines.graph.states import GraphStage

_COLOURS = {"succeeded": GOOD, "failed": BAD, "cancelled": BAD, "refused": WARN, "running": INFO}
_WIDTH, _HEIGHT = 190, 46
_GAP_X, _GAP_Y = 56, 16
_MARGIN = 4
#: Characters that fit a box.
_NAME, _DETAIL = 22, 28


def graph_svg(stages: Sequence[GraphStage], title: str) -> str:
    """Draw stages as boxes, level by level from left to right, with arrows from those they need.

    Parameters
    ----------
    stages : sequence of GraphStage
        The stages.
    title : str
        What the graph shows, for screen readers.
    """
    rows: dict[int, int] = {}
    places: dict[str, tuple[int, int]] = {}
    for stage in stages:
        row = rows.get(stage.level, 0)
        rows[stage.level] = row + 1
        places[stage.name] = (
            _MARGIN + stage.level * (_WIDTH + _GAP_X),
            _MARGIN + row * (_HEIGHT + _GAP_Y),
        )
    columns, most = max(rows, default=0) + 1, max(rows.values(), default=1)
    width = 2 * _MARGIN + columns * _WIDTH + (columns - 1) * _GAP_X
    height = 2 * _MARGIN + most * (_HEIGHT + _GAP_Y)
    arrows = [_arrow(places[need], places[stage.name]) for stage in stages for need in stage.needs if need in places]
    boxes = [_box(stage, *places[stage.name]) for stage in stages]
    label = _text(f"{title}: " + "; ".join(_words(stage) for stage in stages))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" style="max-width:100%;height:auto;color:{TEXT};{_quoted(FONT)}">'
        f"<title>{_text(title)}</title>{''.join(arrows)}{''.join(boxes)}</svg>"
    )


def _box(stage: GraphStage, x: int, y: int) -> str:
    colour = _COLOURS.get(stage.state, BORDER)
    state = stage.state or stage.detail
    return (
        f"<g><title>{_text(_words(stage))}</title>"
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="none"'
        f' style="stroke:{colour}" stroke-width="1.5"/>'
        f'<text x="{x + 12}" y="{y + 19}" font-size="13" font-weight="600" fill="currentColor">'
        f"{_text(_cut(stage.name, _NAME))}</text>"
        f'<text x="{x + 12}" y="{y + 36}" font-size="11" fill="currentColor" opacity=".75">'
        f"{_text(_cut(_short(stage, state), _DETAIL))}</text></g>"
    )


def _short(stage: GraphStage, state: str) -> str:
    return f"{state}, {stage.detail}" if stage.state and stage.detail else state


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    """An arrow between boxes; one that passes a level goes through the gap below the row of its first box."""
    x1, y1 = start[0] + _WIDTH, start[1] + _HEIGHT // 2
    x2, y2 = end[0], end[1] + _HEIGHT // 2
    tip, bend = x2 - 7, _GAP_X // 2
    if x2 - x1 > _GAP_X:
        lane = start[1] + _HEIGHT + _GAP_Y // 2
        left, right = x1 + _GAP_X - 8, x2 - _GAP_X + 8
        way = (
            f"M{x1} {y1} C{x1 + bend} {y1} {left - bend} {lane} {left} {lane}"
            f" L{right} {lane} C{right + bend} {lane} {tip - bend} {y2} {tip} {y2}"
        )
    else:
        way = f"M{x1} {y1} C{x1 + bend} {y1} {tip - bend} {y2} {tip} {y2}"
    return (
        f'<path d="{way}" fill="none" stroke="currentColor" opacity=".5"/>'
        f'<path d="M{x2 - 1} {y2} l-7 -4 v8 z" fill="currentColor" opacity=".5"/>'
    )


def _words(stage: GraphStage) -> str:
    needs = f" needs {', '.join(stage.needs)}" if stage.needs else ""
    return f"{stage.name} ({stage.notebook}){needs}: " + ", ".join(part for part in (stage.state, stage.detail) if part)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _text(text: str) -> str:
    return escape(visible(text))


def _quoted(style: str) -> str:
    """A style for an attribute in double quotes."""
    return style.replace('"', "'")

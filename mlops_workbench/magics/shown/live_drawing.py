"""Text and HTML of a running cell: progress, metrics with their curves, time and resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from mlops_workbench.capture.progress import Bar
from mlops_workbench.core.shown.colours import ACCENT, BORDER, FONT, TEXT
from mlops_workbench.core.shown.formats import duration, number
from mlops_workbench.core.shown.sparkline import sparkline
from mlops_workbench.magics.shown.card_parts import shown_value

_MAX_METRICS, _MAX_BARS = 8, 6
_MUTED = "opacity:.65"


@dataclass(frozen=True)
class Snapshot:
    """State of a running cell.

    Attributes
    ----------
    name, experiment : str
        Of its run; empty if the cell is not tracked.
    seconds : float
        Time since the cell started.
    metrics : mapping
        Latest values.
    curves : mapping
        Values over time of metrics with several values.
    bars : sequence of Bar
        Progress bars.
    resources : str
        Current CPU and memory.
    """

    name: str
    experiment: str
    seconds: float
    metrics: Mapping[str, float | int] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    bars: Sequence[Bar] = ()
    resources: str = ""


def live_text(now: Snapshot) -> str:
    """The snapshot as text."""
    lines = [f"run {now.name} - RUNNING - experiment {now.experiment}"] if now.name else []
    lines += [f"  {bar}" for bar in now.bars[:_MAX_BARS]]
    if now.metrics:
        shown = [f"{name}={number(value)}" for name, value in list(now.metrics.items())[:_MAX_METRICS]]
        lines.append(f"  {', '.join(shown)}")
    return "\n".join(lines)


def live_html(now: Snapshot) -> str:
    """The snapshot as HTML."""
    parts = []
    aside = " ".join(filter(None, [duration(now.seconds), now.resources and f"· {now.resources}"]))
    if now.name:
        parts.append(
            f'<div><span style="font-weight:600;overflow-wrap:anywhere">{escape(now.name)}</span> '
            f'<span style="color:{ACCENT};font-weight:600">RUNNING</span> '
            f'<span style="{_MUTED}">{escape(aside)}, experiment {escape(now.experiment)}</span></div>'
        )
    parts += [_bar(bar) for bar in now.bars[:_MAX_BARS]]
    if now.metrics:
        parts.append(_metrics(now))
    return (
        f'<div style="border:1px solid {BORDER};'
        f"border-left:3px solid {ACCENT};border-radius:3px;padding:5px 10px;margin:4px 0;display:inline-block;"
        f"min-width:320px;max-width:100%;box-sizing:border-box;{FONT};"
        f'font-size:13px;line-height:1.55;color:{TEXT}">{"".join(parts)}</div>'
    )


def bars_text(bars: Sequence[Bar]) -> str:
    """Progress bars as text."""
    return "\n".join(str(bar) for bar in bars[:_MAX_BARS])


def bars_html(bars: Sequence[Bar]) -> str:
    """Progress bars as HTML."""
    style = f"{FONT};font-size:13px;line-height:1.55;max-width:420px;color:{TEXT}"
    return f'<div style="{style}">{"".join(_bar(bar) for bar in bars[:_MAX_BARS])}</div>'


def _bar(bar: Bar) -> str:
    state = str(bar).removeprefix(f"{bar.desc} ") if bar.desc else str(bar)
    words = (
        '<div style="display:flex;justify-content:space-between;gap:16px"><span>'
        f'{escape(shown_value(bar.desc, 40))}</span><span style="{_MUTED};font-variant-numeric:tabular-nums">'
        f"{escape(state)}</span></div>"
    )
    if bar.fraction is None:
        return words
    return (
        f'{words}<div style="height:4px;border-radius:2px;background:rgba(128,128,128,.25);margin:1px 0 3px">'
        f'<div style="height:4px;border-radius:2px;width:{bar.fraction:.1%};background:{ACCENT}"></div></div>'
    )


def _metrics(now: Snapshot) -> str:
    cell = "padding:0 14px 0 0;text-align:left;border:none;background:none"
    rows = "".join(
        f'<tr style="background:none"><td style="{cell};{_MUTED}">{escape(name)}</td>'
        f'<td style="{cell};text-align:right;font-weight:600;min-width:5em">{number(value)}</td>'
        f'<td style="{cell};color:{ACCENT}">{sparkline(now.curves.get(name, ()), label=f"{name} so far")}</td></tr>'
        for name, value in list(now.metrics.items())[:_MAX_METRICS]
    )
    left = len(now.metrics) - _MAX_METRICS
    more = f'<div style="{_MUTED}">and {left} more</div>' if left > 0 else ""
    style = "border-collapse:collapse;border:none;margin:1px 0;font-size:inherit;font-variant-numeric:tabular-nums"
    return f'<table style="{style}"><tbody>{rows}</tbody></table>{more}'

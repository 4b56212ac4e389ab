"""The card below a tracked cell: what was recorded, and what can be done with it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from html import escape
from typing import Any

from mlops_workbench.capture.encoding import text
from mlops_workbench.capture.run import ActiveRun

_MAX_METRICS = 12
_MAX_PARAMS = 10
_COLOURS = {"FINISHED": "#2e7d32", "FAILED": "#c62828", "KILLED": "#b26a00"}
_MUTED = "color:var(--jp-ui-font-color2,#777)"


def card(run: ActiveRun) -> dict[str, str]:
    """MIME bundle of a run that ended: plain text, and HTML that needs no script and suits light and dark."""
    return {"text/plain": text(card_text(run)), "text/html": text(card_html(run))}


def card_text(run: ActiveRun) -> str:
    """The card as text."""
    lines = [f"run {run.name} - {run.status} in {_seconds(run)} - experiment {run.experiment}"]
    if run.error:
        lines.append(f"  error    {run.error}")
    for title, shown, left in (_metrics(run), _params(run)):
        if shown:
            more = f", and {left} more" if left else ""
            lines.append(f"  {title:<8} {', '.join(f'{name}={value}' for name, value in shown)}{more}")
    lines.append(f"  next     {_next(run)}")
    return "\n".join(lines)


def card_html(run: ActiveRun) -> str:
    """The card as HTML."""
    rows = "".join(_row(title, shown, left) for title, shown, left in (_metrics(run), _params(run)) if shown)
    error = f'<div style="color:{_COLOURS["FAILED"]}">{escape(run.error)}</div>' if run.error else ""
    colour = _COLOURS.get(run.status, "inherit")
    return (
        '<div style="border:1px solid var(--jp-border-color2,rgba(128,128,128,.4));border-radius:4px;'
        'padding:6px 10px;margin:4px 0;font-size:13px;line-height:1.6;display:inline-block;max-width:100%">'
        f'<div><strong>{escape(run.name)}</strong> <span style="color:{colour}">{run.status}</span> '
        f'<span style="{_MUTED}">in {_seconds(run)}, experiment {escape(run.experiment)}</span></div>'
        f'{error}{rows}<div style="{_MUTED}">next: {escape(_next(run))}</div></div>'
    )


def _row(title: str, shown: list[tuple[str, str]], left: int) -> str:
    items = " ".join(
        f'<span style="margin-right:12px;white-space:nowrap"><span style="{_MUTED}">{escape(name)}</span> '
        f"{escape(value)}</span>"
        for name, value in shown
    )
    more = f'<span style="{_MUTED}">and {left} more</span>' if left else ""
    return f'<div style="overflow-wrap:anywhere"><span style="{_MUTED}">{title}:</span> {items}{more}</div>'


def _metrics(run: ActiveRun) -> tuple[str, list[tuple[str, str]], int]:
    return _shown("metrics", run.metrics, _MAX_METRICS)


def _params(run: ActiveRun) -> tuple[str, list[tuple[str, str]], int]:
    # What is None is mostly a default; it is recorded, and need not fill the card.
    return _shown("params", {name: value for name, value in run.params.items() if value is not None}, _MAX_PARAMS)


def _shown(title: str, values: Mapping[str, Any], limit: int) -> tuple[str, list[tuple[str, str]], int]:
    shown = [(name, _text(value)) for name, value in list(values.items())[:limit]]
    return title, shown, max(0, len(values) - limit)


def _text(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        shown = f"{value:.6g}"
    elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 200:
        shown = f"about 2^{value.bit_length() - 1}"
    else:
        shown = str(value)
    shown = " ".join(shown.split())
    return shown if len(shown) <= 48 else shown[:47] + "…"


def _seconds(run: ActiveRun) -> str:
    seconds = (run.end_ms - run.start.start_ms) / 1000
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _next(run: ActiveRun) -> str:
    name = shlex.quote(run.name)
    if run.status != "FINISHED":
        return f"mend the cell and run it again; %mlops show {name} has the traceback"
    return f"%mlops compare, %mlops show {name}, %mlops register {name} --as MODEL"

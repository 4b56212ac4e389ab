"""The card below a tracked cell: recorded values, comparison with other runs, next commands."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from html import escape

from mlops_workbench.capture.run.active import ActiveRun
from mlops_workbench.commands.cells import counted
from mlops_workbench.core.ids import short_id
from mlops_workbench.core.run_ranking import MetricChange, ParamChange, RunRanking
from mlops_workbench.core.shown.colours import BAD, BORDER, FONT, GOOD, TEXT, WARN
from mlops_workbench.core.shown.formats import duration, number
from mlops_workbench.core.shown.plain_text import visible
from mlops_workbench.core.shown.sparkline import sparkline
from mlops_workbench.magics.shown.card_parts import (
    change_text,
    dataset_text,
    main_metrics,
    shown_value,
    usage_text,
)

_MAX_METRICS = 8
_MAX_PARAMS = 8
_MAX_NOTES = 4
_MAX_DATA = 4
_MORE = 200
_COLOURS = {"FINISHED": GOOD, "FAILED": BAD, "KILLED": WARN}
_MUTED = "opacity:.65"
_OPEN_RUN = "mlops-workbench:open-run"


Curves = Mapping[str, Sequence[float]]


def card(run: ActiveRun, ranking: RunRanking | None = None, curves: Curves | None = None) -> dict[str, str]:
    """MIME bundle of a run that ended: ``text/plain``, and ``text/html`` without scripts for light and dark pages.

    Parameters
    ----------
    run : ActiveRun
        The run.
    ranking : RunRanking, optional
        Comparison with other runs; by default only the run's own values are shown.
    curves : mapping, optional
        Values of metrics over time, as far as they were sampled.
    """
    ranks = ranking or RunRanking()
    return {"text/plain": visible(card_text(run, ranks)), "text/html": visible(card_html(run, ranks, curves or {}))}


def card_text(run: ActiveRun, ranking: RunRanking) -> str:
    """The card as text."""
    seconds = duration((run.end_ms - run.start.start_ms) / 1000)
    lines = [f"run {run.name} - {run.status} in {seconds} - experiment {run.experiment}"]
    if run.error:
        lines.append(f"  error    {shown_value(run.error, 160)}")
    title = "metrics"
    metrics = main_metrics(run, ranking)
    if any(change_text(change, ranking) for change in metrics):
        for change in metrics[:_MAX_METRICS]:
            beside = change_text(change, ranking, run.name)
            lines.append(f"  {title:<8} {change.name}={_value(run, change)}" + (f"  {beside}" if beside else ""))
            title = ""
        lines += _more_line(len(metrics) - _MAX_METRICS, "metric")
    elif metrics:
        shown = ", ".join(f"{change.name}={_value(run, change)}" for change in metrics[:_MAX_METRICS])
        lines.append(f"  {title:<8} {shown}{_and_more(len(metrics) - _MAX_METRICS)}")
    if ranking.params:
        shown = ", ".join(_changed_text(change) for change in ranking.params[:_MAX_PARAMS])
        lines.append(f"  changed  {shown}{_and_more(len(ranking.params) - _MAX_PARAMS)}")
    others = _other_params(run, ranking)
    if others:
        changed = [f"{name}={value}" for name, value in others.items() if name not in run.defaults][:_MAX_PARAMS]
        if changed:
            lines.append(f"  params   {', '.join(changed)}{_and_more(len(others) - len(changed))}")
    if run.datasets:
        shown = "; ".join(dataset_text(data) for data in run.datasets[:_MAX_DATA])
        lines.append(f"  data     {shown}{_and_more(len(run.datasets) - _MAX_DATA)}")
    if used := usage_text(run):
        lines.append(f"  used     {used}")
    lines += [f"  warning  {shown_value(note, 240)}" for note in run.notes[:_MAX_NOTES]]
    lines += _more_line(len(run.notes) - _MAX_NOTES, "warning")
    lines.append(f"  next     {_next(run, ranking)}")
    return "\n".join(lines)


def card_html(run: ActiveRun, ranking: RunRanking, curves: Curves) -> str:
    """The card as HTML."""
    seconds = duration((run.end_ms - run.start.start_ms) / 1000)
    colour = _COLOURS.get(run.status, "inherit")
    parts = [
        f'<div>{_name(run)} <span style="color:{colour};font-weight:600">{escape(run.status)}</span> '
        f'<span style="{_MUTED}">in {seconds}, experiment {escape(run.experiment)}</span></div>'
    ]
    if run.error:
        parts.append(f'<div style="color:{BAD};overflow-wrap:anywhere">{escape(shown_value(run.error, 240))}</div>')
    metrics = main_metrics(run, ranking)
    if metrics:
        parts.append(_metrics_html(run, metrics[:_MAX_METRICS], ranking, curves))
    if ranking.params:
        items = [
            _item(
                change.name,
                shown_value(change.value),
                "new" if change.before is None else f"was {shown_value(change.before)}",
            )
            for change in ranking.params[:_MAX_PARAMS]
        ]
        parts.append(_row("changed", items, len(ranking.params) - _MAX_PARAMS))
    for note in run.notes[:_MAX_NOTES]:
        parts.append(
            f'<div style="overflow-wrap:anywhere"><span style="color:{WARN};font-weight:600">warning</span> '
            f"{escape(shown_value(note, 400))}</div>"
        )
    parts.append(_rest_html(run, ranking, metrics))
    parts.append(f'<div style="{_MUTED}">next: {escape(_next(run, ranking))}</div>')
    return (
        f'<div style="border:1px solid {BORDER};border-left:3px solid '
        f"{colour};border-radius:3px;padding:5px 10px;margin:4px 0;display:inline-block;max-width:100%;"
        f"box-sizing:border-box;{FONT};font-size:13px;line-height:1.55;"
        f'color:{TEXT}">{"".join(parts)}</div>'
    )


def _name(run: ActiveRun) -> str:
    # A click opens the run's page in JupyterLab; elsewhere this is plain bold text.
    arguments = escape(json.dumps({"id": run.uid}))
    return (
        f'<button data-commandlinker-command="{_OPEN_RUN}" data-commandlinker-args="{arguments}" '
        f'title="{escape(run.uid)}" style="all:unset;cursor:pointer;font-weight:600;overflow-wrap:anywhere">'
        f"{escape(run.name)}</button>"
    )


def _metrics_html(run: ActiveRun, metrics: list[MetricChange], ranking: RunRanking, curves: Curves) -> str:
    if not any(change_text(change, ranking) or len(curves.get(change.name, ())) > 1 for change in metrics):
        return _row("metrics", [_item(change.name, _value(run, change)) for change in metrics], 0)
    cell = "padding:0 14px 0 0;text-align:left;border:none;background:none"
    rows = []
    for change in metrics:
        colour = {True: GOOD, False: BAD, None: "inherit"}[change.improved]
        beside = escape(change_text(change, ranking, run.name))
        rows.append(
            f'<tr style="background:none"><td style="{cell};{_MUTED}">{escape(change.name)}</td>'
            f'<td style="{cell};text-align:right;font-weight:600">{escape(_value(run, change))}</td>'
            f'<td style="{cell}">{sparkline(curves.get(change.name, ()), label=f"{change.name} while it ran")}</td>'
            f'<td style="{cell};color:{colour}">{beside}</td></tr>'
        )
    style = "border-collapse:collapse;border:none;margin:1px 0;font-size:inherit;font-variant-numeric:tabular-nums"
    return f'<table style="{style}"><tbody>{"".join(rows)}</tbody></table>'


def _rest_html(run: ActiveRun, ranking: RunRanking, metrics: list[MetricChange]) -> str:
    """Further values, folded."""
    others = _other_params(run, ranking)
    rows, words = [], []
    if len(metrics) > _MAX_METRICS:
        more = metrics[_MAX_METRICS : _MAX_METRICS + _MORE]
        rows.append(_row("metrics", [_item(c.name, _value(run, c)) for c in more], len(metrics) - _MAX_METRICS - _MORE))
        words.append(counted(len(metrics) - _MAX_METRICS, "more metric"))
    if further := ranking.params[_MAX_PARAMS : _MAX_PARAMS + _MORE]:
        rows.append(_row("changed", [_item(c.name, shown_value(c.value)) for c in further], 0))
    if others:
        items = [_item(name, value) for name, value in list(others.items())[:_MORE]]
        rows.append(_row("params", items, len(others) - _MORE))
        words.append(counted(len(others), "other parameter" if ranking.params else "parameter"))
    if run.datasets:
        items = [f"<span>{escape(dataset_text(data))}</span>" for data in run.datasets[:_MORE]]
        rows.append(_row("data", items, len(run.datasets) - _MORE))
        words.append(" and ".join(dataset_text(data) for data in run.datasets[:2]))
        if len(run.datasets) > 2:
            words.append(counted(len(run.datasets) - 2, "more table"))
    if len(run.notes) > _MAX_NOTES:
        rows.append(_row("warnings", [escape(shown_value(note, 400)) for note in run.notes[_MAX_NOTES:_MORE]], 0))
        words.append(counted(len(run.notes) - _MAX_NOTES, "more warning"))
    if used := usage_text(run):
        words.append(used)
        rows.append(_row("used", [escape(used)], 0))
    if not words:
        return ""
    summary = f'<summary style="{_MUTED};cursor:pointer">{escape(", ".join(words))}</summary>'
    return f'<details style="margin:0">{summary}{"".join(rows)}</details>'


def _row(title: str, items: list[str], left: int) -> str:
    more = f'<span style="{_MUTED}">and {left} more</span>' if left > 0 else ""
    return f'<div style="overflow-wrap:anywhere"><span style="{_MUTED}">{title}:</span> {" ".join(items)}{more}</div>'


def _item(name: str, value: str, aside: str = "") -> str:
    extra = f' <span style="{_MUTED}">({escape(aside)})</span>' if aside else ""
    return f'<span style="margin-right:10px"><span style="{_MUTED}">{escape(name)}</span> {escape(value)}{extra}</span>'


def _value(run: ActiveRun, change: MetricChange) -> str:
    return number(run.metrics.get(change.name))


def _other_params(run: ActiveRun, ranking: RunRanking) -> Mapping[str, str]:
    # None is mostly a default value: it is recorded but not shown.
    changed = {change.name for change in ranking.params}
    return {name: shown_value(value) for name, value in run.params.items() if value is not None and name not in changed}


def _changed_text(change: ParamChange) -> str:
    before = "new" if change.before is None else f"was {shown_value(change.before)}"
    return f"{change.name}={shown_value(change.value)} ({before})"


def _and_more(left: int) -> str:
    return f", and {left} more" if left > 0 else ""


def _more_line(left: int, noun: str) -> list[str]:
    return [f"           and {counted(left, f'more {noun}')}"] if left > 0 else []


def _next(run: ActiveRun, ranking: RunRanking) -> str:
    # A name with control characters cannot be entered.
    name = shlex.quote(run.name if visible(run.name) == run.name and "\n" not in run.name else short_id(run.uid))
    if run.status != "FINISHED":
        return f"fix the cell and run it again; %mlops show {name} shows the traceback"
    words = ["%mlops compare"] if ranking.previous else []
    words.append(f"%mlops show {name}")
    if run.has_model:
        words.append(f"%mlops register {name} --as MODEL")
    lacking = f"; no model to register: {why}" if not run.has_model and (why := run.lacks_model) else ""
    return ", ".join(words) + lacking

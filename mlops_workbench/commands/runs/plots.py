"""Figures that compare runs; plotly is imported when a figure is made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlops_workbench.commands.cells import metric_cell
from mlops_workbench.commands.view import Plot
from mlops_workbench.core.ids import short_id
from mlops_workbench.core.metrics import metric_direction
from mlops_workbench.core.runs import MetricPoint, Run, RunDetail
from mlops_workbench.core.shown.formats import number
from mlops_workbench.core.wire.json_numbers import finite_number

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_MAX_PARAMS, _MAX_METRICS = 8, 6
_MAX_CURVES, _MAX_POINTS = 4, 1000
#: Readable on light and on dark pages.
_GREY = "#888"
#: Colours that are visible on light and on dark pages.
_SCALE = ((0.0, "#3f8fd2"), (0.5, "#a58fb8"), (1.0, "#f2a03b"))


def comparison_plots(
    runs: Sequence[Run], details: Sequence[RunDetail], metrics: Sequence[str], params: Sequence[str]
) -> list[Plot]:
    """Parallel coordinates, the first metric against the parameter that differs most, learning curves.

    Figures that would be empty are left out.
    """
    found = []
    if metrics:
        found.append(Plot("parallel coordinates", lambda: parallel_coordinates(runs, metrics, params)))
        if (against := scatter_param(runs, params)) and sum(
            finite_number(run.metrics.get(metrics[0])) is not None for run in runs
        ) > 1:
            found.append(Plot(f"{metrics[0]} by {against}", lambda: scatter(runs, metrics[0], against)))
    names = [name for name in metrics if sum(len(d.history.get(name, [])) > 2 for d in details) > 0]
    if names:
        found.append(Plot("learning curves", lambda: learning_curves(details, names[:_MAX_CURVES])))
    return found


def label(run: Run) -> str:
    """Name of a run with the end of its id."""
    return f"{run.name} ({short_id(run.uid)})"


def labels_of(runs: Sequence[Run]) -> dict[str, str]:
    """Label of each run by uid: its name, with the end of its id if others have the same name."""
    names = [run.name for run in runs]
    return {run.uid: run.name if names.count(run.name) == 1 else label(run) for run in runs}


def parallel_coordinates(runs: Sequence[Run], metrics: Sequence[str], params: Sequence[str]) -> Figure:
    """One line per run over its parameters and metrics, coloured by the first metric."""
    import plotly.graph_objects as go

    dimensions = [_dimension("run", list(labels_of(runs).values()))]
    dimensions += [_dimension(name, [run.params.get(name, "–") for run in runs]) for name in params[:_MAX_PARAMS]]
    dimensions += [
        _dimension(name, [metric_cell(run.metrics.get(name)) for run in runs]) for name in metrics[:_MAX_METRICS]
    ]
    colours = [finite_number(run.metrics.get(metrics[0])) for run in runs]
    known = [value for value in colours if value is not None]
    line = {
        "color": [value if value is not None else min(known, default=0.0) for value in colours],
        "colorscale": _SCALE,
        # Warm colours mark good values.
        "reversescale": metric_direction(metrics[0]) == "lower",
        "showscale": len(set(known)) > 1,
        "colorbar": {"title": metrics[0]},
    }
    # plotly's shadow blurs the text on a dark page.
    fonts: dict[str, Any] = {name: {"shadow": "none"} for name in ("tickfont", "rangefont", "labelfont")}
    figure = go.Figure(go.Parcoords(line=line, dimensions=dimensions, labelangle=0, **fonts))
    return _with_theme(figure, 360, {"l": 80, "r": 60, "t": 60, "b": 30})


def scatter_param(runs: Sequence[Run], params: Sequence[str]) -> str:
    """The parameter with the most distinct values, numeric ones preferred; empty without parameters."""

    def rank(name: str) -> tuple[bool, int]:
        values = [run.params.get(name) for run in runs]
        numeric = all(_as_number(value) is not None for value in values)
        return numeric, len(set(values))

    return max(params, key=rank, default="")


def scatter(runs: Sequence[Run], metric: str, param: str) -> Figure:
    """One point per run: a parameter on the x axis, a metric on the y axis."""
    import plotly.graph_objects as go

    labels = labels_of(runs)
    shown = [run for run in runs if finite_number(run.metrics.get(metric)) is not None and param in run.params]
    numbers = [_as_number(run.params[param]) for run in shown]
    numeric = all(number is not None for number in numbers)
    figure = go.Figure(
        go.Scatter(
            x=numbers if numeric else [run.params[param] for run in shown],
            y=[finite_number(run.metrics[metric]) for run in shown],
            text=[labels[run.uid] for run in shown],
            mode="markers+text" if len(shown) <= 8 else "markers",
            textposition="top center",
            marker={"size": 9},
            cliponaxis=False,
        )
    )
    figure.update_xaxes(title=param, type="linear" if numeric else "category")
    figure.update_yaxes(title=metric)
    return _with_theme(figure, 320, {"l": 70, "r": 30, "t": 30, "b": 50})


def learning_curves(details: Sequence[RunDetail], metrics: Sequence[str]) -> Figure:
    """Metrics over their steps: one panel per metric, one colour per run."""
    from plotly.colors import qualitative
    from plotly.subplots import make_subplots

    labels = labels_of([detail.run for detail in details])
    figure = make_subplots(rows=1, cols=len(metrics), subplot_titles=list(metrics))
    for column, name in enumerate(metrics, start=1):
        for place, detail in enumerate(details):
            points = _thinned(detail.history.get(name, []))
            if not points:
                continue
            figure.add_scatter(
                x=[point.step for point in points], y=[finite_number(point.value) for point in points],
                mode="lines" if len(points) > 1 else "markers",
                name=labels[detail.run.uid], legendgroup=detail.run.uid,
                showlegend=not any(detail.history.get(other) for other in metrics[: column - 1]),
                line={"color": qualitative.Plotly[place % len(qualitative.Plotly)]},
                row=1, col=column,
            )  # fmt: skip
        figure.update_xaxes(title="step", row=1, col=column)
    return _with_theme(figure, 320, {"l": 60, "r": 30, "t": 40, "b": 50})


def _with_theme(figure: Any, height: int, margin: dict[str, int]) -> Figure:
    clear = "rgba(0,0,0,0)"
    figure.update_layout(
        height=height, margin=margin, paper_bgcolor=clear, plot_bgcolor=clear, font={"color": _GREY},
        template="none", colorway=None,
    )  # fmt: skip
    lines = "rgba(128,128,128,.25)"
    figure.update_xaxes(gridcolor=lines, zerolinecolor=lines)
    figure.update_yaxes(gridcolor=lines, zerolinecolor=lines)
    return figure  # type: ignore[no-any-return]


def _thinned(points: Sequence[MetricPoint]) -> Sequence[MetricPoint]:
    if len(points) <= _MAX_POINTS:
        return points
    last = len(points) - 1
    return [points[round(i * last / (_MAX_POINTS - 1))] for i in range(_MAX_POINTS)]


def _dimension(name: str, values: Sequence[str | float | None]) -> dict[str, object]:
    numbers = [value for value in map(_as_number, values) if value is not None]
    if numbers and len(numbers) == len(values):
        # Plotly labels the ends of an axis with a format of its own, unless the ticks have texts.
        ends = sorted({min(numbers), max(numbers)})
        return {"label": name, "values": numbers, "tickvals": ends, "ticktext": [number(end) for end in ends]}
    texts = [value if isinstance(value, str) else number(value) for value in values]
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return {
        "label": name,
        "values": [places[text] for text in texts],
        "tickvals": list(places.values()),
        "ticktext": [text[:24] for text in places],
    }


def _as_number(value: str | float | None) -> float | None:
    try:
        found = float(value) if value is not None else math.nan
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None

"""A monitor drawn: the error of its windows over time, and what drifted in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_workbench.core.monitors import LARGER_IS_BETTER, FeatureDrift, MonitorReport, Window
from mlops_workbench.core.shown.formats import number, share

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_MOST_COLUMNS = 25


def windows_figure(report: MonitorReport) -> Figure:
    """Error over time with the limit of the reference, above a heat map of drift.

    Parameters
    ----------
    report : MonitorReport
        As :func:`mlops_workbench.monitoring.evaluate` and the alerts gave it; without windows the figure is empty.

    Returns
    -------
    plotly.graph_objects.Figure
        A heat map cell is an effect in units of its floor: from 1 on it counts. A dot marks what drifted.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    windows = report.windows
    labels = [window.label for window in windows]
    names = _columns(windows)
    metric = windows[-1].metric if windows else report.spec.metric
    figure = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.08,
        row_heights=[0.45, 0.55],
        subplot_titles=(metric, "drift, in units of what counts"),
    )
    limits = [_limit(window, report.spec.max_degradation) for window in windows]
    lines = {
        "reference": ([window.reference_quality for window in windows], {"dash": "dot", "color": "#888888"}),
        "limit": (limits, {"dash": "dash", "color": "#c44e52"}),
    }
    for name, (values, line) in lines.items():
        figure.add_trace(go.Scatter(x=labels, y=values, name=name, mode="lines", line=line), row=1, col=1)
    figure.add_trace(
        go.Scatter(
            x=labels,
            y=[window.quality for window in windows],
            name=metric,
            mode="lines+markers",
            line={"color": "#4c72b0"},
            marker={"size": 9, "color": ["#c44e52" if window.degraded else "#4c72b0" for window in windows]},
            customdata=[[number(w.quality), w.rows, share(w.coverage), w.note] for w in windows],
            hovertemplate="%{x}: %{customdata[0]}<br>%{customdata[1]} rows, truth of %{customdata[2]}<br>"
            "%{customdata[3]}",
        ),
        row=1,
        col=1,
    )
    cells = [[_feature(window, name) for window in windows] for name in names]
    figure.add_trace(
        go.Heatmap(
            x=labels,
            y=names,
            z=[[None if f is None else round(_strength(f), 3) for f in row] for row in cells],
            text=[["●" if f is not None and f.drifted else "" for f in row] for row in cells],
            texttemplate="%{text}",
            zmin=0,
            zmax=3,
            colorscale="Oranges",
            colorbar={"len": 0.5, "y": 0.22, "title": "times floor"},
            hovertemplate="%{y}, %{x}: %{z} times the floor<extra></extra>",
        ),
        row=2,
        col=1,
    )
    # Labels such as 2013-04 are names of windows, not dates for plotly to spread out.
    figure.update_xaxes(type="category")
    figure.update_yaxes(autorange="reversed", row=2, col=1)
    figure.update_layout(
        height=300 + 22 * max(len(names), 4),
        margin={"l": 110, "r": 40, "t": 50, "b": 40},
        legend={"orientation": "h", "y": 1.08, "x": 1, "xanchor": "right"},
        paper_bgcolor="rgba(0,0,0,0)",
    )
    return figure


def _columns(windows: list[Window]) -> list[str]:
    strongest: dict[str, float] = {}
    for window in windows:
        for feature in window.features:
            strongest[feature.name] = max(strongest.get(feature.name, 0.0), _strength(feature))
    if len(strongest) <= _MOST_COLUMNS:
        return list(strongest)
    kept = set(sorted(strongest, key=lambda name: -strongest[name])[:_MOST_COLUMNS])
    return [name for name in strongest if name in kept]


def _feature(window: Window, name: str) -> FeatureDrift | None:
    return next((feature for feature in window.features if feature.name == name), None)


def _strength(feature: FeatureDrift) -> float:
    return feature.effect / feature.floor if feature.floor else feature.effect


def _limit(window: Window, max_degradation: float) -> float | None:
    if window.reference_quality is None:
        return None
    sign = -1 if window.metric in LARGER_IS_BETTER else 1
    return window.reference_quality + sign * max_degradation * abs(window.reference_quality)

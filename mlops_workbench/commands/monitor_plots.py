"""Figure of a monitor: quality of its windows over time, and the drift of their columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_workbench.commands.cells import metric_cell
from mlops_workbench.core.monitors import LARGER_IS_BETTER, FeatureDrift, MonitorReport, Window
from mlops_workbench.core.shown.formats import number, share
from mlops_workbench.core.wire.json_numbers import finite_number

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_MOST_COLUMNS = 25
_BLUE, _RED, _GREY = "#4c72b0", "#c44e52", "#888888"


def windows_figure(report: MonitorReport) -> Figure:
    """Quality over time with its limit, above a heat map of drift; empty without windows.

    A cell of the heat map is an effect divided by its floor: drift needs 1 or more. A dot marks a drifted column.
    """
    from plotly.subplots import make_subplots

    windows = report.windows
    columns = _columns(windows)
    metric = windows[-1].metric if windows else report.spec.metric
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08, row_heights=[0.45, 0.55],
        subplot_titles=(metric, "drift: effect / floor"),
    )  # fmt: skip
    for line in _limit_lines(windows, report.spec.max_degradation):
        figure.add_trace(line, row=1, col=1)
    figure.add_trace(_quality_line(windows, metric), row=1, col=1)
    figure.add_trace(_drift_map(windows, columns), row=2, col=1)
    # Labels such as 2013-04 are names of windows; plotly would read them as dates.
    figure.update_xaxes(type="category")
    figure.update_yaxes(autorange="reversed", row=2, col=1)
    figure.update_layout(
        height=300 + 22 * max(len(columns), 4),
        margin={"l": 110, "r": 40, "t": 50, "b": 40},
        legend={"orientation": "h", "y": 1.08, "x": 1, "xanchor": "right"},
        paper_bgcolor="rgba(0,0,0,0)",
    )
    return figure


def _limit_lines(windows: list[Window], max_degradation: float) -> list[Any]:
    import plotly.graph_objects as go

    reference = [finite_number(window.reference_quality) for window in windows]
    limit = [_limit(window, max_degradation) for window in windows]
    return [
        go.Scatter(x=_labels(windows), y=values, name=name, mode="lines", line={"dash": dash, "color": colour})
        for name, values, dash, colour in (("reference", reference, "dot", _GREY), ("limit", limit, "dash", _RED))
    ]


def _quality_line(windows: list[Window], metric: str) -> Any:
    import plotly.graph_objects as go

    return go.Scatter(
        x=_labels(windows),
        y=[finite_number(window.quality) for window in windows],
        name=metric,
        mode="lines+markers",
        line={"color": _BLUE},
        marker={"size": 9, "color": [_RED if window.degraded else _BLUE for window in windows]},
        customdata=[[number(metric_cell(w.quality)), w.rows, share(w.coverage), w.note] for w in windows],
        hovertemplate="%{x}: %{customdata[0]}<br>%{customdata[1]} rows, %{customdata[2]} labelled<br>%{customdata[3]}",
    )


def _drift_map(windows: list[Window], columns: list[str]) -> Any:
    import plotly.graph_objects as go

    cells = [[_feature(window, name) for window in windows] for name in columns]
    return go.Heatmap(
        x=_labels(windows),
        y=columns,
        z=[[None if cell is None else round(_strength(cell), 3) for cell in row] for row in cells],
        text=[["●" if cell is not None and cell.drifted else "" for cell in row] for row in cells],
        texttemplate="%{text}",
        zmin=0,
        zmax=3,
        colorscale="Oranges",
        colorbar={"len": 0.5, "y": 0.22, "title": "effect / floor"},
        hovertemplate="%{y}, %{x}: %{z} times the floor<extra></extra>",
    )


def _labels(windows: list[Window]) -> list[str]:
    return [window.label for window in windows]


def _columns(windows: list[Window]) -> list[str]:
    strongest: dict[str, float] = {}
    for window in windows:
        for feature in window.features:
            strongest[feature.name] = max(strongest.get(feature.name, 0.0), _strength(feature))
    shown = sorted(strongest, key=lambda name: -strongest[name])[:_MOST_COLUMNS]
    return [name for name in strongest if name in shown]


def _feature(window: Window, name: str) -> FeatureDrift | None:
    return next((feature for feature in window.features if feature.name == name), None)


def _strength(feature: FeatureDrift) -> float:
    return feature.effect / feature.floor if feature.floor else feature.effect


def _limit(window: Window, max_degradation: float) -> float | None:
    reference = finite_number(window.reference_quality)
    if reference is None:
        return None
    sign = -1 if window.metric in LARGER_IS_BETTER else 1
    return reference + sign * max_degradation * abs(reference)

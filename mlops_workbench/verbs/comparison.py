"""Runs beside each other: what differs first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mlops_workbench.core.runs import Run
from mlops_workbench.verbs.formats import Cell, cell, duration
from mlops_workbench.verbs.view import View

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: So many runs stand beside each other; more are rows, with this many of their metrics and parameters.
_BESIDE = 6
_MANY_METRICS, _MANY_PARAMS = 6, 8


def newest_of_each_name(runs: Sequence[Run]) -> list[Run]:
    """The first run of every name, in the order given (newest first)."""
    first: dict[str, Run] = {}
    for run in runs:
        first.setdefault(run.name, run)
    return list(first.values())


def compare_view(runs: Sequence[Run]) -> View:
    """Metrics, then the parameters that differ: a column a run, or a row a run when there are many."""
    metrics = _ordered(name for run in runs for name in run.metrics)
    everything = _ordered(name for run in runs for name in run.params)
    params = [name for name in everything if _differs(runs, name)]
    same = [name for name in everything if name not in params]
    across = _rows_of_runs(runs, metrics, params)
    columns, rows = across[0], across[1:]
    if len(runs) <= _BESIDE:
        columns, *rows = [list(row) for row in zip(*across, strict=True)]
    notes = [f"the same in all: {', '.join(f'{name}={runs[0].params[name]}' for name in same[:20])}"] if same else []
    return View(
        f"{len(runs)} runs of {', '.join(_ordered(run.experiment for run in runs))}",
        columns=[str(name) for name in columns],
        rows=rows,
        notes=notes,
        data=list(runs),
        figure=(lambda: parallel_coordinates(runs, metrics, params)) if len(runs) > 1 and metrics else None,
    )


def _rows_of_runs(runs: Sequence[Run], metrics: Sequence[str], params: Sequence[str]) -> list[list[Cell]]:
    if len(runs) > _BESIDE:
        metrics = _commonest([run.metrics for run in runs], metrics)[:_MANY_METRICS]
        params = _commonest([run.params for run in runs], params)[:_MANY_PARAMS]
    head: list[Cell] = ["run", "status", "duration", *metrics, *params]
    return [head] + [
        [run.name, run.status, duration(run.seconds), *(cell(run.metrics.get(name)) for name in metrics),
         *(run.params.get(name, "") for name in params)]
        for run in runs
    ]  # fmt: skip


def parallel_coordinates(runs: Sequence[Run], metrics: Sequence[str], params: Sequence[str]) -> Figure:
    """A line per run over its differing parameters and its metrics, coloured by the first metric."""
    import plotly.graph_objects as go

    dimensions = [_dimension("run", [run.name for run in runs])]
    dimensions += [_dimension(name, [run.params.get(name, "–") for run in runs]) for name in params[:8]]
    dimensions += [_dimension(name, [run.metrics.get(name) for run in runs]) for name in metrics[:6]]
    colours = [run.metrics.get(metrics[0]) for run in runs]
    known = [value for value in colours if value is not None]
    line = {
        "color": [value if value is not None else min(known, default=0.0) for value in colours],
        "colorscale": "Viridis",
        "showscale": True,
        "colorbar": {"title": metrics[0]},
    }
    figure = go.Figure(go.Parcoords(line=line, dimensions=dimensions, labelangle=0))
    figure.update_layout(height=360, margin={"l": 80, "r": 60, "t": 60, "b": 30}, paper_bgcolor="rgba(0,0,0,0)")
    return figure


def _dimension(name: str, values: Sequence[str | float | None]) -> dict[str, object]:
    numbers = [_as_number(value) for value in values]
    if all(value is not None for value in numbers):
        return {"label": name, "values": numbers}
    texts = ["–" if value is None else str(value) for value in values]
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return {
        "label": name,
        "values": [places[text] for text in texts],
        "tickvals": list(places.values()),
        "ticktext": [text[:24] for text in places],
    }


def _as_number(value: str | float | None) -> float | None:
    try:
        return float(value) if value is not None else None
    except ValueError:
        return None


def _differs(runs: Sequence[Run], name: str) -> bool:
    return len({run.params.get(name) for run in runs}) > 1


def _commonest(values: Sequence[Mapping[str, object]], names: Sequence[str]) -> list[str]:
    """Names that most runs have first: those of a single run compare nothing."""
    return sorted(names, key=lambda name: -sum(name in known for known in values))


def _ordered(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))

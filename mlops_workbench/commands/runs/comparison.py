"""Comparison of runs; values that differ come first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import unified_diff

from mlops_workbench.client.runs import runs_frame
from mlops_workbench.commands.cells import Cell, cell, metric_cell
from mlops_workbench.commands.runs.plots import comparison_plots, label, labels_of
from mlops_workbench.commands.runs.table import by_frequency
from mlops_workbench.commands.view import View
from mlops_workbench.core.metrics import metric_direction
from mlops_workbench.core.runs import Run, RunDetail
from mlops_workbench.core.shown.formats import duration
from mlops_workbench.core.wire.json_numbers import finite_number

#: Up to this many runs are columns; more are rows, with a limited number of metrics and parameters.
BESIDE = 6
_MANY_METRICS, _MANY_PARAMS = 6, 8
_MAX_DIFFS, _LONG_DIFF = 5, 60


def compare_view(runs: Sequence[Run], details: Sequence[RunDetail] = ()) -> View:
    """Metrics, then the parameters that differ: one column per run, or one row per run if there are many.

    Parameters
    ----------
    runs : sequence of Run
        The first is compared with each of the others.
    details : sequence of RunDetail, optional
        Details of the first runs, for learning curves and code diffs.
    """
    metrics = _ordered(name for run in runs for name in run.metrics if not name.startswith("system/"))
    all_params = _ordered(name for run in runs for name in run.params)
    params = [name for name in all_params if _differs(runs, name)]
    same = [name for name in all_params if name not in params]
    columns, *rows = _rows_of_runs(runs, metrics, params)
    if len(runs) <= BESIDE:
        columns, *rows = [list(row) for row in zip(columns, *rows, strict=True)]
    notes = [f"the same in all: {', '.join(f'{name}={runs[0].params[name]}' for name in same[:20])}"] if same else []
    best = [text for name in metrics[:_MANY_METRICS] if (text := _best(runs, name))]
    return View(
        f"{len(runs)} runs of {', '.join(_ordered(run.experiment for run in runs))}",
        columns=[str(name) for name in columns],
        rows=rows,
        notes=[*([f"best: {', '.join(best)}"] if best and len(runs) > 1 else []), *notes],
        sections=_code(details),
        data=list(runs),
        plots=comparison_plots(runs, details, _shared(runs, "metrics", metrics), _shared(runs, "params", params))
        if len(runs) > 1
        else [],
        table=lambda: runs_frame(runs),
    )


def code_diff(one: RunDetail, other: RunDetail) -> str:
    """Unified diff from the code of `other` to that of `one`; empty for the same code."""
    return "\n".join(
        unified_diff(
            other.source.rstrip().splitlines(), one.source.rstrip().splitlines(),
            label(other.run), label(one.run), lineterm="", n=2,
        )
    )  # fmt: skip


def _code(details: Sequence[RunDetail]) -> list[View]:
    found = []
    for other in details[1 : _MAX_DIFFS + 1]:
        text = code_diff(details[0], other)
        if text:
            title = f"code: from {label(other.run)} to {label(details[0].run)}"
            found.append(View(title, block=text, diff=True, folded=text.count("\n") > _LONG_DIFF or len(details) > 2))
    return found


def _best(runs: Sequence[Run], name: str) -> str:
    direction = metric_direction(name)
    labels = labels_of(runs)
    known = [(value, labels[run.uid]) for run in runs if (value := finite_number(run.metrics.get(name))) is not None]
    if not direction or len(known) < 2:
        return ""
    value, run_name = (max if direction == "higher" else min)(known)
    return f"{name} {cell(value)} by {run_name}"


def _shared(runs: Sequence[Run], kind: str, names: Sequence[str]) -> list[str]:
    """Those of `names` that at least half of the runs have, the most frequent first; others make empty axes."""
    values = [getattr(run, kind) for run in runs]
    common = by_frequency(values, names)
    return [name for name in common if 2 * sum(name in known for known in values) >= len(runs)] or common[:1]


def _rows_of_runs(runs: Sequence[Run], metrics: Sequence[str], params: Sequence[str]) -> list[list[Cell]]:
    if len(runs) > BESIDE:
        metrics = by_frequency([run.metrics for run in runs], metrics)[:_MANY_METRICS]
        params = by_frequency([run.params for run in runs], params)[:_MANY_PARAMS]
    labels = labels_of(runs)
    head: list[Cell] = ["run", "status", "duration", *metrics, *params]
    return [head] + [
        [labels[run.uid], run.status, duration(run.seconds),
         *(cell(metric_cell(run.metrics.get(name))) for name in metrics),
         *(run.params.get(name, "") for name in params)]
        for run in runs
    ]  # fmt: skip


def _differs(runs: Sequence[Run], name: str) -> bool:
    return len({run.params.get(name) for run in runs}) > 1


def _ordered(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))

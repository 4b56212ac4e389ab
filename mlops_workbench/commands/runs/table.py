"""Runs as a table: the columns a user asks for, or those that most runs have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mlops_workbench.client.runs import runs_frame
from mlops_workbench.commands.cells import Cell, metric_cell
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import InvalidInput, did_you_mean
from mlops_workbench.core.ids import short_id
from mlops_workbench.core.runs import Run
from mlops_workbench.core.shown.formats import duration, moment

_SHOWN_METRICS = 6
_PLAIN = ("name", "status", "duration", "start", "end", "experiment", "kind", "notebook", "id", "run_id", "error")
_TITLES = {"name": "run", "start": "started", "end": "ended"}


def runs_view(found: Sequence[Run], title: str, columns: Sequence[str] = (), *, filtered: bool = False) -> View:
    """Runs as a table.

    Parameters
    ----------
    found : sequence of Run
        The runs, in order.
    title : str
        Title of the table.
    columns : sequence of str, optional
        ``name``, ``status``, ..., ``metrics.NAME``, ``params.NAME`` and ``tags.NAME``; a name without prefix is that of
        a metric or parameter. By default the metrics that most runs have.
    filtered : bool
        Whether a filter was applied, for the note below an empty table.

    Raises
    ------
    InvalidInput
        None of the runs has one of the columns.
    """
    chosen = [_column(name, found) for name in columns] if found else []
    if not chosen:
        names = dict.fromkeys(name for run in found for name in run.metrics if not name.startswith("system/"))
        common = by_frequency([run.metrics for run in found], names)
        metrics = [f"metrics.{name}" for name in common[:_SHOWN_METRICS]]
        chosen = ["name", "status", "duration", *metrics, "start", "id"]
    note = "no run matches the filter" if filtered else "start a cell with %%track to record a run"
    return View(
        title if found else f"no {title}" + ("" if filtered else " yet"),
        columns=[_TITLES.get(name, name.removeprefix("metrics.")) for name in chosen],
        rows=[[_cell(run, name) for name in chosen] for run in found],
        notes=[] if found else [note],
        data=list(found),
        table=lambda: runs_frame(found),
    )


def by_frequency(values: Sequence[Mapping[str, object]], names: Iterable[str]) -> list[str]:
    """`names` sorted by how many of `values` have them, the most frequent first."""
    return sorted(names, key=lambda name: -sum(name in known for known in values))


def _column(name: str, found: Sequence[Run]) -> str:
    plain = {"run": "name", "started": "start", "ended": "end", "uid": "id"}.get(name, name)
    if plain in _PLAIN:
        return plain
    kind, _, rest = plain.partition(".")
    kinds = ("metrics", "params", "tags")
    known = {f"{kind}.{name}" for run in found for kind in kinds for name in getattr(run, kind)}
    if rest and kind.rstrip("s") + "s" in kinds:
        plain = f"{kind.rstrip('s')}s.{rest}"
        if plain in known:
            return plain
    for kind in kinds:
        if f"{kind}.{name}" in known:
            return f"{kind}.{name}"
    raise InvalidInput(f"none of these runs has '{name}'", hint=did_you_mean(name, {*known, *_PLAIN}))


def _cell(run: Run, column: str) -> Cell:
    kind, _, name = column.partition(".")
    if name:
        value: Cell = getattr(run, kind).get(name)
        return metric_cell(run.metrics.get(name)) if kind == "metrics" else value
    return {
        "name": run.name,
        "status": run.status,
        "duration": duration(run.seconds),
        "start": moment(run.start_ms),
        "end": moment(run.end_ms),
        "experiment": run.experiment,
        "kind": run.kind,
        "notebook": run.notebook,
        "id": short_id(run.uid),
        "run_id": run.run_id,
        "error": run.error,
    }[column]

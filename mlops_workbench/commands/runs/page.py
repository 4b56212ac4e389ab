"""The page of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mlops_workbench.client.runs import runs_frame
from mlops_workbench.commands.cells import COVERS, Cell, Curve, metric_cell
from mlops_workbench.commands.runs.environment import environment_view
from mlops_workbench.commands.view import View
from mlops_workbench.core.runs import MetricPoint, Run, RunCell, RunDataset, RunDetail
from mlops_workbench.core.shown.formats import duration, moment
from mlops_workbench.core.shown.plain_text import without_sequences
from mlops_workbench.core.tags import CURRENCY, ENERGY, NOTE
from mlops_workbench.core.wire.json_numbers import finite_number

#: Prefix of the metrics that measure resources.
_SYSTEM = "system/"
#: Sections with more rows or lines than this are folded in a notebook.
_LONG = 12


def run_view(detail: RunDetail, environment: bytes = b"") -> View:
    """Everything about a run; `environment` is the content of its file of that kind."""
    return View(
        f"run {detail.run.name}",
        facts=list(_facts(detail.run)),
        sections=[view for view in _sections(detail, environment) if view.rows or view.block or view.facts],
        data=detail,
        table=lambda: runs_frame([detail.run]),
    )


def _facts(run: Run) -> Iterator[tuple[str, Cell]]:
    yield "status", run.status
    yield "experiment", run.experiment
    yield "started", moment(run.start_ms)
    yield "duration", duration(run.seconds)
    yield "id", run.uid
    yield "MLflow id", run.run_id or "not delivered yet"
    for name, value in (("notebook", run.notebook), ("note", run.tags.get(NOTE)), ("error", run.error)):
        if value:
            yield name, value


def _sections(detail: RunDetail, environment: bytes) -> Iterator[View]:
    yield View("warnings", ("warning",), [(text,) for text in detail.warnings])
    yield _metrics(detail, system=False)
    yield from _params(detail)
    yield _datasets(detail.datasets)
    yield View("models", ("name", "estimator", "format"), [(m.name, m.estimator, m.format) for m in detail.models])
    yield _metrics(detail, system=True)
    if environment:
        yield environment_view(environment)
    tags = [(name, value) for name, value in sorted(detail.run.tags.items()) if not name.startswith("mlflow.")]
    yield View("tags", ("name", "value"), tags, folded=True)
    yield _list("files", ("path", "kind", "bytes"), [(a.path, a.kind, a.size) for a in detail.artifacts])
    yield _list("stages and nested runs", ("run", "status"), [(c.name, c.status) for c in detail.children])
    yield View("traceback", block=without_sequences(detail.traceback).strip("\n"))
    yield _block("source", detail.source.rstrip())
    if len(detail.cells) > 1:
        yield _cells(detail.cells)
    yield _block("output", without_sequences(detail.output).strip("\n"))


def _metrics(detail: RunDetail, *, system: bool) -> View:
    names = [name for name in sorted(detail.run.metrics) if name.startswith(_SYSTEM) == system]
    curves = {name: _curve(name, detail.history.get(name, [])) for name in names}
    drawn = any(curve is not None for curve in curves.values())
    rows: list[Sequence[Cell]] = [
        (
            _shown_name(name, detail.run.tags),
            metric_cell(detail.run.metrics[name]),
            *([curves[name] or ""] if drawn else ()),
        )
        for name in names
    ]
    title, columns = "resources" if system else "metrics", ("name", "value", *(["over steps"] if drawn else ()))
    return View(title, columns, rows, folded=len(rows) > 2 * _LONG)


def _shown_name(name: str, tags: Mapping[str, str]) -> str:
    """Name of a metric; cost with its currency, energy with its source (measured or estimated)."""
    about = {"system/cost": CURRENCY, "system/energy_wh": ENERGY}.get(name)
    plain = name.removeprefix(_SYSTEM)
    return f"{plain} ({tags[about]})" if about in tags else plain


def _curve(name: str, points: Sequence[MetricPoint]) -> Curve | None:
    values = [finite_number(point.value) for point in points]
    return Curve(values, f"{name} over {len(values)} steps") if len(values) > 2 else None


def _params(detail: RunDetail) -> list[View]:
    defaults = set(detail.defaults)
    changed = sorted((name, value) for name, value in detail.run.params.items() if name not in defaults)
    unchanged = sorted((name, value) for name, value in detail.run.params.items() if name in defaults)
    return [
        View("parameters", ("name", "value"), changed, folded=len(changed) > 2 * _LONG),
        View("parameters with default values", ("name", "value"), unchanged, folded=True),
    ]


def _datasets(datasets: Sequence[RunDataset]) -> View:
    return View(
        "data",
        ("name", "used for", "rows", "columns", "version", "covers", "first seen", "snapshot"),
        [(d.name, d.context, d.rows, d.columns, d.digest[:12], COVERS.get(d.covers, d.covers), moment(d.first_ms),
          d.snapshot[:12] or None) for d in datasets],
    )  # fmt: skip


def _cells(cells: Sequence[RunCell]) -> View:
    rows = [
        (f"In[{cell.count}]" if cell.count else "", cell.status, duration(cell.seconds), ", ".join(cell.writes[:8]),
         next((line for line in cell.source.splitlines() if line.strip()), "")[:60])
        for cell in cells
    ]  # fmt: skip
    return _list("cells that the run depends on", ("cell", "outcome", "duration", "assigns", "first line"), rows)


def _list(title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> View:
    return View(title, columns, rows, folded=len(rows) > _LONG)


def _block(title: str, text: str) -> View:
    return View(title, block=text, folded=text.count("\n") > 2 * _LONG)

"""Everything about a run, most telling first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mlops_workbench.client.runs import runs_frame
from mlops_workbench.commands.cells import Cell, Curve
from mlops_workbench.commands.runs.environment import environment_view
from mlops_workbench.commands.view import View
from mlops_workbench.core.runs import MetricPoint, RunCell, RunDetail
from mlops_workbench.core.shown.formats import duration, moment
from mlops_workbench.core.tags import CURRENCY, ENERGY, NOTE

#: Metrics with this beginning are resources that were used.
_SYSTEM = "system/"
#: More rows, or lines, than this are folded away in a notebook.
_LONG = 12
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def run_view(detail: RunDetail, environment: bytes = b"") -> View:
    """A run in full.

    Parameters
    ----------
    detail : RunDetail
        The run.
    environment : bytes, optional
        Its file of kind ``environment``.
    """
    run = detail.run
    facts: list[tuple[str, Cell]] = [
        ("status", run.status),
        ("experiment", run.experiment),
        ("started", moment(run.start_ms)),
        ("duration", duration(run.seconds)),
        ("id", run.uid),
        ("MLflow id", run.run_id or "not delivered yet"),
    ]
    if run.notebook:
        facts.append(("notebook", run.notebook))
    if note := run.tags.get(NOTE):
        facts.append(("note", note))
    if run.error:
        facts.append(("error", run.error))
    sections = [
        View("not reproducible from this notebook as it is", ("because",), [(text,) for text in detail.warnings]),
        *_metrics(detail, system=False),
        *_params(detail),
        View(
            "data",
            ("name", "used for", "rows", "columns", "version", "covers", "first seen", "snapshot"),
            [(d.name, d.context, d.rows, d.columns, d.digest[:12],
              {"content": "all of it", "sampled": "a sample", "shape": "its shape"}.get(d.covers, d.covers),
              moment(d.first_ms), d.snapshot[:12] or None) for d in detail.datasets],
        ),
        View("models", ("name", "estimator", "format"), [(m.name, m.estimator, m.format) for m in detail.models]),
        *_metrics(detail, system=True),
        *([environment_view(environment)] if environment else []),
        View(
            "tags", ("name", "value"),
            [(n, v) for n, v in sorted(run.tags.items()) if not n.startswith("mlflow.")], folded=True,
        ),
        View("files", ("path", "kind", "bytes"), [(a.path, a.kind, a.size) for a in detail.artifacts],
             folded=len(detail.artifacts) > _LONG),
        View("stages and nested runs", ("run", "status"), [(c.name, c.status) for c in detail.children],
             folded=len(detail.children) > _LONG),
        View("traceback", block=_plain(detail.traceback)),
        _block("source", detail.source.rstrip()),
        *([_cells(detail.cells)] if len(detail.cells) > 1 else []),
        _block("output", _plain(detail.output)),
    ]  # fmt: skip
    return View(
        f"run {run.name}",
        facts=facts,
        sections=[s for s in sections if s.rows or s.block or s.facts],
        data=detail,
        table=lambda: runs_frame([run]),
    )


def _metrics(detail: RunDetail, *, system: bool) -> list[View]:
    names = [name for name in sorted(detail.run.metrics) if name.startswith(_SYSTEM) == system]
    curves = {name: _curve(name, detail.history.get(name, [])) for name in names}
    drawn = any(curve is not None for curve in curves.values())
    rows: list[Sequence[Cell]] = [
        (_shown_name(name, detail.run.tags), detail.run.metrics[name], *([curves[name] or ""] if drawn else ()))
        for name in names
    ]
    title, columns = ("resources", "used") if system else ("metrics", "value")
    return [View(title, ("name", columns, *(["over its steps"] if drawn else ())), rows, folded=len(rows) > 2 * _LONG)]


def _shown_name(name: str, tags: Mapping[str, str]) -> str:
    """Name of a metric; of money and energy with what they are worth: a currency, and whether it was measured."""
    about = {"system/cost": CURRENCY, "system/energy_wh": ENERGY}.get(name)
    plain = name.removeprefix(_SYSTEM)
    return f"{plain} ({tags[about]})" if about in tags else plain


def _curve(name: str, points: Sequence[MetricPoint]) -> Curve | None:
    values = [point.value for point in points]
    return Curve(values, f"{name} over {len(values)} steps") if len(values) > 2 else None


def _params(detail: RunDetail) -> list[View]:
    defaults = set(detail.defaults)
    told = sorted((name, value) for name, value in detail.run.params.items() if name not in defaults)
    rest = sorted((name, value) for name, value in detail.run.params.items() if name in defaults)
    return [
        View("parameters", ("name", "value"), told, folded=len(told) > 2 * _LONG),
        View("parameters with the default of their class", ("name", "value"), rest, folded=True),
    ]


def _cells(cells: Sequence[RunCell]) -> View:
    rows = [
        (f"In[{cell.count}]" if cell.count else "", cell.status, duration(cell.seconds), ", ".join(cell.writes[:8]),
         next((line for line in cell.source.splitlines() if line.strip()), "")[:60])
        for cell in cells
    ]  # fmt: skip
    return View(
        "cells it rests on", ("cell", "outcome", "took", "binds", "begins with"), rows, folded=len(rows) > _LONG
    )


def _block(title: str, text: str) -> View:
    return View(title, block=text, folded=text.count("\n") > 2 * _LONG)


def _plain(text: str) -> str:
    return _ANSI.sub("", text).strip("\n")

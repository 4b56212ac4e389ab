"""Verbs about experiments and runs."""

from __future__ import annotations

import re

import click

from mlops_workbench.core.errors import InvalidInput, NotFound
from mlops_workbench.core.runs import Run, RunDetail
from mlops_workbench.verbs import comparison
from mlops_workbench.verbs.completion import experiment_names, run_names
from mlops_workbench.verbs.face import Face
from mlops_workbench.verbs.formats import Cell, duration, moment
from mlops_workbench.verbs.view import View

_SHOWN_METRICS = 6
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


@click.command()
@click.argument("name", required=False, shell_complete=experiment_names)
@click.pass_obj
def experiment(face: Face, name: str | None) -> View:
    """Use experiment NAME from now on in this notebook; without a name, list the experiments."""
    if name is not None:
        face.use_experiment(name)
    with face.client() as client:
        known = client.experiments()
    if name is None:
        return View(
            "experiments" if known else "no experiments yet",
            columns=("experiment", "runs", "last run"),
            rows=[(item.name, item.runs, moment(item.last_ms)) for item in known],
            notes=[] if known else ["start a cell with %%track to make the first run"],
            data=known,
        )
    found = next((item for item in known if item.name == name), None)
    return View(
        f"experiment {name}",
        facts=[("runs", found.runs if found else 0), ("last run", moment(found.last_ms) if found else "–")],
        data=found,
    )


@click.command()
@click.option("--experiment", "experiment_name", "-e", shell_complete=experiment_names, help="Only this experiment.")
@click.option("--status", type=click.Choice(["RUNNING", "FINISHED", "FAILED", "KILLED"], case_sensitive=False))
@click.option("--sort", default="start", show_default=True, help="start, name, duration, metrics.NAME or params.NAME.")
@click.option("--ascending", is_flag=True, help="Smallest first.")
@click.option("--limit", "-n", default=20, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--all", "everything", is_flag=True, help="All experiments, and stages of pipelines too.")
@click.pass_obj
def runs(
    face: Face,
    experiment_name: str | None,
    status: str | None,
    sort: str,
    ascending: bool,
    limit: int,
    everything: bool,
) -> View:
    """List runs, newest first."""
    chosen = experiment_name or (None if everything else face.experiment())
    with face.client() as client:
        found = client.runs(
            chosen,
            status=status.upper() if status else None,
            kind=None if everything else "run",
            order_by=sort,
            descending=not ascending,
            limit=limit,
        )
    return runs_view(found, f"runs of {chosen}" if chosen else "runs")


@click.command()
@click.argument("run", shell_complete=run_names)
@click.pass_obj
def show(face: Face, run: str) -> View:
    """Show everything about a RUN: its name (the newest), or the start of its id."""
    with face.client() as client:
        return run_view(client.run(run))


@click.command()
@click.argument("names", nargs=-1, shell_complete=run_names, metavar="[RUN]...")
@click.option("--experiment", "experiment_name", "-e", shell_complete=experiment_names)
@click.option("--limit", "-n", default=20, show_default=True, type=click.IntRange(2, 1000))
@click.pass_obj
def compare(face: Face, names: tuple[str, ...], experiment_name: str | None, limit: int) -> View:
    """Compare runs: what differs first. Without names, the newest run of each name."""
    chosen = experiment_name or face.experiment()
    with face.client() as client:
        if not chosen and not names:
            # Runs of different tasks have nothing to compare: the experiment that was worked on last.
            chosen = next((item.name for item in client.experiments()), None)
        if names:
            found = [client.run(name).run for name in names]
        else:
            found = comparison.newest_of_each_name(client.runs(chosen, kind="run", limit=limit))
    if not found:
        raise NotFound("there are no runs to compare", hint="start a cell with %%track, or name runs")
    if len(found) == 1 and names:
        raise InvalidInput("one run cannot be compared", hint="name two or more")
    return comparison.compare_view(found)


def runs_view(found: list[Run], title: str) -> View:
    """Runs as a table, with the metrics that most of them have."""
    count: dict[str, int] = {}
    for run in found:
        for name in run.metrics:
            count[name] = count.get(name, 0) + 1
    metrics = sorted(count, key=lambda name: -count[name])[:_SHOWN_METRICS]
    rows: list[list[Cell]] = [
        [run.name, run.status, duration(run.seconds), *(run.metrics.get(name) for name in metrics),
         moment(run.start_ms), run.uid[:12]]
        for run in found
    ]  # fmt: skip
    return View(
        title if found else f"no {title} yet",
        columns=("run", "status", "duration", *metrics, "started", "id"),
        rows=rows,
        notes=[] if found else ["start a cell with %%track to make one"],
        data=found,
    )


def run_view(detail: RunDetail) -> View:
    """A run in full."""
    run = detail.run
    sections = [
        View("parameters", ("name", "value"), sorted(run.params.items())),
        View("metrics", ("name", "value"), sorted(run.metrics.items())),
        View("models", ("name", "estimator", "format"), [(m.name, m.estimator, m.format) for m in detail.models]),
        View(
            "data",
            ("name", "used for", "rows", "columns", "digest"),
            [(d.name, d.context, d.rows, d.columns, d.digest[:12]) for d in detail.datasets],
        ),
        View("files", ("path", "kind", "bytes"), [(a.path, a.kind, a.size) for a in detail.artifacts]),
        View("stages and nested runs", ("run", "status"), [(c.name, c.status) for c in detail.children]),
        View("source", block=detail.source.rstrip()),
        View("output", block=_plain(detail.output)),
        View("traceback", block=_plain(detail.traceback)),
    ]
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
    if run.error:
        facts.append(("error", run.error))
    return View(f"run {run.name}", facts=facts, sections=[s for s in sections if s.rows or s.block], data=detail)


def _plain(text: str) -> str:
    return _ANSI.sub("", text).strip("\n")


COMMANDS = (experiment, runs, show, compare)

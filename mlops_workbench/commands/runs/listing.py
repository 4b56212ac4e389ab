"""Commands about experiments and runs."""

from __future__ import annotations

import re

import click

from mlops_workbench.client.runs import order_of
from mlops_workbench.commands.completion import experiment_names, run_names
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.runs.choice import runs_to_compare
from mlops_workbench.commands.runs.comparison import compare_view
from mlops_workbench.commands.runs.page import run_view
from mlops_workbench.commands.runs.table import runs_view
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import NotFound
from mlops_workbench.core.shown.formats import moment

#: Number of runs whose histories and sources are compared too.
_IN_DETAIL = 12
_NEGATIVE = re.compile(r"-\.?\d")
#: Prefix that keeps click from reading a word as an option; users do not write this character.
_PLAIN = "\x1f"


@click.command()
@click.argument("name", required=False, shell_complete=experiment_names)
@click.pass_obj
def experiment(frontend: FrontEnd, name: str | None) -> View:
    """List the experiments, or use experiment NAME from now on in this notebook."""
    if name is not None:
        frontend.use_experiment(name)
    with frontend.client() as client:
        known = client.experiments()
    if name is None:
        return View(
            "experiments" if known else "no experiments yet",
            columns=("experiment", "runs", "last run"),
            rows=[(item.name, item.runs, moment(item.last_ms)) for item in known],
            notes=[] if known else ["start a cell with %%track to record the first run"],
            data=known,
        )
    found = next((item for item in known if item.name == name), None)
    return View(
        f"experiment {name}",
        facts=[("runs", found.runs if found else 0), ("last run", moment(found.last_ms) if found else "–")],
        data=found,
    )


class _FilterCommand(click.Command):
    """A command whose arguments are a filter, which may contain negative numbers."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse negative numbers as arguments instead of options."""
        return super().parse_args(ctx, [f"{_PLAIN}{word}" if _NEGATIVE.match(word) else word for word in args])


@click.command(cls=_FilterCommand)
@click.argument("words", nargs=-1, metavar="[FILTER]")
@click.option("--experiment", "experiment_name", "-e", shell_complete=experiment_names, help="Only this experiment.")
@click.option(
    "--status", type=click.Choice(["RUNNING", "FINISHED", "FAILED", "KILLED"], case_sensitive=False),
    help="Only runs with this status.",
)  # fmt: skip
@click.option(
    "--sort", default="start", show_default=True,
    help="Sort by start, name, duration, metrics.NAME or params.NAME.",
)  # fmt: skip
@click.option(
    "--ascending/--descending", default=None,
    help="By default newest first; for a metric, best first if its name shows what is better.",
)  # fmt: skip
@click.option("--columns", default="", help="Columns to show, for example name,metrics.auc,params.depth,tags.team,id.")
@click.option(
    "--limit", "-n", default=20, show_default=True, type=click.IntRange(1, 10_000), help="Maximum number of runs."
)
@click.option(
    "--all", "everything", is_flag=True, help="Include all experiments, stages of pipelines and candidates of searches."
)
@click.pass_obj
def runs(
    frontend: FrontEnd,
    words: tuple[str, ...],
    experiment_name: str | None,
    status: str | None,
    sort: str,
    ascending: bool | None,
    columns: str,
    limit: int,
    everything: bool,
) -> View:
    """List runs, newest first.

    FILTER selects runs, for example: metrics.auc > 0.8 and params.depth = 6. It is in MLflow's filter language:
    metrics, params, tags, attributes; = != > >= < <=, LIKE, ILIKE, IN, IS NULL; joined by AND. In a shell, put it
    in quotes.
    """
    chosen = experiment_name or (None if everything else frontend.experiment())
    query = " ".join(word.removeprefix(_PLAIN) for word in words)
    column, descends = order_of(sort)
    with frontend.client() as client:
        found = client.runs(
            chosen,
            filter=query,
            status=status.upper() if status else None,
            kind=None if everything else "run",
            order_by=column,
            descending=descends if ascending is None else not ascending,
            limit=limit,
            # A filter may be meant to find a candidate of a search; without one, candidates would crowd the list.
            nested=everything or bool(query),
        )
    title = f"runs of {chosen}" if chosen else "runs"
    shown = [name.strip() for name in columns.split(",") if name.strip()]
    view = runs_view(found, f"{title} where {query}" if query else title, shown, filtered=bool(query or status))
    if not found and not everything:
        view.notes = [*view.notes, "--all includes stages of pipelines, candidates of searches and other experiments"]
    kind, _, name = column.partition(".")
    if found and kind in ("metrics", "params", "tags") and not any(name.strip('`"') in getattr(r, kind) for r in found):
        view.notes = [*view.notes, f"none of these runs has {column}: they are in the order of their start"]
    return view


@click.command()
@click.argument("run", shell_complete=run_names)
@click.pass_obj
def show(frontend: FrontEnd, run: str) -> View:
    """Show everything about RUN: a name (its newest run), or the start of an id."""
    with frontend.client() as client:
        detail = client.run(run)
        environment = next((file.path for file in detail.artifacts if file.kind == "environment"), None)
        return run_view(detail, client.artifact(detail.run.uid, environment) if environment else b"")


@click.command()
@click.argument("names", nargs=-1, shell_complete=run_names, metavar="[RUN]...")
@click.option(
    "--experiment", "experiment_name", "-e", shell_complete=experiment_names,
    help="Experiment to look in; by default the current one.",
)  # fmt: skip
@click.option(
    "--limit", "-n", default=20, show_default=True, type=click.IntRange(2, 1000), help="Maximum number of runs."
)
@click.pass_obj
def compare(frontend: FrontEnd, names: tuple[str, ...], experiment_name: str | None, limit: int) -> View:
    """Compare runs: metrics, parameters that differ, code.

    Without a RUN, compares the runs of the newest cell that made several, else the newest run of each name; with one
    name, all runs of that name, or the candidates of the search in it.
    """
    chosen = experiment_name or frontend.experiment()
    with frontend.client() as client:
        if not chosen and not names:
            # Runs of different tasks are not comparable, so take the experiment with the newest run.
            chosen = next((item.name for item in client.experiments()), None)
        found = runs_to_compare(client, names, chosen, limit)
        if not found:
            raise NotFound("no runs to compare", hint="start a cell with %%track, or name runs")
        details = [client.run(run.uid) for run in found[:_IN_DETAIL]]
    return compare_view(found, details)


COMMANDS = (experiment, runs, show, compare)

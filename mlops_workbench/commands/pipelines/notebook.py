"""The command that runs a notebook."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from mlops_workbench.client.bodies import NotebookRunRequest
from mlops_workbench.commands.cells import metric_cell
from mlops_workbench.commands.completion import experiment_names
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.pipelines.runs import client_to_run, conclude, follow, pipeline_run_view, run_facts
from mlops_workbench.commands.values import given_parameters, parameter_options, parse_duration, parse_texts
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import NotFound
from mlops_workbench.core.ids import short_id
from mlops_workbench.core.metrics import own_metrics
from mlops_workbench.core.pipelines import PipelineRun

if TYPE_CHECKING:
    from mlops_workbench.client.client import Client


@click.command("run")
@click.argument("notebook", type=click.Path())
@parameter_options
@click.option("--name", default="", help="Name of the run; by default that of the notebook.")
@click.option("--experiment", "-e", default="", shell_complete=experiment_names, help="Experiment of the run.")
@click.option("-o", "--output", default="", metavar="FILE.ipynb", help="Write the executed notebook there, too.")
@click.option("--timeout", metavar="TIME", help="Longest time that it may take: 90s, 10m, 1h30m.")
@click.option(
    "--secret", "secrets", multiple=True, metavar="NAME=VARIABLE",
    help="Parameter whose value is in an environment variable of the control plane; repeatable.",
)  # fmt: skip
@click.option("--background", is_flag=True, help="Return at once with the id of the run.")
@click.pass_obj
def run_notebook(
    frontend: FrontEnd,
    notebook: str,
    texts: tuple[str, ...],
    file: str | None,
    name: str,
    experiment: str,
    output: str,
    timeout: str | None,
    secrets: tuple[str, ...],
    background: bool,
) -> View:
    """Run NOTEBOOK as a tracked run, and wait for it.

    Its parameters are those of its cell with the tag 'parameters'; they are checked before it starts. The notebook
    itself is not changed: the executed one is kept with the run.
    """
    given = given_parameters(texts, file)
    request = NotebookRunRequest(
        notebook=os.path.abspath(notebook),
        params=given.params,
        texts=given.texts,
        secrets=parse_texts(secrets, "--secret token=API_TOKEN"),
        name=name,
        experiment=experiment or frontend.experiment() or "",
        timeout=parse_duration(timeout) if timeout is not None else None,
        output=os.path.abspath(output) if output else "",
    )
    with client_to_run(frontend) as client:
        run = client.start_notebook(request)
        if background:
            view = pipeline_run_view(run)
            view.notes = [f"next: {frontend.prog} pipeline watch {short_id(run.id)}"]
            return view
        run = follow(frontend, client, run)
        return conclude(frontend, client, run, _view(client, run, request.output, frontend.prog))


def _view(client: Client, run: PipelineRun, output: str, prog: str) -> View:
    try:
        metrics = own_metrics(client.run(run.run_uid).run.metrics) if run.run_uid else {}
    except NotFound:
        # It was cancelled before it began.
        metrics = {}
    executed = output or next((result.notebook for result in client.pipeline_run_results(run.id)), "")
    return View(
        f"notebook {run.pipeline}, run {short_id(run.id)}",
        facts=[*run_facts(run), ("notebook", executed or "–")],
        columns=("metric", "value"),
        rows=[(name, metric_cell(value)) for name, value in sorted(metrics.items())],
        notes=[f"next: {prog} show {short_id(run.run_uid)}"] if run.run_uid else [],
        data={"run": run, "metrics": metrics, "notebook": executed},
    )


COMMANDS = (run_notebook,)

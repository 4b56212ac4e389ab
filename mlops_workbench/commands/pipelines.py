"""Commands about pipelines."""

from __future__ import annotations

from collections.abc import Mapping

import click

from mlops_workbench.commands.completion import names, pipeline_names, pipeline_run_ids
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.pipeline_graph import pipeline_view
from mlops_workbench.commands.pipeline_runs import conclude, follow, pipeline_run_view, state_name
from mlops_workbench.commands.pipeline_specs import migrate_pipeline, new_pipeline
from mlops_workbench.commands.values import given_parameters, parameter_options
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import NotFound, did_you_mean
from mlops_workbench.core.ids import short_id
from mlops_workbench.core.pipelines import Pipeline, PipelineRun, PlannedRun
from mlops_workbench.core.shown.formats import moment

pipelines_and_runs = names(
    lambda client: [
        *(pipeline.name for pipeline in client.pipelines()),
        *(run.id for run in client.pipeline_runs()),
    ]
)


@click.group(invoke_without_command=True)
@click.pass_context
def pipeline(context: click.Context) -> View | None:
    """List, run, show, cancel and write pipelines.

    Without a command, lists the pipelines and their newest runs.
    """
    return _list(context.obj) if context.invoked_subcommand is None else None


def _list(frontend: FrontEnd) -> View:
    with frontend.client() as client:
        found = client.pipelines()
        recent = client.pipeline_runs(10)
    return View(
        "pipelines" if found else f"no pipelines in {frontend.workspace.pipeline_specs}",
        columns=("pipeline", "stages", "parameters", "problem"),
        rows=[(p.name, " -> ".join(p.stages), _params(p), p.problem or None) for p in found],
        sections=[_runs_view(recent)] if recent else [],
        data=found,
    )


@pipeline.command("run")
@click.argument("name", shell_complete=pipeline_names)
@parameter_options
@click.option("--dry-run", is_flag=True, help="Say what would run, with which values, and start nothing.")
@click.option("--detach", "--background", is_flag=True, help="Return at once, without waiting for the run to end.")
@click.pass_obj
def run_pipeline(
    frontend: FrontEnd, name: str, texts: tuple[str, ...], file: str | None, dry_run: bool, detach: bool
) -> View:
    """Run pipeline NAME and wait for it.

    In a shell, the exit code is 0 if it succeeded, 1 if it failed or was cancelled, 2 if it cannot start, and 3 if it
    finished but published nothing, since a gate failed.
    """
    given = given_parameters(texts, file)
    with frontend.client() as client:
        if dry_run:
            return _plan_view(client.plan_pipeline(name, given.params, texts=given.texts))
        run = client.start_pipeline(name, given.params, texts=given.texts)
        if detach:
            return pipeline_run_view(run)
        run = follow(frontend, client, run)
        return conclude(frontend, client, run, pipeline_run_view(run))


@pipeline.command("show")
@click.argument("reference", metavar="NAME|RUN-ID", shell_complete=pipelines_and_runs)
@click.pass_obj
def show_pipeline(frontend: FrontEnd, reference: str) -> View:
    """Show the graph of a pipeline with its newest run, or one of its runs.

    RUN-ID is the start of the id of a run.
    """
    with frontend.client() as client:
        runs = client.pipeline_runs(1000)
        found = next((pipeline for pipeline in client.pipelines() if pipeline.name == reference), None)
        if found is not None:
            newest = next((run for run in runs if run.pipeline == reference and run.kind == "pipeline"), None)
            return pipeline_view(found, newest, frontend.prog)
        return pipeline_run_view(client.pipeline_run(_find(runs, reference).id))


@pipeline.command("cancel")
@click.argument("run_id", metavar="RUN-ID", shell_complete=pipeline_run_ids)
@click.pass_obj
def cancel_pipeline(frontend: FrontEnd, run_id: str) -> View:
    """Cancel a pipeline run.

    RUN-ID is the start of its id, or the name of a pipeline for its newest run.
    """
    with frontend.client() as client:
        return pipeline_run_view(client.cancel_pipeline_run(_find(client.pipeline_runs(1000), run_id).id))


def _plan_view(plan: PlannedRun) -> View:
    """What a run would do."""
    return View(
        f"pipeline {plan.pipeline} would run {len(plan.stages)} stage{'' if len(plan.stages) == 1 else 's'}",
        facts=[("parameters", _values(plan.params) or "–")],
        columns=("stage", "notebook", "after", "parameters", "inputs", "outputs"),
        rows=[
            (
                stage.name,
                stage.notebook,
                ", ".join(stage.needs) or None,
                ", ".join(filter(None, (_values(stage.params), _secrets(stage.secrets)))) or None,
                _values(stage.inputs) or None,
                _values(stage.outputs) or None,
            )
            for stage in plan.stages
        ],
        notes=["nothing was started"],
        data=plan,
    )


def _values(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _secrets(secrets: Mapping[str, str]) -> str:
    return ", ".join(f"{name} from ${variable}" for name, variable in secrets.items())


def _runs_view(found: list[PipelineRun]) -> View:
    return View(
        "newest pipeline runs",
        columns=("id", "pipeline", "state", "reason", "started", "published"),
        rows=[
            (short_id(r.id), r.pipeline, state_name(r.state), r.reason, moment(r.start_ms), r.published or None)
            for r in found
        ],
    )


def _params(found: Pipeline) -> str:
    return ", ".join(f"{p.name}: {p.type} = {p.default}" for p in found.params)


def _find(found: list[PipelineRun], reference: str) -> PipelineRun:
    match = next((r for r in found if r.id.startswith(reference) or r.id.endswith(reference)), None)
    match = match or next((r for r in found if r.pipeline == reference), None)
    if match is None:
        raise NotFound(f"no pipeline run '{reference}'", hint=did_you_mean(reference, [short_id(r.id) for r in found]))
    return match


pipeline.add_command(new_pipeline)
pipeline.add_command(migrate_pipeline)

COMMANDS = (pipeline,)

"""Commands about pipelines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from mlops_workbench.commands.completion import names, pipeline_names, pipeline_run_ids
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.pipelines.graph import pipeline_view, why_stage
from mlops_workbench.commands.pipelines.runs import (
    client_to_run,
    conclude,
    find_run,
    follow,
    pipeline_run_view,
    state_name,
)
from mlops_workbench.commands.pipelines.specs import migrate_pipeline, new_pipeline
from mlops_workbench.commands.values import given_parameters, parameter_options
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import InvalidInput, NotFound, WorkbenchError, did_you_mean
from mlops_workbench.core.ids import short_id
from mlops_workbench.core.pipelines import Pipeline, PipelineRun, PlannedRun
from mlops_workbench.core.shown.formats import moment

if TYPE_CHECKING:
    from mlops_workbench.client.client import Client

pipelines_and_runs = names(
    lambda client: [
        *(pipeline.name for pipeline in client.pipelines()),
        *(run.id for run in client.pipeline_runs()),
    ]
)


@click.group(invoke_without_command=True)
@click.pass_context
def pipeline(context: click.Context) -> View | None:
    """List, run, show, cancel, resume and write pipelines.

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
@click.option("--from", "start", metavar="STAGE", default="", help="Run STAGE and all that need it, changed or not.")
@click.option("--only", metavar="STAGE", default="", help="Run STAGE alone, on the newest results of those it needs.")
@click.option(
    "--force",
    metavar="[STAGE,...]",
    is_flag=False,
    flag_value="*",
    default="",
    help="Run these stages, by default all, changed or not.",
)
@click.option("--dry-run", is_flag=True, help="Say what would run, with which values and why, and start nothing.")
@click.option("--detach", "--background", is_flag=True, help="Return at once, without waiting for the run to end.")
@click.pass_obj
def run_pipeline(
    frontend: FrontEnd,
    name: str,
    texts: tuple[str, ...],
    file: str | None,
    start: str,
    only: str,
    force: str,
    dry_run: bool,
    detach: bool,
) -> View:
    """Run pipeline NAME and wait for it.

    A stage whose code, parameters, inputs and packages are what they were is not run again: its result is taken from
    the cache. '--from', '--only' and '--force' say otherwise, the last one after NAME.

    In a shell, the exit code is 0 if it succeeded, 1 if it failed or was cancelled, 2 if it cannot start, and 3 if it
    finished but published nothing, since a gate failed.
    """
    given = given_parameters(texts, file)
    stages = {"start": start, "only": only, "force": [stage for stage in force.split(",") if stage]}
    with client_to_run(frontend) as client:
        if dry_run:
            return _plan_view(client.plan_pipeline(name, given.params, texts=given.texts, **stages))
        run = client.start_pipeline(name, given.params, texts=given.texts, **stages)
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
            return pipeline_view(found, newest, frontend.prog, _planned(client, found))
        return pipeline_run_view(client.pipeline_run(find_run(runs, reference).id))


@pipeline.command("watch")
@click.argument("run_id", metavar="RUN-ID", shell_complete=pipeline_run_ids)
@click.pass_obj
def watch_pipeline(frontend: FrontEnd, run_id: str) -> View:
    """Show how far a run is until it ends; Ctrl-C ends the watching, not the run.

    RUN-ID is the start of its id, or the name of a pipeline or the path of a notebook for its newest run. The exit
    code is that of the command that started the run.
    """
    with frontend.client() as client:
        run = follow(frontend, client, find_run(client.pipeline_runs(1000), run_id))
        return conclude(frontend, client, run, pipeline_run_view(run))


@pipeline.command("why")
@click.argument("pipeline_or_stage", metavar="[NAME] [STAGE]", nargs=-1, required=True, shell_complete=pipeline_names)
@parameter_options
@click.pass_obj
def why_pipeline(
    frontend: FrontEnd, pipeline_or_stage: tuple[str, ...], texts: tuple[str, ...], file: str | None
) -> View:
    """Say what a run of pipeline NAME, or its stage STAGE, would do and why.

    A stage whose name is in one pipeline only needs no NAME.
    """
    given = given_parameters(texts, file)
    with frontend.client() as client:
        name, stage = _pipeline_and_stage(client.pipelines(), pipeline_or_stage)
        plan = client.plan_pipeline(name, given.params, texts=given.texts)
    chosen = [one for one in plan.stages if not stage or stage in (one.name, one.name.partition("@")[0])]
    return View(
        f"pipeline {name}" + (f", stage {stage}" if stage else ""),
        columns=("stage", "would", "why"),
        rows=[(one.name, *why_stage(one)) for one in chosen],
        data=chosen,
    )


def _pipeline_and_stage(found: list[Pipeline], given: tuple[str, ...]) -> tuple[str, str]:
    """Name of a pipeline, and of its stage, empty for all.

    Raises
    ------
    NotFound
        There is none of this name.
    InvalidInput
        Several pipelines have a stage of this name, or there are too many names.
    """
    if len(given) > 2:
        raise InvalidInput("too many names", hint="give a pipeline and a stage")
    by_name = {one.name: one for one in found}
    first, *rest = given
    if not rest and first not in by_name:
        owners = [one.name for one in found if first.partition("@")[0] in one.stages]
        if len(owners) > 1:
            raise InvalidInput(
                f"{len(owners)} pipelines have a stage '{first}'", hint=f"say which: {', '.join(owners)}"
            )
        if not owners:
            known = [*by_name, *(stage for one in found for stage in one.stages)]
            raise NotFound(f"there is no pipeline or stage '{first}'", hint=did_you_mean(first, known))
        return owners[0], first
    if first not in by_name:
        raise NotFound(f"there is no pipeline '{first}'", hint=did_you_mean(first, by_name))
    stage = rest[0] if rest else ""
    if stage and stage.partition("@")[0] not in by_name[first].stages:
        hint = did_you_mean(stage, by_name[first].stages)
        raise NotFound(f"pipeline '{first}' has no stage '{stage}'", hint=hint)
    return first, stage


def _planned(client: Client, found: Pipeline) -> PlannedRun | None:
    """What a run would do, None if it cannot start as it is, for example without a value for a parameter."""
    try:
        return client.plan_pipeline(found.name)
    except WorkbenchError:
        return None


@pipeline.command("cancel")
@click.argument("run_id", metavar="RUN-ID", shell_complete=pipeline_run_ids)
@click.pass_obj
def cancel_pipeline(frontend: FrontEnd, run_id: str) -> View:
    """Cancel a pipeline run.

    RUN-ID is the start of its id, or the name of a pipeline for its newest run.
    """
    with frontend.client() as client:
        return pipeline_run_view(client.cancel_pipeline_run(find_run(client.pipeline_runs(1000), run_id).id))


@pipeline.command("resume")
@click.argument("run_id", metavar="RUN-ID", shell_complete=pipeline_run_ids)
@click.option("--detach", "--background", is_flag=True, help="Return at once, without waiting for the run to end.")
@click.pass_obj
def resume_pipeline(frontend: FrontEnd, run_id: str, detach: bool) -> View:
    """Let a run that has failed or was cancelled go on, and wait for it.

    Stages that succeeded are kept; the others run again, with the notebooks and parameters of that run. A run whose
    process was killed goes on by itself. RUN-ID is the start of its id, or the name of a pipeline for its newest run.
    """
    with frontend.client() as client:
        run = client.resume_pipeline_run(find_run(client.pipeline_runs(1000), run_id).id)
        if detach:
            return pipeline_run_view(run)
        run = follow(frontend, client, run)
        return conclude(frontend, client, run, pipeline_run_view(run))


def _plan_view(plan: PlannedRun) -> View:
    """What a run would do."""
    cached = sum(stage.cached for stage in plan.stages)
    count = len(plan.stages) - cached
    reused = f", and take {cached} from the cache" if cached else ""
    return View(
        f"pipeline {plan.pipeline} would run {count} stage{'' if count == 1 else 's'}{reused}",
        facts=[("parameters", _values(plan.params) or "–")],
        columns=("stage", "would", "why", "notebook", "after", "parameters", "inputs", "outputs"),
        rows=[
            (
                stage.name,
                *why_stage(stage),
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


pipeline.add_command(new_pipeline)
pipeline.add_command(migrate_pipeline)

COMMANDS = (pipeline,)

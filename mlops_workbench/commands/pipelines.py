"""Commands about pipelines."""

from __future__ import annotations

import click

from mlops_workbench.commands.cells import Cell
from mlops_workbench.commands.completion import names, pipeline_names, pipeline_run_ids
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.pipeline_graph import pipeline_view
from mlops_workbench.commands.pipeline_specs import migrate_pipeline, new_pipeline
from mlops_workbench.commands.values import parse_assignments
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import NotFound, WorkbenchError, did_you_mean
from mlops_workbench.core.ids import short_id
from mlops_workbench.core.pipelines import Pipeline, PipelineRun
from mlops_workbench.core.shown.formats import duration, moment

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
@click.option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="Parameter; repeatable.")
@click.option("--detach", is_flag=True, help="Return at once, without waiting for the run to end.")
@click.pass_obj
def run_pipeline(frontend: FrontEnd, name: str, params: tuple[str, ...], detach: bool) -> View:
    """Run pipeline NAME and wait for it."""
    values = parse_assignments(params)
    with frontend.client() as client:
        run = client.start_pipeline(name, values)
        if detach:
            return pipeline_run_view(run)
        shown: dict[str, str] = {}

        def progress(current: PipelineRun) -> None:
            for stage in current.stages:
                if shown.get(stage.name) != stage.state and stage.state != "pending":
                    shown[stage.name] = stage.state
                    frontend.progress(_stage_line(stage.name, stage.state, stage.start_ms, stage.end_ms, stage.message))

        run = client.wait_pipeline(run.id, progress=progress)
    view = pipeline_run_view(run)
    if run.state != "succeeded":
        raise PipelineFailed(
            f"pipeline run {short_id(run.id)} {run.state}: {run.message}",
            hint=f"'mlops pipeline show {short_id(run.id)}' shows its stages",
        )
    return view


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
            newest = next((run for run in runs if run.pipeline == reference), None)
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


class PipelineFailed(WorkbenchError):
    """The pipeline run failed or was cancelled."""

    code = "pipeline_failed"
    status = 409


def pipeline_run_view(run: PipelineRun) -> View:
    """A pipeline run with its stages."""
    facts: list[tuple[str, Cell]] = [
        ("state", run.state),
        ("started", f"{moment(run.start_ms)} ({run.reason})"),
        ("duration", duration((run.end_ms - run.start_ms) / 1000 if run.end_ms else None)),
        ("parameters", ", ".join(f"{name}={value}" for name, value in run.params.items()) or "–"),
    ]
    if run.published:
        facts.append(("published", run.published))
    if run.message:
        facts.append(("message", run.message))
    return View(
        f"pipeline {run.pipeline}, run {short_id(run.id)}",
        facts=facts,
        columns=("stage", "state", "cells", "duration", "message"),
        rows=[
            (s.name, s.state, f"{s.cells}/{s.cells_total}" if s.cells_total else None,
             duration((s.end_ms - s.start_ms) / 1000) if s.end_ms and s.start_ms else None, s.message or None)
            for s in run.stages
        ],
        data=run,
    )  # fmt: skip


def _runs_view(found: list[PipelineRun]) -> View:
    return View(
        "newest pipeline runs",
        columns=("id", "pipeline", "state", "reason", "started", "published"),
        rows=[(short_id(r.id), r.pipeline, r.state, r.reason, moment(r.start_ms), r.published or None) for r in found],
    )


def _stage_line(name: str, state: str, start_ms: int, end_ms: int, message: str) -> str:
    took = f" in {duration((end_ms - start_ms) / 1000)}" if end_ms and start_ms else ""
    return f"  {name}: {state}{took}" + (f" ({message})" if message else "")


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

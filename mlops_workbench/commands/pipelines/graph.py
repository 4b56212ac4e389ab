"""The view of a pipeline: its graph with the states of a run."""

from __future__ import annotations

from mlops_workbench.commands.cells import Cell
from mlops_workbench.commands.view import View
from mlops_workbench.core.ids import short_id
from mlops_workbench.core.pipelines import Pipeline, PipelineRun, PlannedRun, PlannedStage
from mlops_workbench.core.shown.formats import moment
from mlops_workbench.pipelines.graph.states import graph_stages
from mlops_workbench.pipelines.graph.svg import graph_svg
from mlops_workbench.pipelines.graph.text import graph_text


def pipeline_view(pipeline: Pipeline, run: PipelineRun | None, prog: str, planned: PlannedRun | None = None) -> View:
    """A pipeline: its graph with the state of each stage in its newest run, its parameters, and its problem.

    Parameters
    ----------
    pipeline : Pipeline
        The pipeline.
    run : PipelineRun or None
        Its newest run.
    prog : str
        How commands are written: ``mlops`` or ``%mlops``.
    planned : PlannedRun, optional
        What a run would do now.
    """
    title = f"pipeline {pipeline.name}"
    stages = graph_stages(pipeline, run)
    facts: list[tuple[str, Cell]] = [("spec", pipeline.path)]
    if run is not None:
        facts.append(("newest run", f"{short_id(run.id)} {run.state}, {moment(run.start_ms)} ({run.reason})"))
        if run.message:
            facts.append(("message", run.message))
        if run.published:
            facts.append(("published", run.published))
    if pipeline.problem:
        facts.append(("problem", pipeline.problem))
    notes = []
    if run is not None:
        notes.append(f"next: {prog} pipeline show {short_id(run.id)} for the run")
    elif not pipeline.problem:
        notes.append(f"next: {prog} pipeline run {pipeline.name}")
    if pipeline.version == 1 and pipeline.graph:
        notes.append(f"the spec has version 1: {prog} pipeline migrate {pipeline.name} writes it anew")
    parameters = View(
        "parameters",
        columns=("name", "type", "default", "help"),
        rows=[(p.name, p.type, None if p.default is None else str(p.default), p.help) for p in pipeline.params],
    )
    now = View(
        "a run now",
        columns=("stage", "would", "why"),
        rows=[(stage.name, *why_stage(stage)) for stage in (planned.stages if planned is not None else ())],
    )
    if run is not None:
        notes = [*(note for stage in run.stages for note in stage.notes), *notes]
    return View(
        title,
        facts=facts,
        block=graph_text(stages),
        svg=graph_svg(stages, title) if stages else "",
        sections=[section for section in (parameters, now) if section.rows],
        notes=notes,
        failed=False,
        data={"pipeline": pipeline, "run": run, "planned": planned},
    )


def why_stage(stage: PlannedStage) -> tuple[str, str]:
    """What would become of a stage, and why."""
    if stage.cached:
        same = f"nothing has changed since run {short_id(stage.cached_from)}"
        return "be reused", "; ".join(stage.reasons) or same
    return "run", "; ".join(stage.reasons)

"""Runs of pipelines and notebooks in the front ends: progress, result, and why they failed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlops_workbench.client.launch import find_running
from mlops_workbench.commands.cells import Cell
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import InvalidInput, NotFound, WorkbenchError, did_you_mean
from mlops_workbench.core.ids import short_id
from mlops_workbench.core.pipelines import PipelineRun, StageResult, StageRun
from mlops_workbench.core.shown.formats import duration, moment
from mlops_workbench.core.workspace import Workspace

if TYPE_CHECKING:
    from mlops_workbench.client.client import Client

#: Exit code of a shell command whose run finished, but published nothing, since a gate failed.
NOT_PUBLISHED = 3
#: Stages whose traceback is printed after a run; the others have failed for the same reason more often than not.
_MOST_TRACEBACKS = 3


class PipelineFailed(WorkbenchError):
    """The run of a pipeline or a notebook failed or was cancelled."""

    code = "pipeline_failed"
    status = 409


def client_to_run(frontend: FrontEnd) -> Client:
    """A client to start runs with; if the control plane has to be started, the processes of runs are prepared too."""
    if find_running(frontend.workspace) is None:
        threading.Thread(target=_prepare, args=(frontend.workspace,), daemon=True).start()
    return frontend.client()


def _prepare(workspace: Workspace) -> None:
    # Errors are reported when the run is started.
    with contextlib.suppress(WorkbenchError, OSError):
        from mlops_workbench.pipelines.execution.launch import prepare_runner

        prepare_runner(workspace)


def follow(frontend: FrontEnd, client: Client, run: PipelineRun) -> PipelineRun:
    """Wait until a run has ended, and show how far it is."""
    shown: dict[str, str] = {}

    def progress(current: PipelineRun) -> None:
        for stage in current.stages:
            line = stage_line(stage)
            if line and shown.get(stage.name) != line:
                shown[stage.name] = line
                frontend.progress(line)

    display = frontend.display()
    try:
        if display is None:
            return client.wait_pipeline(run.id, progress=progress)
        try:
            return client.watch_pipeline(run.id, display.show)
        finally:
            display.close()
    except KeyboardInterrupt:
        command, name = f"{frontend.prog} pipeline", short_id(run.id)
        frontend.progress(
            f"the run goes on: '{command} cancel {name}' ends it, '{command} watch {name}' shows it again"
        )
        raise


def find_run(found: Sequence[PipelineRun], text: str, what: str = "pipeline run") -> PipelineRun:
    """The newest run of a pipeline or notebook, or the run whose id begins or ends with a text.

    Parameters
    ----------
    found : sequence of PipelineRun
        Runs, newest first.
    text : str
        A name or a part of an id.
    what : str
        What is looked for, for the error.

    Raises
    ------
    NotFound
        It stands for none.
    InvalidInput
        It stands for several.
    """
    named = next((run for run in found if run.pipeline == text), None)
    if named is not None:
        return named
    matching = [run for run in found if text and (run.id.startswith(text) or run.id.endswith(text))]
    if len(matching) > 1:
        raise InvalidInput(f"'{text}' stands for {len(matching)} {what}s", hint="give more digits of the id")
    if not matching:
        raise NotFound(f"no {what} '{text}'", hint=did_you_mean(text, [short_id(run.id) for run in found]))
    return matching[0]


def conclude(frontend: FrontEnd, client: Client, run: PipelineRun, view: View) -> View:
    """The view of a run that has ended.

    Raises
    ------
    PipelineFailed
        It failed or was cancelled; the failing cells are shown before.
    """
    if run.state == "succeeded":
        return view
    if run.state == "not_published":
        frontend.progress(f"not published: {run.message}")
        view.exit_code = NOT_PUBLISHED
        return view
    results = client.pipeline_run_results(run.id)
    states = {stage.name: stage.state for stage in run.stages}
    failed = [result for result in results if states[result.stage] == "failed"]
    for text in failures(failed, notebooks=run.kind == "pipeline"):
        frontend.progress(text)
    executed = next((result.notebook for result in failed if result.notebook), "")
    command, ref = f"{frontend.prog} pipeline", short_id(run.id)
    show = f"'{command} show {ref}' shows its stages, '{command} resume {ref}' runs those again that did not succeed"
    raise PipelineFailed(
        f"{run.kind} run {short_id(run.id)} {run.state}" + (f": {run.message}" if run.message != run.state else ""),
        hint=f"the executed notebook is {executed}" if executed and run.kind == "notebook" else show,
    )


def failures(results: Sequence[StageResult], *, notebooks: bool = False) -> list[str]:
    """The cells that failed, each with the line that did, the traceback, and the executed notebook if asked for."""
    known = [result for result in results if result.traceback]
    texts = []
    for result in known[:_MOST_TRACEBACKS]:
        where = [result.stage]
        if result.cell:
            where.append(f"cell {result.cell}")
        if result.line:
            where.append(f"line {result.line}: {result.source.strip()}")
        lines = [f"  {line}" for line in _frames(result.traceback)]
        if notebooks and result.notebook:
            lines.append(f"  executed notebook: {result.notebook}")
        texts.append("\n".join(["", ", ".join(where), *lines]))
    if len(known) > _MOST_TRACEBACKS:
        texts.append(f"\nand {len(known) - _MOST_TRACEBACKS} more stages failed")
    return texts


def _frames(traceback: str) -> list[str]:
    """Lines of IPython's traceback without its heading, which repeats the name of the error."""
    lines = traceback.splitlines()
    return [
        line
        for number, line in enumerate(lines)
        if number > 1 or not (set(line) == {"-"} or line.endswith("Traceback (most recent call last)"))
    ]


def pipeline_run_view(run: PipelineRun) -> View:
    """A run with its stages."""
    return View(
        f"{run.kind} {run.pipeline}, run {short_id(run.id)}",
        facts=run_facts(run),
        columns=("stage", "state", "cells", "duration", "message"),
        rows=[
            (s.name, s.state, _cells(s), _took(s), "; ".join(filter(None, (s.message, _origin(s)))) or None)
            for s in run.stages
        ],
        notes=[note for stage in run.stages for note in stage.notes],
        data=run,
    )


def state_name(state: str) -> str:
    """The state of a run in words."""
    return "finished, not published" if state == "not_published" else state


def run_facts(run: PipelineRun) -> list[tuple[str, Cell]]:
    """State, times, parameters and outcome of a run."""
    facts: list[tuple[str, Cell]] = [
        ("state", state_name(run.state)),
        ("started", f"{moment(run.start_ms)} ({run.reason})"),
        ("duration", duration((run.end_ms - run.start_ms) / 1000 if run.end_ms else None)),
        ("parameters", ", ".join(f"{name}={value}" for name, value in run.params.items()) or "–"),
    ]
    if run.published:
        facts.append(("published", run.published))
    if run.message:
        facts.append(("message", run.message))
    return facts


def stage_line(stage: StageRun) -> str:
    """A line of progress; empty for a stage that waits for others."""
    if stage.state == "pending":
        # Between two attempts, the message has the reason of the failure.
        return f"  {stage.name}: {stage.message}" if stage.message else ""
    took = _took(stage)
    if stage.cached:
        return f"  {stage.name}: {stage.state}, {_origin(stage)}" + (f" ({stage.message})" if stage.message else "")
    return (
        f"  {stage.name}: {stage.state}"
        + (f" in {took}" if took else "")
        + (f" ({stage.message})" if stage.message else "")
    )


def _origin(stage: StageRun) -> str:
    return f"reused from run {short_id(stage.cached_from)}" if stage.cached else ""


def _cells(stage: StageRun) -> str | None:
    return f"{stage.cells}/{stage.cells_total}" if stage.cells_total and not stage.cached else None


def _took(stage: StageRun) -> str | None:
    if stage.cached:
        return None
    return duration((stage.end_ms - stage.start_ms) / 1000) if stage.end_ms and stage.start_ms else None

"""The stages of a pipeline with their states in a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mlops_workbench.core.pipelines import Pipeline, PipelineRun, PipelineStage, StageRun
from mlops_workbench.core.shown.formats import duration

#: From the state that says most about a stage with several instances to the one that says least.
_ORDER = ("failed", "cancelled", "refused", "running", "pending", "skipped", "succeeded")


@dataclass(frozen=True)
class GraphStage:
    """A stage in the graph.

    Attributes
    ----------
    level : int
        Number of stages on the longest way to it.
    state : str
        Its state in the run, of several instances the worst; empty if it did not take part.
    detail : str
        Instances, duration and reason in words.
    """

    name: str
    notebook: str
    needs: tuple[str, ...]
    level: int
    state: str = ""
    detail: str = ""


def graph_stages(pipeline: Pipeline, run: PipelineRun | None) -> list[GraphStage]:
    """Stages of a pipeline, each after those it needs.

    Parameters
    ----------
    pipeline : Pipeline
        The pipeline as it is now.
    run : PipelineRun or None
        A run, perhaps of an earlier version of it.
    """
    by_stage: dict[str, list[StageRun]] = {}
    for part in run.stages if run is not None else ():
        by_stage.setdefault(part.name.partition("@")[0], []).append(part)
    levels: dict[str, int] = {}
    found: list[GraphStage] = []
    for stage in pipeline.graph:
        levels[stage.name] = max((levels.get(need, 0) + 1 for need in stage.needs), default=0)
        runs = by_stage.get(stage.name, [])
        states = [part.state for part in runs]
        state = next((state for state in _ORDER if state in states), "")
        detail = _detail(stage, runs, state, ran=run is not None)
        found.append(GraphStage(stage.name, stage.notebook, tuple(stage.needs), levels[stage.name], state, detail))
    return found


def _detail(stage: PipelineStage, runs: Sequence[StageRun], state: str, *, ran: bool) -> str:
    parts: list[str] = []
    if stage.instances > 1:
        counts: Counter[str] = Counter(part.state for part in runs)
        shown = ", ".join(f"{counts[known]} {known}" for known in reversed(_ORDER) if counts[known])
        parts.append(f"{stage.instances} instances" + (f": {shown}" if shown else ""))
    if not runs:
        parts.append("not in that run" if ran else "never ran")
    begin = min((part.start_ms for part in runs if part.start_ms), default=0)
    end = max((part.end_ms for part in runs), default=0)
    cached = [part for part in runs if part.cached]
    if cached:
        parts.append("reused" if len(cached) == len(runs) else f"{len(cached)} reused")
    if begin and end and len(cached) < len(runs) and state not in ("running", "pending"):
        parts.append(duration((end - begin) / 1000))
    message = next((part.message for part in runs if part.state == state and part.message), "")
    if message:
        parts.append(" ".join(message.split()))
    return "; ".join(parts)

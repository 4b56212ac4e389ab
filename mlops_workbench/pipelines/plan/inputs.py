"""The files of an input, and its value for the notebook."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_workbench.core.errors import SpecError, did_you_mean
from mlops_workbench.notebooks.parameters.declared import Parameter
from mlops_workbench.pipelines.definition.nouns import InputSpec, PipelineSpec, StageSpec
from mlops_workbench.pipelines.plan.nouns import InputPlan, Matches, StagePlan
from mlops_workbench.pipelines.plan.order import needed_stages

_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Sources:
    """Where inputs come from: planned stages by stage and instance, files, and folders of the run."""

    spec: PipelineSpec
    made: Mapping[str, Mapping[str, StagePlan]]
    matches: Matches
    outputs: Callable[[str], Path]

    def complete(self, stage: StageSpec) -> bool:
        """Whether all stages that a stage needs are planned."""
        return all(self.made.get(name) for name in needed_stages(stage))

    def needs(self, stage: StageSpec) -> tuple[str, ...]:
        """Instances that must have succeeded before a stage."""
        return tuple(instance for name in needed_stages(stage) for instance in self.made[name])


def plan_input(sources: Sources, instance: str, name: str, entry: InputSpec, accept: Parameter | None) -> InputPlan:
    """Files and value of an input, not yet converted for the notebook.

    The value is a path; a list of paths for a notebook that declares a list, and for all instances of a matrix. For a
    pattern it is the pattern if the notebook declares something else than a list, and the list if it declares nothing.

    Raises
    ------
    SpecError
        No file matches.
    """
    listed = accept is not None and accept.type.kind in ("list", "tuple")
    if entry.kind == "stage":
        return _of_stage(sources, entry, listed)
    if entry.kind in ("dataset", "sql"):
        path = str(sources.outputs(instance).parent / "inputs" / f"{name}.parquet")
        return InputPlan(entry, (path,), [path] if listed else path)
    if entry.kind == "url":
        return InputPlan(entry, (entry.source,), [entry.source] if listed else entry.source)
    found, absolute = sources.matches(entry.source)
    if not found:
        raise _no_file(sources.spec, entry)
    several = accept is None and bool(_PATTERN.search(entry.source)) and found != [absolute]
    return InputPlan(entry, tuple(found), found if listed or several else absolute)


def _of_stage(sources: Sources, entry: InputSpec, listed: bool) -> InputPlan:
    source = sources.spec.stages[entry.source]
    paths = {name: made.outputs[entry.output].path for name, made in sources.made[entry.source].items()}
    if entry.choose:
        return InputPlan(entry, candidates={name: (path, [path] if listed else path) for name, path in paths.items()})
    files = tuple(paths.values())
    return InputPlan(entry, files, list(files) if listed or source.matrix else files[0])


def _no_file(spec: PipelineSpec, entry: InputSpec) -> SpecError:
    stage = entry.source.partition(".")[0]
    edge_like = stage.replace("-", "_").isidentifier() and entry.source.count(".") == 1
    return SpecError(
        f"no file matches '{entry.source}'" + (f", and there is no stage '{stage}'" if edge_like else ""),
        where=spec.where(entry.place),
        hint=did_you_mean(stage, spec.stages) if edge_like else "paths are relative to the folder of the spec",
    )

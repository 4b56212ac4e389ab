"""Specs of the pipelines of a workspace."""

from __future__ import annotations

import logging
import math
from pathlib import Path

from mlops_workbench.core.errors import NotFound, WorkbenchError, did_you_mean
from mlops_workbench.core.pipelines import Pipeline, PipelineParam, PipelineStage
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.notebooks.parameters.shown import shown
from mlops_workbench.pipelines.definition.file import read_spec
from mlops_workbench.pipelines.definition.nouns import PipelineSpec
from mlops_workbench.pipelines.plan.files import plan_spec
from mlops_workbench.pipelines.plan.order import needed_stages, stage_order
from mlops_workbench.pipelines.runs.folder import RunFolder

log = logging.getLogger("mlops_workbench.pipelines")

_ENDINGS = (".yaml", ".yml")


def list_pipelines(workspace: Workspace) -> list[Pipeline]:
    """Specs in the workspace's pipeline folder, by name; an invalid one has a problem."""
    found = []
    for name, path in sorted(spec_files(workspace).items()):
        try:
            found.append(_described(workspace, path))
        except Exception as error:
            # Whatever is wrong with one file, the others are listed.
            log.exception("%s cannot be read", path)
            found.append(Pipeline(name, str(path), problem=f"cannot be read: {type(error).__name__}: {error}"))
    return found


def spec_files(workspace: Workspace) -> dict[str, Path]:
    """Specs in the workspace's folder of pipelines, by the names of the pipelines."""
    try:
        paths = sorted(path for path in workspace.pipeline_specs.iterdir() if path.suffix in _ENDINGS)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    # A link to nowhere is listed, with its problem.
    return {path.stem: path for path in reversed(paths) if not path.is_dir() and not path.name.startswith(".")}


def find_spec(workspace: Workspace, name: str) -> Path:
    """File of a pipeline's spec.

    Raises
    ------
    NotFound
        There is no such pipeline.
    """
    specs = spec_files(workspace)
    if name not in specs:
        raise NotFound(
            f"there is no pipeline '{name}'", where=str(workspace.pipeline_specs), hint=did_you_mean(name, specs)
        )
    return specs[name]


def _described(workspace: Workspace, path: Path) -> Pipeline:
    where = str(path.relative_to(workspace.root)) if path.is_relative_to(workspace.root) else str(path)
    try:
        spec = read_spec(path)
    except WorkbenchError as error:
        return Pipeline(path.stem, where, problem=str(error))
    problem = ""
    try:
        plan_spec(spec, RunFolder(workspace.pipeline_runs / "none").outputs)
    except WorkbenchError as error:
        problem = str(error)
    params = [
        PipelineParam(name, str(param.type), None if param.required else shown(param.default), param.help)
        for name, param in spec.params.items()
    ]
    return Pipeline(path.stem, where, list(spec.stages), params, problem, _graph(spec), spec.version)


def _graph(spec: PipelineSpec) -> list[PipelineStage]:
    try:
        order = stage_order(spec)
    except WorkbenchError:
        return []  # a cycle, which is the problem of the pipeline
    return [
        PipelineStage(
            name,
            spec.stages[name].notebook,
            list(needed_stages(spec.stages[name])),
            math.prod(len(values) for values in spec.stages[name].matrix.values()),
            list(spec.stages[name].gate),
        )
        for name in order
    ]

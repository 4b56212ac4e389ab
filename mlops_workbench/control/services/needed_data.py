"""Files of the store with data that pipelines read as inputs."""

from __future__ import annotations

from mlops_workbench.core.errors import NotFound, WorkbenchError
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.definition.file import read_spec
from mlops_workbench.pipelines.inputs.dataset import find_dataset
from mlops_workbench.pipelines.plan.specs import find_spec, list_pipelines


def needed_data(workspace: Workspace) -> tuple[dict[str, str], list[str]]:
    """Digests of the snapshots that specs name as inputs, with the reason; and the pipelines that cannot be read."""
    found: dict[str, str] = {}
    unreadable = []
    for pipeline in list_pipelines(workspace):
        try:
            spec = read_spec(find_spec(workspace, pipeline.name))
        except (WorkbenchError, OSError):
            unreadable.append(pipeline.name)
            continue
        for stage in spec.stages.values():
            for entry in stage.inputs.values():
                if entry.kind == "dataset":
                    try:
                        snapshot = find_dataset(workspace, entry.source).snapshot
                    except NotFound:
                        continue
                    if snapshot:
                        found[snapshot] = "input of a pipeline"
    return found, unreadable

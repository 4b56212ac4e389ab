"""The order of stages."""

from __future__ import annotations

from collections.abc import Mapping

from mlops_workbench.core.errors import SpecError
from mlops_workbench.pipelines.definition.nouns import PipelineSpec, Place, StageSpec


def needed_stages(stage: StageSpec) -> dict[str, Place]:
    """Stages whose outputs a stage needs, each with the place of the first input."""
    found: dict[str, Place] = {}
    for entry in stage.inputs.values():
        if entry.kind == "stage":
            found.setdefault(entry.source, entry.place)
    return found


def stage_order(spec: PipelineSpec) -> list[str]:
    """Stages in topological order, otherwise in the order of the file.

    Raises
    ------
    SpecError
        Stages need each other in a cycle.
    """
    needs: Mapping[str, Mapping[str, Place]] = {name: needed_stages(stage) for name, stage in spec.stages.items()}
    done: dict[str, None] = {}
    # A list of the open stages instead of recursion: a chain may have thousands of stages.
    for first in spec.stages:
        path = [first]
        while path:
            name = path[-1]
            waiting = next((other for other in needs[name] if other not in done), None)
            if waiting is None:
                done[name] = None
                path.pop()
            elif waiting in path:
                cycle = [*path[path.index(waiting) :], waiting]
                raise SpecError(
                    f"stages need each other in a cycle: {' -> '.join(cycle)}",
                    where=spec.where(needs[name][waiting]),
                    hint="remove one of these inputs; an arrow means 'needs'",
                )
            else:
                path.append(waiting)
    return list(done)

"""Plans of stages that are made by hand, and their runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import psutil

from mlops_workbench.core import records
from mlops_workbench.core.ids import new_id
from mlops_workbench.core.pipelines import PipelineRun, StageRun
from mlops_workbench.core.wire.json_numbers import JsonNumber
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.journal import read_frames
from mlops_workbench.pipelines import service
from mlops_workbench.pipelines.definition.nouns import CacheSpec, InputSpec, OutputSpec, PipelineSpec, StageSpec
from mlops_workbench.pipelines.execution.launch import launch_runner, write_run
from mlops_workbench.pipelines.plan.nouns import InputPlan, OutputPlan, Plan, StagePlan
from mlops_workbench.pipelines.runs.folder import RunFolder

T = TypeVar("T")
DEADLINE = 150.0


class Plans:
    """Stages of a run that is being planned.

    Parameters
    ----------
    workspace : Workspace
        Its workspace; the spec and the notebooks are in its folder of specs.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.folder = RunFolder(workspace.pipeline_runs / new_id())
        self.stages: list[StagePlan] = []

    def stage(
        self,
        name: str,
        notebook: Path,
        *,
        needs: tuple[str, ...] = (),
        params: Mapping[str, object] | None = None,
        outputs: tuple[str, ...] = (),
        inputs: Mapping[str, tuple[str, str]] | None = None,
        choose: Mapping[str, tuple[str, str, tuple[str, ...]]] | None = None,
        **spec: Any,
    ) -> StagePlan:
        """Add a stage; `inputs` are (stage, output), those in `choose` (rule, output, instances).

        It is not taken from the cache, unless `cache` says so: tests look at what their stages do.
        """
        spec.setdefault("cache", CacheSpec(enabled=False))
        entries = {}
        for key, (source, output) in (inputs or {}).items():
            path = str(self.folder.outputs(source) / output)
            entries[key] = InputPlan(InputSpec("stage", source, output), (path,), path)
        for key, (rule, output, instances) in (choose or {}).items():
            paths = {one: str(self.folder.outputs(one) / output) for one in instances}
            source = instances[0].partition("@")[0]
            entries[key] = InputPlan(
                InputSpec("stage", source, output, choose=rule),
                tuple(paths.values()),
                candidates={one: (path, path) for one, path in paths.items()},
            )
            needs = (*needs, *instances)
        stage = StagePlan(
            name=name,
            spec=StageSpec(name.partition("@")[0], notebook.name, **spec),
            notebook=notebook,
            needs=needs + tuple(source for source, _ in (inputs or {}).values()),
            params=dict(params or {}),
            inputs=entries,
            outputs={
                key: OutputPlan(OutputSpec(key), path, path)
                for key in outputs
                for path in [str(self.folder.outputs(name) / key)]
            },
        )
        self.stages.append(stage)
        return stage

    def start(self, champion: Mapping[str, JsonNumber | None] | None = None) -> str:
        """Start the run and return its id."""
        path = self.workspace.pipeline_specs / "planned.yaml"
        path.parent.mkdir(exist_ok=True)
        path.touch()
        spec = PipelineSpec("planned", path, "default", {stage.spec.name: stage.spec for stage in self.stages})
        write_run(self.workspace, self.folder, Plan(spec, {}, tuple(self.stages)), "manual", champion)
        launch_runner(self.workspace, self.folder)
        return self.folder.path.name

    def run(self, champion: Mapping[str, JsonNumber | None] | None = None) -> PipelineRun:
        """Run to the end."""
        return finished(self.workspace, self.start(champion))


def until(found: Callable[[], T | None]) -> T:
    """Wait until `found` returns something."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        value = found()
        if value is not None:
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def finished(workspace: Workspace, run_id: str) -> PipelineRun:
    """The run, after its end; pytest shows what is printed here if the test fails."""

    def over() -> PipelineRun | None:
        run = service.read_run(workspace, run_id)
        return run if run.state not in ("pending", "running") else None

    run = until(over)
    print(f"run {run_id} is {run.state}: {run.message}")
    for stage in run.stages:
        print(f"  {stage.name} is {stage.state}: {stage.message}")
    for log in sorted(RunFolder(workspace.pipeline_runs / run_id).path.rglob("*.log")):
        print(f"  {log.name}: {log.read_text(errors='replace')[-4000:]}")
    return run


def stage_of(run: PipelineRun, name: str) -> StageRun:
    """A stage of a run."""
    return next(stage for stage in run.stages if stage.name == name)


def records_of(workspace: Workspace, kind: type[T], uid: str = "") -> list[T]:
    """Records of a kind, and of a run if one is given, in the journals of a workspace."""
    found = []
    for path in sorted(workspace.journal.glob("*.mlj")):
        found += [records.decode(frame.type, frame.payload) for frame in read_frames(path)]
    return [one for one in found if isinstance(one, kind) and (not uid or one.run_uid == uid)]


def gone(processes: list[psutil.Process]) -> bool | None:
    return not any(living(process) for process in processes) or None


def living(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

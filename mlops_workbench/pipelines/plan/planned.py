"""What a plan would run, as it is shown; and whether its secrets are there."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.pipelines import PlannedRun, PlannedStage
from mlops_workbench.notebooks.parameters.shown import shown
from mlops_workbench.pipelines.plan.nouns import InputPlan, Plan, StagePlan

#: What marks a connection that is in an environment variable.
_IN_ENVIRONMENT = "secret:"


def planned_run(plan: Plan) -> PlannedRun:
    """A plan as it is shown."""
    return PlannedRun(
        plan.spec.name,
        {name: shown(value) for name, value in plan.params.items()},
        [_planned_stage(stage) for stage in plan.stages],
    )


def _planned_stage(stage: StagePlan) -> PlannedStage:
    return PlannedStage(
        name=stage.name,
        notebook=stage.spec.notebook,
        needs=list(stage.needs),
        params={name: shown(value) for name, value in stage.params.items()},
        secrets=dict(stage.secrets),
        inputs={name: _source(entry) for name, entry in stage.inputs.items()},
        outputs={name: entry.spec.path for name, entry in stage.outputs.items()},
    )


def _source(entry: InputPlan) -> str:
    spec = entry.spec
    if spec.kind != "stage":
        several = f" ({len(entry.files)} files)" if len(entry.files) > 1 else ""
        return f"{spec.source}{several}"
    source = f"{spec.source}.{spec.output}"
    if spec.choose:
        return f"{source}[{spec.choose}] of {len(entry.candidates)} instances"
    return source + (f" of {len(entry.files)} instances" if len(entry.files) > 1 else "")


def check_secrets(stages: Iterable[StagePlan]) -> None:
    """Check that the environment of this process, which stages get, has the secrets of these.

    Raises
    ------
    InvalidInput
        A variable is not set; the message names all of them.
    """
    missing: dict[str, str] = {}
    for stage in stages:
        needed = {variable: f"parameter '{name}'" for name, variable in stage.secrets.items()}
        for name, entry in stage.inputs.items():
            if entry.spec.connection.startswith(_IN_ENVIRONMENT):
                needed[entry.spec.connection.removeprefix(_IN_ENVIRONMENT)] = f"the connection of input '{name}'"
        for variable, what in needed.items():
            if variable not in os.environ:
                missing.setdefault(variable, f"{what} of stage '{stage.name}'")
    if missing:
        named = ", ".join(f"{variable} ({what})" for variable, what in missing.items())
        raise InvalidInput(
            f"a secret is not in the environment of the process that starts the stages: {named}",
            where=f"process {os.getpid()}, started in {Path.cwd()}",
            hint="set the variable where the control plane starts: stop it with 'mlops down --keep-endpoints', and "
            f"start it with {next(iter(missing))}=... mlops up",
        )

"""Completion of names, from a control plane that is already running."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.shown.plain_text import visible
from mlops_workbench.core.workspace import Workspace

if TYPE_CHECKING:
    from mlops_workbench.client.client import Client

Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def names(find: Callable[[Client], Iterable[str]]) -> Completer:
    """A completer over names from the control plane; it offers nothing while none runs."""

    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        # Imported here: an HTTP client takes longer to import than all commands, and --help does not need it.
        from mlops_workbench.client.client import Client

        frontend: FrontEnd | None = context.find_object(object)  # type: ignore[assignment]
        try:
            workspace = frontend.workspace if frontend is not None else Workspace.find()
            # Completion must be quick and change nothing, so it does not start a control plane.
            with Client.connect(workspace, start=False) as client:
                found = {name for name in find(client) if name.startswith(incomplete)}
                # A shell prints completions as they are.
                return sorted(name for name in found if visible(name) == name and "\n" not in name)
        except WorkbenchError:
            return []

    return complete


run_names = names(lambda client: [run.name for run in client.runs(limit=200)])
experiment_names = names(lambda client: [experiment.name for experiment in client.experiments()])
model_names = names(lambda client: [model.name for model in client.models()])
endpoint_names = names(lambda client: [endpoint.name for endpoint in client.endpoints()])
pipeline_names = names(lambda client: [pipeline.name for pipeline in client.pipelines()])
pipeline_run_ids = names(lambda client: [run.id for run in client.pipeline_runs()])
model_references = names(
    lambda client: [f"{model.name}@{alias}" for model in client.models() for alias in model.aliases]
)

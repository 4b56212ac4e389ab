"""Plans a run of a single notebook, and writes it to its folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_workbench.core.errors import InvalidInput, NotFound
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.notebooks.document import read_notebook
from mlops_workbench.notebooks.parameters.check import check_values
from mlops_workbench.notebooks.parameters.inject import check_variable
from mlops_workbench.notebooks.parameters.shown import shown
from mlops_workbench.pipelines.definition.nouns import CacheSpec, StageSpec
from mlops_workbench.pipelines.execution.launch import write_stage
from mlops_workbench.pipelines.plan.nouns import NotebookFacts, StagePlan
from mlops_workbench.pipelines.runs.folder import RunFolder, write_struct
from mlops_workbench.pipelines.runs.requests import RunRequest

if TYPE_CHECKING:
    from nbformat import NotebookNode

_LONGEST_NAME = 250


@dataclass(frozen=True)
class NotebookOptions:
    """How a notebook is run.

    Attributes
    ----------
    params : mapping
        Values for its parameters.
    secrets : mapping
        Parameters to the environment variables that hold their values.
    name : str
        Name of the run; by default that of the notebook.
    experiment : str
        Experiment of the run; by default that of the workspace.
    timeout : float or None
        Seconds that it may take.
    output : Path or None
        Absolute path to which the executed notebook is copied.
    """

    params: Mapping[str, object] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    experiment: str = ""
    timeout: float | None = None
    output: Path | None = None


def plan_notebook(notebook: NotebookFacts, options: NotebookOptions) -> StagePlan:
    """Check the options against a notebook, and plan its run; pure.

    Raises
    ------
    InvalidInput
        A value does not fit, is missing or is for no parameter; the notebook is not a Python notebook; the timeout is
        no time.
    """
    name = notebook.path.name
    if notebook.language != "python":
        raise InvalidInput(
            f"'{name}' is written in {notebook.language}",
            where=str(notebook.path),
            hint="notebooks of Python can be run with parameters and tracked",
        )
    if options.timeout is not None and not 0 < options.timeout < math.inf:
        raise InvalidInput(f"a timeout of {options.timeout:g} s is not possible", hint="give a time above zero: 10m")
    for text, what in ((options.name, "a run"), (options.experiment, "an experiment")):
        if len(text) > _LONGEST_NAME:
            raise InvalidInput(
                f"'{text[:80]}...' cannot be the name of {what}", hint=f"use at most {_LONGEST_NAME} characters"
            )
    for variable in options.secrets.values():
        check_variable(variable)
    values = check_values(notebook.parameters, options.params, owner=f"notebook '{name}'", supplied=options.secrets)
    # The name of a folder.
    stage = notebook.path.stem.strip(".") or "notebook"
    return StagePlan(
        name=stage,
        # Who runs a notebook wants it to run.
        spec=StageSpec(stage, name, timeout=options.timeout, cache=CacheSpec(enabled=False)),
        notebook=notebook.path,
        params=values,
        secrets=dict(options.secrets),
    )


def check_output(notebook: Path, output: Path) -> None:
    """Check that the executed notebook can be written to a path.

    Raises
    ------
    InvalidInput
        It is the notebook itself, a folder, or no name of a notebook.
    NotFound
        Its folder does not exist.
    """
    if output.suffix != ".ipynb":
        raise InvalidInput(f"the output '{output.name}' is not a notebook", hint="give it a name that ends in .ipynb")
    if output.is_dir():
        raise InvalidInput(f"the output '{output}' is a folder", hint="give the name of a file in it")
    if not output.parent.is_dir():
        raise NotFound(f"there is no folder '{output.parent}' for the output", hint="make it first")
    if output.exists() and output.samefile(notebook):
        raise InvalidInput("the output is the notebook itself, which a run never changes", hint="give another name")


def write_notebook_run(
    workspace: Workspace,
    folder: RunFolder,
    stage: StagePlan,
    options: NotebookOptions,
    reason: str,
    read: Callable[[Path], NotebookNode] = read_notebook,
) -> None:
    """Write the planned run of a notebook to its folder; the request is written last, since it makes the run exist.

    `read` returns the notebook of a path, which is not changed.

    Raises
    ------
    InvalidInput
        A value cannot be injected.
    StorageError
        The folder cannot be written.
    """
    inside = stage.notebook.is_relative_to(workspace.root)
    request = RunRequest(
        id=folder.path.name,
        pipeline=str(stage.notebook.relative_to(workspace.root) if inside else stage.notebook),
        name=_line(options.name) or stage.name,
        kind="notebook",
        reason=reason,
        workspace=str(workspace.root),
        experiment=_line(options.experiment) or workspace.settings.tracking.experiment,
        created_ms=now_ms(),
        workers=1,
        params={name: shown(value) for name, value in stage.params.items()},
        stages=[write_stage(folder, stage, read)],
        output=str(options.output) if options.output is not None else "",
    )
    write_struct(folder.request, request)


def _line(text: str) -> str:
    """The text as one line."""
    return "".join(character if character.isprintable() else " " for character in text).strip()

"""Writes a first spec for notebooks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops_workbench.core.errors import Conflict, WorkbenchError
from mlops_workbench.core.files import write_atomic
from mlops_workbench.core.ids import check_name
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.notebooks.document import PARAMETERS_TAG, code_cells, read_notebook, tagged_cell
from mlops_workbench.notebooks.files import notebook_files
from mlops_workbench.notebooks.parameters.declared import notebook_parameters
from mlops_workbench.notebooks.source import cell_tree
from mlops_workbench.pipelines.definition.file import parse_spec
from mlops_workbench.pipelines.definition.schema import write_schema
from mlops_workbench.pipelines.drafts.stages import NotebookDraft, StageDraft, draft_stages
from mlops_workbench.pipelines.drafts.text import spec_text
from mlops_workbench.pipelines.plan.files import plan_spec, transform_cell


@dataclass(frozen=True)
class NewSpec:
    """A spec that was written: its file, text and stages, and what keeps it from running."""

    path: Path
    text: str
    stages: list[StageDraft]
    problems: list[str]


def new_spec(workspace: Workspace, notebooks: Sequence[Path], name: str, *, force: bool = False) -> NewSpec:
    """Write a first spec into the workspace's folder of pipelines, and check it.

    Parameters
    ----------
    workspace : Workspace
        The workspace.
    notebooks : sequence of Path
        Notebooks in the order in which they run if no file connects them.
    name : str
        Name of the pipeline.
    force : bool
        Whether an existing spec is replaced.

    Raises
    ------
    Conflict
        There is such a pipeline.
    InvalidInput, NotFound
        The name is not valid, or a notebook cannot be read.
    """
    check_name("pipeline", name)
    folder = workspace.pipeline_specs
    existing = next((path for path in (folder / f"{name}.yaml", folder / f"{name}.yml") if path.exists()), None)
    if existing is not None and not force:
        raise Conflict(
            f"there is a pipeline '{name}' already", where=str(existing), hint="choose a --name, or add --force"
        )
    path = existing or folder / f"{name}.yaml"
    # The notebooks are found by paths through this folder.
    folder.mkdir(parents=True, exist_ok=True)
    stages = draft_stages([_read(notebook) for notebook in notebooks], folder)
    schema = Path(os.path.relpath(write_schema(workspace), folder)).as_posix()
    text = spec_text(stages, schema)
    problems: list[str] = []
    try:
        plan_spec(parse_spec(text, path), lambda stage: workspace.pipeline_runs / "none" / stage)
    except WorkbenchError as error:
        # Its lines move by the comments, so that they are left out.
        problems = [line.removeprefix(f"{path}:") for line in str(error).splitlines()]
        added = 1 + len(problems)
        problems = [_moved(line, added) for line in problems]
        text = spec_text(stages, schema, problems)
    write_atomic(path, text)
    return NewSpec(path, text, stages, problems)


def _moved(line: str, by: int) -> str:
    """A message that begins with line and column, with the line after comments were added above."""
    number, colon, rest = line.partition(":")
    return f"line {int(number) + by}, column {rest}" if colon and number.isdigit() else line


def _read(path: Path) -> NotebookDraft:
    notebook = read_notebook(path)
    parameters = notebook_parameters(notebook, where=path.name)
    trees = [cell_tree(source, transform_cell) for _, source in code_cells(notebook)]
    tagged = tagged_cell(notebook, PARAMETERS_TAG) is not None
    return NotebookDraft(Path(os.path.abspath(path)), parameters, notebook_files(trees, parameters), tagged)

"""Makes an input of a stage, in the stage's process."""

from __future__ import annotations

from pathlib import Path

from mlops_workbench.core.errors import InvalidInput, NotFound, WorkbenchError
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.inputs.dataset import write_dataset
from mlops_workbench.pipelines.inputs.query import write_query
from mlops_workbench.pipelines.inputs.url import check_url
from mlops_workbench.pipelines.runs.requests import InputRequest


def materialise(workspace: Workspace, name: str, entry: InputRequest) -> list[str]:
    """Make an input, and return its paths or URLs.

    A data set of the workspace and the result of a query are written as Parquet to the path of the request; files and
    URLs are only looked for, so that a notebook does not run for hours before it misses one.

    Parameters
    ----------
    workspace : Workspace
        Workspace of the run.
    name : str
        Name of the input, for the errors.
    entry : InputRequest
        The input.

    Raises
    ------
    InvalidInput, NotFound
        It cannot be made; the message names the input, and no password or secret.
    """
    try:
        if entry.kind == "dataset":
            write_dataset(workspace, entry.source, Path(entry.files[0]))
        elif entry.kind == "sql":
            write_query(workspace.root, entry.source, entry.connection, Path(entry.files[0]))
        elif entry.kind == "url":
            for url in entry.files:
                check_url(url)
        else:
            _look_for(entry.files)
    except (InvalidInput, NotFound) as error:
        raise type(error)(f"input '{name}': {error.message}", where=error.where, hint=error.hint) from error
    except (WorkbenchError, OSError) as error:
        raise InvalidInput(f"input '{name}': {getattr(error, 'message', error)}") from error
    return list(entry.files)


def _look_for(files: list[str]) -> None:
    missing = [file for file in files if not Path(file).exists()]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise NotFound(f"{missing[0]}{others} does not exist any more", hint="restore it, or start the run again")

"""The executed notebook of an attempt whose process was killed before it could record the end."""

from __future__ import annotations

import datetime
from pathlib import Path

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.notebooks.document import read_notebook, write_notebook

_NAME = "ProcessDied"


def record_death(executed: Path, message: str) -> None:
    """Mark the cell that ran as failed, unless the notebook has an end.

    A notebook that is missing or damaged is left as it is.

    Parameters
    ----------
    executed : Path
        The executed notebook.
    message : str
        What ended the process.
    """
    from mlops_workbench.notebooks.format import nbformat

    try:
        notebook = read_notebook(executed)
    except WorkbenchError:
        return
    about = notebook.metadata.get("papermill")
    if not isinstance(about, dict) or about.get("end_time"):
        return
    about |= {"end_time": datetime.datetime.now(datetime.UTC).isoformat(), "exception": True}
    for cell in notebook.cells:
        state = cell.metadata.get("papermill", {})
        if state.get("status") == "running":
            state |= {"status": "failed", "exception": True, "end_time": about["end_time"]}
            if cell.cell_type == "code":
                cell.outputs.append(
                    nbformat.v4.new_output("error", ename=_NAME, evalue=message, traceback=[f"{_NAME}: {message}"])  # type: ignore[no-untyped-call]
                )
    write_notebook(notebook, executed)

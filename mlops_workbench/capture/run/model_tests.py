"""The tests of a model: the cells of its notebook that are tagged ``model-test``."""

from __future__ import annotations

import os
from pathlib import Path

from mlops_workbench.capture.kernel.place import notebook_path, shell
from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.stage_io import STAGE_VARIABLE, read_stage_io
from mlops_workbench.notebooks.tagged import tagged_sources

TAG = "model-test"
#: Largest notebook file that is read.
_MAX_BYTES = 64 << 20


def model_tests() -> str:
    """Return the sources of the cells as Python, empty without any; the notebook file has them as last saved."""
    path = Path(_stage_notebook() or notebook_path())
    if path.suffix != ".ipynb":
        return ""
    try:
        if path.stat().st_size > _MAX_BYTES:
            return ""
        sources = tagged_sources(path.read_bytes(), TAG)
    except (OSError, ValueError):
        return ""
    session = shell()
    # Magics and shell commands are no Python until IPython has rewritten them.
    return "\n\n".join(session.transform_cell(source) if session is not None else source for source in sources)


def _stage_notebook() -> str:
    """The notebook of the stage that this kernel runs, empty outside of one."""
    file = os.environ.get(STAGE_VARIABLE)
    if not file:
        return ""
    try:
        return read_stage_io(Path(file)).notebook
    except StorageError:
        return ""

"""Capture brings nothing of the user's field into a kernel."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

FORBIDDEN = {
    *("mlflow", "pandas", "sklearn", "numpy", "plotly", "pyarrow", "scipy", "matplotlib", "skops", "cloudpickle"),
    *("duckdb", "pandera", "fastapi", "starlette", "uvicorn", "tornado", "sqlalchemy", "alembic", "pydantic"),
    *("httpx", "requests", "aiohttp", "flask", "rich", "typer", "click", "psutil"),
}

SCRIPT = r"""
import sys
import mlops_workbench
from mlops_workbench import track, log, log_param, log_params, log_artifact, tag
from mlops_workbench.capture import set_experiment, current_session
from IPython.core.interactiveshell import InteractiveShell
set_experiment("e")
with track("r", tags={"a": 1}) as run:
    log(auc=0.9)
    log_params(depth=3)
    log_artifact(b"x", "x.txt")
    tag(b=2)
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "mlops_workbench")
done = shell.run_cell("%%track cell\ndepth = 3\nmodel = dict(a=depth)\nscore = max(model)", store_history=True)
done.raise_error()
assert current_session().current_run() is None
print(" ".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_tracking_imports_none_of_the_libraries_of_the_field(workspace):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "MLOPS_WORKSPACE": str(workspace.root)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "run cell - FINISHED" in done.stdout
    assert "mlops_workbench" in loaded and not loaded & FORBIDDEN
    assert done.stderr == ""

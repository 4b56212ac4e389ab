"""Address of a run's page."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from mlops_workbench.core.addresses import without_credentials
from mlops_workbench.core.workspace import Workspace

#: URL parameter with which JupyterLab opens the page of a run.
PARAMETER = "mlops-run"

#: Returns MLflow's id of a run for the index file and the run's uid, empty when it is unknown.
RunIdOf = Callable[[Path, str], str]


def run_address(workspace: Workspace, uid: str, run_id_of: RunIdOf | None) -> str:
    """Return the address of a run's page.

    With an MLflow server this is the run's page there, or the server's start page until the run is delivered;
    otherwise the page in the JupyterLab of this kernel; empty when there is none.
    """
    uri = workspace.settings.tracking.uri
    if uri.startswith(("http://", "https://")):
        run_id = run_id_of(workspace.index, uid) if run_id_of is not None else ""
        page = without_credentials(uri).rstrip("/")
        return f"{page}/#/runs/{run_id}" if run_id else page
    server = jupyter_address()
    return f"{server}lab?{PARAMETER}={uid}" if server else ""


def jupyter_address() -> str:
    """Return the address of the Jupyter server that started this process, without its token; empty without one."""
    parent = os.environ.get("JPY_PARENT_PID", "")
    if not parent.isdecimal():
        return ""
    try:
        from jupyter_core.paths import jupyter_runtime_dir

        url = str(json.loads((Path(jupyter_runtime_dir()) / f"jpserver-{parent}.json").read_text())["url"])
    except (ImportError, OSError, ValueError, KeyError, TypeError):
        return ""
    return url if url.endswith("/") else f"{url}/"

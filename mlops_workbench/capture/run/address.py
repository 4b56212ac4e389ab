"""Where a person can look at a run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from mlops_workbench.core.addresses import without_credentials
from mlops_workbench.core.workspace import Workspace

#: JupyterLab with the Workbench opens the page of the run that this part of its address names.
PARAMETER = "mlops-run"

#: Gives MLflow's id of a run by the index file and the run's uid, empty when it is not known.
RunIdOf = Callable[[Path, str], str]


def run_address(workspace: Workspace, uid: str, run_id_of: RunIdOf | None) -> str:
    """Address of a run's page.

    Parameters
    ----------
    workspace : Workspace
        Workspace of the run.
    uid : str
        The run.
    run_id_of : callable or None
        Reads MLflow's id of the run from the index.

    Returns
    -------
    str
        With an MLflow server the run's page there, or the server's first page until the run is delivered. Otherwise
        the page in the JupyterLab that this kernel belongs to; empty when there is none.
    """
    uri = workspace.settings.tracking.uri
    if uri.startswith(("http://", "https://")):
        run_id = run_id_of(workspace.index, uid) if run_id_of is not None else ""
        page = without_credentials(uri).rstrip("/")
        return f"{page}/#/runs/{run_id}" if run_id else page
    server = jupyter_address()
    return f"{server}lab?{PARAMETER}={uid}" if server else ""


def jupyter_address() -> str:
    """Address of the Jupyter server that started this process, without its token; empty when there is none."""
    parent = os.environ.get("JPY_PARENT_PID", "")
    if not parent.isdecimal():
        return ""
    try:
        from jupyter_core.paths import jupyter_runtime_dir

        told = json.loads((Path(jupyter_runtime_dir()) / f"jpserver-{parent}.json").read_text())
        url = str(told["url"])
    except (ImportError, OSError, ValueError, KeyError, TypeError):
        return ""
    return url if url.endswith("/") else f"{url}/"

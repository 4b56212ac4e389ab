"""A real Jupyter server on a workspace with a real control plane."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# As a plug-in of the whole test run, its event loop would be every test's; here it is that of this folder's tests.
from pytest_jupyter.jupyter_core import *  # noqa: F403
from pytest_jupyter.jupyter_core import pytest_pycollect_makeitem, pytest_pyfunc_call  # noqa: F401
from pytest_jupyter.jupyter_server import *  # noqa: F403
from pytest_jupyter.pytest_tornasync import *  # noqa: F403
from stopping import stop

from mlops_workbench.client.launch import ensure_running
from mlops_workbench.core.workspace import Workspace


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace that a module's tests share; its control plane ends with them."""
    folder = tmp_path_factory.mktemp("server") / "wörk space"
    folder.mkdir()
    workspace = Workspace.init(folder)
    yield workspace
    stop(workspace)


@pytest.fixture(scope="module")
def control(root: Workspace) -> tuple[str, str]:
    """URL and token of the workspace's running control plane."""
    return ensure_running(root)


@pytest.fixture
def jp_root_dir(root: Workspace) -> Path:
    return root.root


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    return {
        "ServerApp": {
            "jpserver_extensions": {"mlops_workbench": True, "jupyter_server_terminals": False},
            "allow_unauthenticated_access": False,
            "reraise_server_extension_failures": True,
        }
    }

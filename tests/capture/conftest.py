"""Sessions and kernels of the tests of capture."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kernels import Kernel, Records

from mlops_workbench.capture.kernel.notices import _told
from mlops_workbench.capture.session import session as session_module
from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.workspace import Workspace


@pytest.fixture
def session(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """The session of this process, as if it had just been started in the workspace."""
    monkeypatch.setenv("MLOPS_WORKSPACE", str(workspace.root))
    _told.clear()
    fresh = Session()
    monkeypatch.setattr(session_module, "_session", fresh)
    yield fresh
    fresh.close()


@pytest.fixture
def records(workspace: Workspace) -> Records:
    return Records(workspace.root)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """One kernel for the tests of a module, in a folder with a space and a non-ASCII letter."""
    root = tmp_path_factory.mktemp("arbeit mit kernen ü")
    Workspace.init(root)
    started = Kernel(root)
    yield started
    started.close()

"""MLflow code with ``mlops://`` and an MLflow server, which chooses run ids."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import mlflow_scenarios as scenarios
import pytest
from mlflow_server import free_port, mlflow_server
from test_plugin_oracle import forget, watch

from mlops_workbench.core.workspace import FILE, Workspace

pytestmark = pytest.mark.process

#: What a server adds: ids, places and pages of its own.
SCENARIOS = [
    scenarios.plain_run, scenarios.every_read, scenarios.own_times, scenarios.odd_values, scenarios.nested_runs,
    scenarios.searching, scenarios.resuming, scenarios.batches, scenarios.artifacts, scenarios.data, scenarios.models,
    scenarios.failing, scenarios.autologging,
]  # fmt: skip


@pytest.fixture(scope="module")
def server(mlflow_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An MLflow server that runs."""
    import time
    import urllib.request

    folder, port = tmp_path_factory.mktemp("server"), free_port()
    shutil.copyfile(mlflow_database, folder / "server.db")
    with mlflow_server(folder, port):
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < deadline, (folder / "server.log").read_text()
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def mlflow_state() -> Iterator[None]:
    yield
    forget()
    mlflow.set_tracking_uri(None)


def served_by(workspace: Workspace, uri: str) -> None:
    (workspace.root / FILE).write_text(f'[tracking]\nuri = "{uri}"\n', encoding="utf-8")


@pytest.mark.some(12)
@pytest.mark.timeout(300)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_mlflow_code_sees_the_same_with_a_server(
    scenario, server: str, workspace: Workspace, mlflow_database: Path, tmp_path: Path, mlflow_state: None, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    served_by(workspace, server)
    shutil.copyfile(mlflow_database, tmp_path / "direct.db")
    expected = watch(scenario, f"sqlite:///{tmp_path / 'direct.db'}", tmp_path / "direct", served=True)
    found = watch(scenario, f"mlops://{workspace.root}", tmp_path / "journalled", served=True)
    assert found == expected

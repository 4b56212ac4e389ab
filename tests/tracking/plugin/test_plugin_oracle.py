"""MLflow code sees through ``mlops://`` what it sees with MLflow's own SQL store: MLflow is the oracle."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import mlflow_scenarios as scenarios
import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from mlops_workbench.core.workspace import Workspace


@pytest.fixture
def mlflow_state() -> Iterator[None]:
    """MLflow's global state is as it was before, afterwards."""
    yield
    forget()
    mlflow.set_tracking_uri(None)


def forget() -> None:
    from mlflow.tracking import fluent

    while mlflow.active_run():
        mlflow.end_run()
    fluent._active_experiment_id = None
    for name in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI"):
        os.environ.pop(name, None)


def watch(
    scenario: Callable[[scenarios.Seen, Path], None], uri: str, folder: Path, *, served: bool = False
) -> list[str]:
    folder.mkdir()
    forget()
    mlflow.set_tracking_uri(uri)
    seen = scenarios.Seen(served=served)
    try:
        scenario(seen, folder)
    finally:
        while mlflow.active_run():
            mlflow.end_run()
    client = MlflowClient()
    if served:
        return seen.lines
    for experiment in sorted(
        client.search_experiments(view_type=ViewType.ALL), key=lambda item: int(item.experiment_id)
    ):
        seen("experiment", [experiment.experiment_id, experiment.name, experiment.lifecycle_stage, experiment.tags])
        if scenario is scenarios.autologging:
            continue
        runs = client.search_runs(
            [experiment.experiment_id], run_view_type=ViewType.ALL, order_by=["attributes.run_name", "start_time"]
        )
        for run in runs:
            seen("stored", run)
            seen("files", scenarios.files(run.info.run_id))
            for key in sorted(scenarios.run_facts(run)["metrics"]):
                seen(f"history of {key}", client.get_metric_history(run.info.run_id, key))
    return seen.lines


@pytest.mark.parametrize("scenario", scenarios.SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_mlflow_code_sees_the_same_as_with_mlflows_own_store(
    scenario: Callable[[scenarios.Seen, Path], None],
    stored_workspace: Workspace,
    mlflow_database: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mlflow_state: None,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(mlflow_database, tmp_path / "direct.db")
    expected = watch(scenario, f"sqlite:///{tmp_path / 'direct.db'}", tmp_path / "direct")
    found = watch(scenario, f"mlops://{stored_workspace.root}", tmp_path / "journalled")
    assert found == expected

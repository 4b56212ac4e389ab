"""Passwords and keys that MLflow code logs through ``mlops://`` stay out of the journal and out of MLflow."""

from __future__ import annotations

from collections.abc import Iterator

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag
from mlflow.exceptions import MlflowException
from test_plugin_oracle import forget

from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest

PASSWORD = "Tr0ub4dor-hunter"
ADDRESS = f"postgresql://ann:{PASSWORD}@db.example.org/sales"
TOKEN = "hf_" + "aB3dE6gH9jK2mN5p" * 2


@pytest.fixture
def workspace_of_mlflow(stored_workspace: Workspace) -> Iterator[Workspace]:
    """The workspace that MLflow code logs to; MLflow's global state is as before, afterwards."""
    forget()
    mlflow.set_tracking_uri(f"mlops://{stored_workspace.root}")
    yield stored_workspace
    forget()
    mlflow.set_tracking_uri(None)


def leaks(workspace: Workspace) -> list[str]:
    """Files of the workspace that hold a secret once everything is delivered."""
    with Ingest(workspace) as ingest:
        while ingest.step():
            pass
        ingest.drain(timeout=120)
    files = [path for path in workspace.root.rglob("*") if path.is_file()]
    assert any(path.suffix == ".mlj" for path in files)
    secrets = (PASSWORD.encode(), TOKEN.encode())
    return [path.name for path in files if any(secret in path.read_bytes() for secret in secrets)]


def test_a_secret_parameter_can_be_logged_again(workspace_of_mlflow: Workspace) -> None:
    settings = {"hub_token": TOKEN, "db_url": ADDRESS, "depth": 3}
    with mlflow.start_run() as run:
        mlflow.log_params(settings)
        mlflow.log_params(settings)
        for name, value in settings.items():
            mlflow.log_param(name, value)
        with pytest.raises(MlflowException, match="Changing param values"):
            mlflow.log_params({"depth": 4})
        with pytest.raises(MlflowException, match="Changing param values") as refused:
            mlflow.log_param("db_url", ADDRESS.replace("sales", "stock"))
        assert PASSWORD not in str(refused.value)
    with mlflow.start_run(run_id=run.info.run_id):
        mlflow.log_params(settings)
    assert mlflow.get_run(run.info.run_id).data.params["hub_token"] == "***"


def test_the_password_of_a_source_of_data_is_kept_nowhere(workspace_of_mlflow: Workspace) -> None:
    table = pd.DataFrame({"x": np.arange(3)})
    with mlflow.start_run() as run:
        mlflow.log_input(
            mlflow.data.from_pandas(table, source=f"https://ann:{PASSWORD}@db.example.org/x.csv"), context="training"
        )
        written = Dataset(
            name="orders",
            digest="d1",
            source_type="sql",
            source=f'{{"url": "{ADDRESS}", "password": "{PASSWORD}"}}',
            schema='{"mlflow_colspec": [{"name": "x", "type": "long"}]}',
            profile=f'{{"num_rows": 3, "read with": "{ADDRESS}"}}',
        )
        inputs = [DatasetInput(written, [InputTag("password", PASSWORD)])]
        MlflowClient().log_inputs(run.info.run_id, inputs)
        MlflowClient().log_inputs(run.info.run_id, inputs)
    assert leaks(workspace_of_mlflow) == []
    datasets = mlflow.get_run(run.info.run_id).inputs.dataset_inputs
    assert sorted(item.dataset.name for item in datasets) == ["dataset", "orders"]
    assert all("db.example.org" in item.dataset.source for item in datasets)


def test_secrets_are_kept_nowhere_whichever_way_they_are_logged(workspace_of_mlflow: Workspace) -> None:
    client = MlflowClient()
    experiment = client.create_experiment("secrets", tags={"api_key": TOKEN})
    client.set_experiment_tag(experiment, "password", PASSWORD)
    run = client.create_run(experiment, tags={"password": PASSWORD})
    uid = run.info.run_id
    client.log_batch(uid, params=[Param("hub_token", TOKEN)], tags=[RunTag("address", ADDRESS)])
    client.set_tag(uid, "api_key", TOKEN)
    model = mlflow.initialize_logged_model("m", source_run_id=uid, params={"hub_token": TOKEN}, tags={"at": ADDRESS})
    client.log_model_params(model.model_id, {"password": PASSWORD})
    client.set_logged_model_tags(model.model_id, {"password": PASSWORD})
    client.set_terminated(uid)
    assert leaks(workspace_of_mlflow) == []
    # It is no longer this process's: what is logged now goes to the store directly.
    client._tracking_client.store.runs.by_id.clear()
    client.log_param(uid, "db_password", PASSWORD)
    client.log_batch(uid, params=[Param("token", TOKEN)], tags=[RunTag("late", ADDRESS)])
    client.set_tag(uid, "password", PASSWORD)
    source = Dataset("late", "d2", "sql", ADDRESS)
    client.log_inputs(uid, [DatasetInput(source, [])])
    assert leaks(workspace_of_mlflow) == []
    stored = mlflow.get_run(uid)
    assert (stored.data.params["db_password"], stored.data.tags["password"]) == ("***", "***")
    assert mlflow.get_logged_model(model.model_id).params == {"hub_token": "***", "password": "***"}

"""A model that plain MLflow code logged through ``mlops://`` is registered and deployed by the commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_workbench.client.client import Client
from mlops_workbench.client.prediction import request_predictions
from mlops_workbench.core.workspace import Workspace

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

SCRIPT = """
import mlflow, pandas as pd
from sklearn.linear_model import LinearRegression

X = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0.0, 1.0, 0.0]})

class Doubled(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input["a"] * 2

with mlflow.start_run(run_name="fitted"):
    mlflow.log_metric("mae", 0.5)
    model = LinearRegression().fit(X, 2 * X["a"] + X["b"])
    mlflow.sklearn.log_model(model, name="linear", pip_requirements=[], input_example=X)
    mlflow.sklearn.log_model(model, name="unsigned", pip_requirements=[])
    mlflow.pyfunc.log_model(name="doubled", python_model=Doubled(), pip_requirements=[], input_example=X)
with mlflow.start_run(run_name="empty"):
    pass
"""


class Shell:
    def __init__(self, workspace: Workspace) -> None:
        self._where = workspace.root
        self._environment = {**os.environ, "MLFLOW_TRACKING_URI": "mlops://", "MLFLOW_DISABLE_TELEMETRY": "true"}
        self._environment.pop("MLOPS_WORKSPACE", None)

    def python(self, code: str) -> None:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=self._where, env=self._environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    def mlops(self, *arguments: str, fails: bool = False) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "mlops_workbench.cli", *arguments],
            cwd=self._where, env=self._environment, capture_output=True, text=True,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    workspace = Workspace.init(tmp_path_factory.mktemp("mlflow code"))
    shell = Shell(workspace)
    shell.python(SCRIPT)
    try:
        yield shell
    finally:
        with Client.connect(workspace, start=False) as client:
            client.shutdown()


@pytest.fixture
def client(shell: Shell) -> Iterator[Client]:
    with Client.connect(Workspace.open(Path(shell._where))) as opened:
        yield opened


def test_it_is_registered_with_the_facts_of_its_run(shell: Shell, client: Client) -> None:
    shell.mlops("register", "fitted", "--as", "linear", "--model", "linear", "--alias", "champion", "--gate", "mae < 1")
    version = client.versions("linear")[0]
    assert (version.format, version.metrics, version.aliases) == ("skops", {"mae": 0.5}, ["champion"])
    assert [(column.name, column.dtype) for column in version.inputs] == [("a", "double"), ("b", "double")]
    assert client.run(version.run_uid).run.name == "fitted"
    # Again, it is the same version.
    shell.mlops("register", "fitted", "--as", "linear", "--model", "linear")
    assert [version.version for version in client.versions("linear")] == [1]


def test_its_card_has_what_is_known_and_says_what_is_not(shell: Shell, client: Client) -> None:
    shell.mlops("register", "fitted", "--as", "carded", "--model", "linear")
    said = shell.mlops("card", "carded")
    assert "nobody has written about" in said
    card = client.card("carded", 1)
    assert (card.task, card.metrics, card.lineage.run) == ("unknown", {"mae": 0.5}, "fitted")
    assert [(column.name, column.type) for column in card.inputs] == [("a", "double"), ("b", "double")]
    assert (card.importance, card.slices, card.golden, card.notes) == (None, None, {}, [])
    assert card.digest.startswith("m-") and card.author


def test_it_answers_as_an_endpoint(shell: Shell, client: Client) -> None:
    shell.mlops("register", "fitted", "--as", "served", "--model", "linear")
    shell.mlops("deploy", "served/1", "--name", "lines")
    endpoint = client.endpoint("lines")
    answered = request_predictions(endpoint, pd.DataFrame({"a": [10.0], "b": [1.0]}))
    assert answered.tolist() == pytest.approx([21.0])
    client.remove_endpoint("lines")


def test_a_model_that_endpoints_cannot_serve_is_registered_and_the_limit_is_said(shell: Shell, client: Client) -> None:
    said = shell.mlops("register", "fitted", "--as", "doubled")
    assert (
        "cannot be deployed: endpoints serve models of 'pyfunc' only if workbench.toml sets serving.allow_pyfunc"
        in said
    )
    assert client.versions("doubled")[0].format == "pyfunc"
    said = shell.mlops("deploy", "doubled/1", "--name", "twice", fails=True)
    assert "endpoints serve models of scikit-learn, XGBoost" in said and "serving.allow_pyfunc = true" in said
    assert [endpoint.name for endpoint in client.endpoints() if endpoint.name == "twice"] == []
    said = shell.mlops("register", "fitted", "--as", "unsigned", "--model", "unsigned")
    assert "input_example=X" in said


def test_a_model_that_only_mlflow_loads_answers_once_the_setting_allows_it(shell: Shell, client: Client) -> None:
    shell.mlops("register", "fitted", "--as", "allowed", "--model", "doubled")
    assert client.workspace is not None
    (client.workspace.root / "workbench.toml").write_text("[serving]\nallow_pyfunc = true\n")
    shell.mlops("deploy", "allowed/1", "--name", "twice")
    endpoint = client.endpoint("twice")
    answered = request_predictions(endpoint, pd.DataFrame({"a": [10.0], "b": [1.0]}))
    assert np.ravel(answered).tolist() == pytest.approx([20.0])
    client.remove_endpoint("twice")


def test_the_page_of_the_run_lists_them(shell: Shell, client: Client) -> None:
    listed = {model.name for model in client.run("fitted").models}
    assert listed == {"linear", "unsigned", "doubled"}
    assert json.loads(shell.mlops("show", "fitted", "--json"))["models"]


def test_a_run_without_a_model_still_has_none(shell: Shell) -> None:
    assert "logged no model" in shell.mlops("register", "empty", "--as", "none", fails=True)
    assert "no model 'other'" in shell.mlops("register", "fitted", "--as", "none", "--model", "other", fails=True)

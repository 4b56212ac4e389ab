"""From a run to a monitored endpoint with retraining, with kills of the control plane."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import nbformat
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow_server import free_port, mlflow_server
from postgresql import LONG_WITH_POSTGRESQL
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression

from mlops_workbench.capture import Session
from mlops_workbench.client.bodies import DeployRequest, PromoteRequest, RegisterRequest, RollbackRequest
from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import read_address
from mlops_workbench.client.prediction import request_predictions, send_feedback
from mlops_workbench.core.errors import Conflict, GateFailed, InvalidInput, NotFound, Unavailable, WorkbenchError
from mlops_workbench.core.monitors import MonitorSpec
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.workspace import Workspace

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

RANDOM = np.random.default_rng(0)
X = pd.DataFrame({"größe": RANDOM.normal(size=1500), "kind": RANDOM.integers(0, 3, 1500).astype(float)})
Y = 3 * X["größe"] + X["kind"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "my wörkspace"


@pytest.fixture
def recorded(workspace: Workspace) -> Iterator[Callable[..., str]]:
    """Record a run with a fitted model, as a tracked cell does; gives its uid."""
    session = Session(workspace)

    def record(name: str, model: object, **metrics: float) -> str:
        run = session.start_run(name, experiment="loop")
        run.log(metrics)
        if model is not None:
            model.fit(X, Y)  # type: ignore[attr-defined]
            run.log_model(model, X=X, y=Y)
        run.end("FINISHED")
        return run.uid

    yield record
    session.close()


def kill(workspace: Workspace) -> None:
    address = read_address(workspace)
    assert address is not None
    os.kill(address.pid, signal.SIGKILL)


@pytest.mark.usefixtures("database_url")
@LONG_WITH_POSTGRESQL
def test_deploy_switch_and_rollback_with_a_control_plane_that_dies(
    running: Client, workspace: Workspace, recorded: Callable[..., str]
) -> None:
    recorded("baseline", None, mae=5.0)
    recorded("mean", DummyRegressor(), mae=2.0)
    request = RegisterRequest("mean", gate=["mae < baseline.mae"], alias="champion", baseline="baseline")
    first = running.register("sizes", request)
    assert (first.version, first.aliases) == (1, ["champion"])
    assert [column.name for column in first.inputs] == ["größe", "kind"]

    # Killed between the commit of what is wanted and its being done.
    running.deploy("sizes", DeployRequest("sizes@champion"), timeout=0)
    kill(workspace)
    endpoint = running.wait_endpoint("sizes", 1)
    expected = np.full(3, Y.mean())
    assert request_predictions(endpoint, X.head(3)).to_numpy() == pytest.approx(expected)

    # The endpoint goes on without a control plane, and the next one finds it again.
    kill(workspace)
    assert request_predictions(endpoint, X.head(3)).to_numpy() == pytest.approx(expected)
    assert running.wait_endpoint("sizes", 1).pid == endpoint.pid

    # A better model: the gate decides, the endpoint follows the alias.
    recorded("line", LinearRegression(), mae=0.1)
    with pytest.raises(GateFailed, match=r"mae < 0\.05"):
        running.register("sizes", RegisterRequest("line", gate=["mae < 0.05"], alias="champion"))
    assert running.endpoint("sizes").version == 1
    second = running.promote("sizes", 2, PromoteRequest(gate=["mae < champion.mae"]))
    assert second.gate is not None
    assert second.gate.passed
    endpoint = running.wait_endpoint("sizes", 2)
    assert request_predictions(endpoint, X.head(3)).to_numpy() == pytest.approx(Y.head(3).to_numpy())
    assert {version.version: version.aliases for version in running.versions("sizes")} == {
        1: ["previous"],
        2: ["champion"],
    }

    # Back, and the alias with it.
    endpoint = running.rollback("sizes", RollbackRequest("worse"))
    assert endpoint.version == 1
    assert running.models()[0].aliases == {"champion": 1, "previous": 2}
    running.remove_endpoint("sizes")
    assert running.endpoints() == []


@pytest.mark.long
def test_an_endpoint_that_is_removed_and_deployed_again_serves_what_was_deployed(
    running: Client, recorded: Callable[..., str]
) -> None:
    recorded("mean", DummyRegressor())
    recorded("line", LinearRegression())
    running.register("wine", RegisterRequest("mean"))
    running.register("iris", RegisterRequest("line", alias="challenger"))
    running.deploy("e1", DeployRequest("models:/wine/1"), timeout=120)
    with pytest.raises(Conflict, match="serves the model 'wine'"):
        running.deploy("e1", DeployRequest("iris/1"), timeout=0)
    running.remove_endpoint("e1")
    # Both are version 1; the process of the first may still be there.
    running.deploy("e1", DeployRequest("iris@challenger"), timeout=0)
    endpoint = running.wait_endpoint("e1", 1)
    assert request_predictions(endpoint, X.head(3)).to_numpy() == pytest.approx(Y.head(3).to_numpy())
    assert (endpoint.model, endpoint.previous, len(endpoint.digest)) == ("iris@challenger", 0, 64)

    # A rollback moves the alias that the endpoint follows, and no other.
    with pytest.raises(Conflict, match="no version before 1"):
        running.rollback("e1", RollbackRequest("worse"))
    recorded("other mean", DummyRegressor())
    running.register("iris", RegisterRequest("other mean", alias="challenger"))
    running.promote("iris", 1, PromoteRequest("champion"))
    running.wait_endpoint("e1", 2)
    assert running.rollback("e1", RollbackRequest("worse")).version == 1
    aliases = {"champion": 1, "challenger": 1, "challenger-previous": 2}
    assert {model.name: model.aliases for model in running.models()}["iris"] == aliases

    # A model that was deleted and registered again begins with version 1, too.
    before = running.endpoint("e1")
    MlflowClient(running.workspace.tracking_uri).delete_registered_model("iris")
    recorded("next line", LinearRegression(fit_intercept=False))
    running.register("iris", RegisterRequest("next line", alias="challenger"))
    deadline = time.monotonic() + 120
    while running.endpoint("e1").digest in ("", before.digest):
        assert time.monotonic() < deadline, "it does not follow the new version 1"
        time.sleep(0.1)
    assert running.endpoint("e1").version == 1
    running.remove_endpoint("e1")


def test_errors_have_hints(running: Client, recorded: Callable[..., str]) -> None:
    recorded("plain", None, mae=1.0)
    uid = recorded("line", LinearRegression(), mae=0.1)
    running.register("sizes", RegisterRequest(uid, alias="champion"))
    cases: list[tuple[type[Exception], str, Callable[[], object]]] = [
        (NotFound, "log_model", lambda: running.register("sizes", RegisterRequest("plain"))),
        (NotFound, "line", lambda: running.register("sizes", RegisterRequest("lnie"))),
        (InvalidInput, "name", lambda: running.register("../sizes", RegisterRequest("line"))),
        (NotFound, "sizes", lambda: running.deploy("x", DeployRequest("szies@champion"))),
        (NotFound, "champion", lambda: running.deploy("x", DeployRequest("sizes@chamption"))),
        (NotFound, "1", lambda: running.deploy("x", DeployRequest("sizes/7"))),
        (NotFound, "endpoint", lambda: running.rollback("nothing", RollbackRequest("worse"))),
        (InvalidInput, "mae <", lambda: running.promote("sizes", 1, PromoteRequest(gate=["mae <"]))),
        (GateFailed, "mae", lambda: running.promote("sizes", 1, PromoteRequest(gate=["mea < 3"]))),
        (InvalidInput, "mae <", lambda: running.register("other", RegisterRequest("line", gate=["mae <"]))),
        (InvalidInput, "alias", lambda: running.register("other", RegisterRequest("line", alias="a b"))),
        (
            NotFound,
            "lnie",
            lambda: running.register("other", RegisterRequest("line", gate=["mae < baseline.mae"], baseline="lnie")),
        ),
        (NotFound, "newest", lambda: running.promote("sizes", 10**20, PromoteRequest("champion"))),
        (Conflict, "go back", lambda: running.rollback_model("sizes", RollbackRequest("worse"))),
        (NotFound, "pipeline", lambda: running.start_pipeline("none")),
        (NotFound, "''", lambda: running.deploy("", DeployRequest("sizes"))),
        (NotFound, "../x", lambda: running.start_pipeline("../x")),
        (NotFound, "..", lambda: running.endpoint("..")),
        *(
            (InvalidInput, "port", lambda port=port: running.deploy("x", DeployRequest("sizes", port=port), timeout=0))
            for port in (70000, -5, False, "80", 1.5)
        ),
    ]
    for kind, part, mistake in cases:
        with pytest.raises(kind) as raised:
            mistake()
        assert part in str(raised.value), raised.value
        assert raised.value.__dict__.get("hint"), raised.value
    assert [model.name for model in running.models()] == ["sizes"], "a mistake leaves no version behind"


def test_without_the_tracking_server_runs_are_shown_and_nothing_is_lost(
    workspace: Workspace, recorded: Callable[..., str], stopped: Callable[[Workspace], None]
) -> None:
    stopped(workspace)
    (workspace.root / "workbench.toml").write_text("[tracking]\nuri = 'http://127.0.0.1:9'\n")
    away = Workspace.open(workspace.root)
    uid = recorded("line", LinearRegression(), mae=0.1)
    with Client.connect(away) as client:
        run = client.run(uid).run
        assert (run.status, run.metrics["mae"], run.run_id) == ("FINISHED", 0.1, "")
        with pytest.raises(Unavailable):
            client.register("sizes", RegisterRequest(uid))
        status = client.status()
        assert status.ingest.problem
        assert status.ingest.backlog_bytes > 0
    # The same workspace, with a store that works: what waited is delivered.
    stop_and_use(away, "")
    with Client.connect(Workspace.open(workspace.root)) as client:
        assert client.register("sizes", RegisterRequest(uid)).version == 1
        assert client.run(uid).run.run_id


@pytest.mark.long
def test_an_endpoint_goes_back_while_the_tracking_server_is_away(
    workspace: Workspace,
    mlflow_database: Path,
    tmp_path: Path,
    recorded: Callable[..., str],
    stopped: Callable[[Workspace], None],
) -> None:
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    (workspace.root / "workbench.toml").write_text(f"[tracking]\nuri = '{uri}'\n")
    shutil.copyfile(mlflow_database, tmp_path / "server.db")
    stopped(workspace)
    recorded("mean", DummyRegressor())
    recorded("line", LinearRegression())
    with Client.connect(Workspace.open(workspace.root)) as client:
        with mlflow_server(tmp_path, port):
            wait_until(lambda: not client.status().ingest.backlog_bytes)
            client.register("sizes", RegisterRequest("mean", alias="champion"))
            client.deploy("sizes", DeployRequest("sizes@champion"), timeout=120)
            client.register("sizes", RegisterRequest("line", alias="champion"))
            client.wait_endpoint("sizes", 2)
            assert aliases(uri) == {"champion": 2, "previous": 1}
        endpoint = client.rollback("sizes", RollbackRequest("worse"), timeout=120)
        assert endpoint.version == 1
        assert request_predictions(endpoint, X.head(3)).to_numpy() == pytest.approx(np.full(3, Y.mean()))
        problems = client.status().processes[0].state
        assert "Connection refused" in problems
        assert all(problem.count("127.0.0.1") <= 1 for problem in problems.split("; ")), problems
        with mlflow_server(tmp_path, port):
            wait_until(lambda: aliases(uri) == {"champion": 1, "previous": 2})
        assert [change.reason for change in client.alias_changes("sizes")] == ["rolled back", "promoted", "promoted"]


def aliases(uri: str) -> dict[str, int]:
    try:
        return {k: int(v) for k, v in MlflowClient(uri, uri).get_registered_model("sizes").aliases.items()}
    except MlflowException:
        return {}


def wait_until(look: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def stop_and_use(workspace: Workspace, uri: str) -> None:
    address = read_address(workspace)
    assert address is not None
    assert address.process.stop(grace=20)
    (workspace.root / "workbench.toml").write_text(f"[tracking]\nuri = '{uri}'\n")


STAGE = """
import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression
from mlops_workbench import log, log_model

random = np.random.default_rng(1)
X = pd.DataFrame({"größe": random.normal(4, 1, 800), "kind": random.integers(0, 3, 800).astype(float)})
y = 10 - 2 * X["größe"]
model = LinearRegression().fit(X, y)
log_model(model, X=X, y=y)
log(mae=0.01)
"""


def pipeline(workspace: Workspace) -> None:
    folder = workspace.pipeline_specs
    folder.mkdir()
    parameters = nbformat.v4.new_code_cell('until: str = ""', metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[parameters, nbformat.v4.new_code_cell(STAGE)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "train.ipynb")
    spec = """
        version: 1
        params:
          until: {type: str, default: ""}
        stages:
          train: {notebook: train.ipynb, params: [until]}
        publish: {stage: train, as: sizes, alias: champion, gate: ["mae < 0.5"]}
    """
    (folder / "retrain.yaml").write_text(dedent(spec))


@pytest.mark.usefixtures("database_url")
@LONG_WITH_POSTGRESQL
def test_an_alert_retrains_and_the_endpoint_switches(
    running: Client, workspace: Workspace, recorded: Callable[..., str]
) -> None:
    pipeline(workspace)
    uid = recorded("line", LinearRegression(), mae=0.1)
    running.register("sizes", RegisterRequest(uid, alias="champion"))
    endpoint = running.deploy("sizes", DeployRequest("sizes@champion"))
    shown = subprocess.run(
        [sys.executable, "-m", "mlops_workbench.cli", "endpoints", "sizes"],
        cwd=workspace.root, capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    assert "next: mlops predict sizes FILE.csv, with the columns größe, kind" in shown
    for impossible, lacking in (
        (MonitorSpec("sizes", window="300"), "no window of 300 rows can raise an alert: it needs 500"),
        (MonitorSpec("sizes", pipeline="retrain", params={"til": "{end}"}), "has no parameter 'til'"),
        (MonitorSpec("sizes", params={"until": "{end}"}), "the parameters belong to no pipeline"),
        (MonitorSpec("sizes", max_degradation=math.inf), "max_degradation must be a number above 0"),
        (MonitorSpec("sizes", max_degradation=math.nan), "max_degradation must be a number above 0"),
    ):
        with pytest.raises(WorkbenchError, match=lacking) as refused:
            running.put_monitor(impossible)
        assert refused.value.status == 422 and refused.value.hint
    running.put_monitor(
        MonitorSpec("sizes", window="day", pipeline="retrain", params={"until": "{end}"}, enabled=False)
    )
    # Two days on which the world is another one.
    random = np.random.default_rng(2)
    for day in ("2024-05-01", "2024-05-02"):
        table = pd.DataFrame({"größe": random.normal(4, 1, 600), "kind": random.integers(0, 3, 600).astype(float)})
        predictions = request_predictions(endpoint, table, event_time=f"{day}T12:00:00Z")
        assert send_feedback(endpoint, predictions, 10 - 2 * table["größe"]) == 600
    report = running.evaluate_monitor("sizes")
    deadline = time.monotonic() + 60
    while sum(window.rows for window in report.windows) < 1200 and time.monotonic() < deadline:
        report = running.evaluate_monitor("sizes")
    assert [window.label for window in report.windows] == ["2024-05-01", "2024-05-02"]
    assert all(window.drifted and window.degraded for window in report.windows)
    # Evaluated while the log was still coming in, there may be an earlier one that only informs.
    [alert] = [alert for alert in report.alerts if alert.kind == "drift+quality"]
    assert alert.pipeline_run

    # Killed while the pipeline trains: the run goes on, its model is published by the next control plane.
    kill(workspace)
    run = running.wait_pipeline(alert.pipeline_run, timeout=180)
    assert (run.state, run.published, run.reason) == ("succeeded", "sizes/2", f"alert:{alert.id}")
    assert run.params["until"] == "2024-05-03"
    endpoint = running.wait_endpoint("sizes", 2)
    assert endpoint.previous == 1
    assert len(running.pipeline_runs()) == 1

    # 'down' means all of it, also when only the endpoint is left.
    process = ProcessIdentity.of(endpoint.pid)
    assert process is not None
    address = read_address(workspace)
    assert address is not None
    assert address.process.stop(grace=0)
    assert process.alive()
    done = subprocess.run(
        [sys.executable, "-m", "mlops_workbench.cli", "down"],
        cwd=workspace.root, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "stopped its endpoints: sizes" in done.stdout
    assert not process.alive()

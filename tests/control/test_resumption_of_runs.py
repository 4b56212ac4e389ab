"""The control plane lets runs go on whose runner was killed, also those of a time without a control plane."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from notebook_files import write
from stage_plans import finished, until

from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import ensure_running, read_address
from mlops_workbench.core.errors import Conflict
from mlops_workbench.core.pipelines import PipelineRun
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines import service
from mlops_workbench.pipelines.runs.events import Resumed, StageStarted, read_run_events
from mlops_workbench.pipelines.runs.folder import RunFolder
from mlops_workbench.pipelines.runs.progress import launched_process

pytestmark = pytest.mark.process

#: Waits as long as there is a file `hold`, and fails if there is a file `fails`.
MEASURE = """
import time
from pathlib import Path
from mlops_workbench import log
assert Path(clf).read_text() == "fitted"
Path("begun").touch()
while Path("hold").exists():
    time.sleep(0.02)
if Path("fails").exists():
    raise ValueError("too bad")
log(auc=0.9)
"""
TRAIN = """
import pathlib
import pandas as pd
from sklearn.linear_model import LinearRegression
from mlops_workbench import log_model

X = pd.DataFrame({"a": [1.0, 2.0, 3.0]})
log_model(LinearRegression().fit(X, [1.0, 2.0, 3.0]), X=X)
pathlib.Path(clf).write_text("fitted")
"""
SPEC = """
version: 2
stages:
  train:
    notebook: train.ipynb
    outputs: {clf: {path: clf.txt, type: model}}
  evaluate:
    notebook: evaluate.ipynb
    inputs: {clf: train.clf}
    metrics: [auc]
publish: {model: evaluate.clf, as: churn, alias: champion}
"""


@pytest.fixture
def specs(workspace: Workspace) -> Path:
    folder = workspace.pipeline_specs
    write(folder / "train.ipynb", TRAIN, parameters="clf = 'clf.txt'")
    write(folder / "evaluate.ipynb", MEASURE, parameters="clf = 'clf.txt'")
    (folder / "retrain.yaml").write_text(SPEC)
    return folder


def log_of(workspace: Workspace, run: PipelineRun) -> Path:
    return RunFolder(workspace.pipeline_runs / run.id).events


def kill_runner(workspace: Workspace, run: PipelineRun) -> None:
    process = launched_process(read_run_events(log_of(workspace, run)))
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: not process.alive() or None)


def in_the_second_stage(client: Client, specs: Path) -> PipelineRun:
    (specs / "hold").touch()
    run = client.start_pipeline("retrain")
    until(lambda: (specs / "begun").exists() or None)
    return run


def resumptions(workspace: Workspace, run: PipelineRun) -> int:
    return sum(isinstance(event, Resumed) for event in read_run_events(log_of(workspace, run)))


def starts(workspace: Workspace, run: PipelineRun) -> list[str]:
    return [event.stage for event in read_run_events(log_of(workspace, run)) if isinstance(event, StageStarted)]


def check_result(client: Client, workspace: Workspace, run: PipelineRun) -> None:
    """It has ended as if its runner had lived; what it publishes, it published once."""
    assert (run.state, run.published, run.message) == ("succeeded", "churn/1", "")
    assert [version.version for version in client.versions("churn")] == [1]
    assert starts(workspace, run) == ["train", "evaluate", "evaluate"]
    ids = {uid: until(lambda uid=uid: ended_id(client, uid)) for uid in (run.run_uid, *(s.run_uid for s in run.stages))}
    mlflow = MlflowClient(workspace.tracking_uri)
    for run_id in ids.values():
        until(lambda run_id=run_id: mlflow.get_run(run_id).info.status == "FINISHED" or None)
    parent = mlflow.get_run(ids[run.run_uid])
    found = mlflow.search_runs([parent.info.experiment_id], f"tags.`mlops.pipeline_run` = '{run.id}'")
    assert len(found) == 4  # of the pipeline, and of the three attempts
    assert [one.info.run_id for one in found if "mlflow.parentRunId" not in one.data.tags] == [parent.info.run_id]


def ended_id(client: Client, uid: str) -> str | None:
    """MLflow's id of a run that has ended well by the index."""
    run = client.run(uid).run
    return run.run_id or None if run.status == "FINISHED" else None


def test_a_run_whose_runner_is_killed_goes_on_at_once(running: Client, workspace: Workspace, specs: Path) -> None:
    run = in_the_second_stage(running, specs)
    kill_runner(workspace, run)
    # For those who wait, it goes on all the time.
    assert running.pipeline_run(run.id).state == "running"
    until(lambda: starts(workspace, run).count("evaluate") == 2 or None)
    (specs / "hold").unlink()
    check_result(running, workspace, running.wait_pipeline(run.id, timeout=150))
    assert resumptions(workspace, run) == 1


@pytest.mark.long
def test_a_run_goes_on_when_there_is_a_control_plane_again(
    workspace: Workspace, specs: Path, stopped: Callable[[Workspace], None]
) -> None:
    stopped(workspace)
    with Client.connect(workspace) as client:
        run = in_the_second_stage(client, specs)
    address = read_address(workspace)
    assert address is not None
    os.kill(address.process.pid, signal.SIGKILL)
    until(lambda: not address.process.alive() or None)
    kill_runner(workspace, run)
    assert service.is_interrupted(service.read_run(workspace, run.id))
    ensure_running(workspace)
    until(lambda: starts(workspace, run).count("evaluate") == 2 or None)
    (specs / "hold").unlink()
    finished(workspace, run.id)
    with Client.connect(workspace) as client:
        check_result(client, workspace, client.wait_pipeline(run.id, timeout=150))


@pytest.mark.long
def test_a_run_that_was_cancelled_does_not_go_on(running: Client, workspace: Workspace, specs: Path) -> None:
    run = in_the_second_stage(running, specs)
    running.cancel_pipeline_run(run.id)
    assert running.wait_pipeline(run.id, timeout=150).state == "cancelled"
    other = in_the_second_stage(running, specs)
    (specs / "hold").unlink()
    assert running.wait_pipeline(other.id, timeout=150).state == "succeeded"
    assert resumptions(workspace, run) == 0 and running.pipeline_run(run.id).state == "cancelled"


@pytest.mark.long
def test_a_failed_run_is_resumed_by_a_command(running: Client, workspace: Workspace, specs: Path) -> None:
    (specs / "fails").touch()
    run = running.wait_pipeline(running.start_pipeline("retrain").id, timeout=150)
    assert (run.state, run.published) == ("failed", "")
    (specs / "fails").unlink()
    command = [sys.executable, "-m", "mlops_workbench.cli", "pipeline", "resume", run.id[-8:], "--json"]
    done = subprocess.run(command, cwd=workspace.root, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["published"] == "churn/1"
    check_result(running, workspace, running.pipeline_run(run.id))
    with pytest.raises(Conflict, match="has succeeded already"):
        running.resume_pipeline_run(run.id)
    assert [version.version for version in running.versions("churn")] == [1]

"""What a run of a pipeline publishes, and that nothing is published when a gate fails."""

from __future__ import annotations

import subprocess
import sys
import time
from textwrap import dedent

import pytest
from notebook_files import write

from mlops_workbench.client.client import Client
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process

TRAIN = """
import pathlib
import pandas as pd
from sklearn.linear_model import LinearRegression
from mlops_workbench import log, log_model

X = pd.DataFrame({"a": [1.0, 2.0, 3.0]})
log_model(LinearRegression().fit(X, [1.0, 2.0, 3.0]), X=X)
pathlib.Path(clf).write_text("fitted")
log(loss=loss)
"""
MEASURE = "from mlops_workbench import log\nlog(auc=auc)\nassert open(clf).read() == 'fitted'"
#: Goes on when the file is there.
WAIT = "import pathlib, time\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.05)"

SPEC = """
    version: 2
    params: {auc: 0.9, loss: 0.5}
    stages:
      train:
        notebook: train.ipynb
        params: [loss]
        outputs: {clf: {path: clf.txt, type: model}}
      evaluate:
        notebook: evaluate.ipynb
        params: [auc]
        inputs: {clf: train.clf}
        metrics: [auc]
        gate: [auc >= 0.6, auc >= champion.auc - 0.005]
    publish: {model: evaluate.clf, as: churn, alias: champion, serve: true}
"""
SPEC_1 = """
    version: 1
    params: {loss: 0.5}
    stages:
      train: {notebook: train.ipynb, params: [loss], outputs: {clf: clf.txt}}
    publish: {stage: train, as: churn, alias: champion, gate: ["loss < 1"]}
"""


@pytest.fixture
def specs(workspace: Workspace) -> None:
    folder = workspace.pipeline_specs
    write(folder / "train.ipynb", TRAIN, parameters="loss: float = 0.5\nclf = 'clf.txt'")
    write(folder / "evaluate.ipynb", MEASURE, parameters="auc: float = 0.9\nclf = 'clf.txt'")
    write(folder / "slow.ipynb", MEASURE, WAIT, parameters="auc: float = 0.9\nclf = 'clf.txt'")
    (folder / "retrain.yaml").write_text(dedent(SPEC))
    (folder / "slow.yaml").write_text(dedent(SPEC).replace("evaluate.ipynb", "slow.ipynb").replace(", serve: true", ""))
    (folder / "first.yaml").write_text(dedent(SPEC_1))


def mlops(workspace: Workspace, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlops_workbench.cli", *words],
        cwd=workspace.root, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.mark.usefixtures("specs")
def test_a_model_is_published_when_the_gates_pass_and_served_when_it_is_asked_for(
    running: Client, workspace: Workspace
) -> None:
    run = running.wait_pipeline(running.start_pipeline("retrain").id, timeout=200)
    assert (run.state, run.published, run.message) == ("succeeded", "churn/1", "")
    [version] = running.versions("churn")
    stages = {stage.name: stage.run_uid for stage in run.stages}
    # The run that logged the model, and the metrics that its gate was about.
    assert version.run_uid == stages["train"] and version.aliases == ["champion"]
    assert (version.metrics["auc"], version.metrics["loss"]) == (0.9, 0.5)
    assert version.gate is not None and [check.condition for check in version.gate.checks] == [
        "auc >= 0.6",
        "auc >= champion.auc - 0.005",
    ]
    endpoint = running.wait_endpoint("churn", 1)
    assert endpoint.model == "churn@champion"
    entries = running.audit()
    assert [entry.action for entry in reversed(entries)] == ["model.register", "model.promote", "endpoint.deploy"]
    for entry in entries:
        assert (entry.actor.kind, entry.actor.name, entry.actor.declared) == ("process", "pipeline retrain", False)
    assert entries[1].evidence == version.gate

    # A worse one: the gate of the stage compares with the champion of the time at which the run begins.
    worse = mlops(workspace, "pipeline", "run", "retrain", "-p", "auc=0.8")
    assert worse.returncode == 3, worse.stderr
    reason = "stage 'evaluate' was refused: gate failed: auc >= champion.auc - 0.005 (0.8 < 0.895); metrics: auc 0.8"
    assert f"not published: {reason}" in worse.stderr.splitlines()
    assert "finished, not published" in worse.stdout
    shown = running.pipeline_runs()[0]
    assert (shown.state, shown.published, shown.message) == ("not_published", "", reason)
    assert [stage.state for stage in shown.stages] == ["succeeded", "refused"]
    assert [v.version for v in running.versions("churn")] == [1]
    deadline = time.monotonic() + 60
    while not (found := running.audit(action="model.refuse")) and time.monotonic() < deadline:
        time.sleep(0.1)
    [entry] = found
    assert (entry.subject.name, entry.reason, entry.actor.name) == ("churn", reason, "pipeline retrain")
    assert entry.before == entry.after == {"champion": 1}
    assert running.run(shown.run_uid).run.status == "FINISHED"


@pytest.mark.long
@pytest.mark.usefixtures("specs")
def test_gates_are_checked_again_when_the_champion_changes_during_the_run(
    running: Client, workspace: Workspace
) -> None:
    first = running.wait_pipeline(running.start_pipeline("retrain", {"auc": 0.7}).id, timeout=200)
    assert first.published == "churn/1"
    late = running.start_pipeline("slow", {"auc": 0.75}, force=["*"])
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline and running.pipeline_run(late.id).stages[1].cells < 2:
        time.sleep(0.1)
    better = running.wait_pipeline(running.start_pipeline("retrain", {"auc": 0.95}, force=["*"]).id, timeout=200)
    assert better.published == "churn/2"
    (workspace.pipeline_specs / "go").touch()
    late = running.wait_pipeline(late.id, timeout=200)
    # In the run, its gate passed.
    assert [stage.state for stage in late.stages] == ["succeeded", "succeeded"]
    assert (late.state, late.published) == ("not_published", "")
    assert "auc >= champion.auc - 0.005 (0.75 < 0.945)" in late.message and "\n" not in late.message
    assert [version.version for version in running.versions("churn")] == [2, 1]
    refused = running.audit(limit=1)[0]
    assert (refused.action, refused.outcome, refused.actor.name) == ("model.refuse", "refused", "pipeline slow")
    assert refused.reason in late.message and (refused.subject.name, refused.subject.version) == ("churn", 0)
    assert refused.before == refused.after == {"champion": 2}


@pytest.mark.long
@pytest.mark.usefixtures("specs")
def test_the_gate_of_a_publication_of_version_1_publishes_nothing_when_it_fails(running: Client) -> None:
    run = running.wait_pipeline(running.start_pipeline("first", {"loss": 2.0}).id, timeout=200)
    assert (run.state, run.message) == ("not_published", "gate failed: loss < 1 (2 >= 1); metrics: loss 2")
    assert [stage.state for stage in run.stages] == ["succeeded"]
    assert running.models() == []
    again = running.wait_pipeline(running.start_pipeline("first").id, timeout=200)
    assert (again.state, again.published) == ("succeeded", "churn/1")


@pytest.mark.usefixtures("specs")
def test_a_run_whose_model_cannot_be_published_has_failed_with_the_reason(
    running: Client, workspace: Workspace
) -> None:
    write(workspace.pipeline_specs / "train.ipynb", "open(clf, 'w').close()", parameters="loss = 0.5\nclf = 'clf.txt'")
    (workspace.pipeline_specs / "first.yaml").write_text(dedent(SPEC_1).replace(', gate: ["loss < 1"]', ""))
    done = mlops(workspace, "pipeline", "run", "first")
    assert done.returncode == 1
    assert "its model could not be published: run 'train' logged no model" in done.stderr

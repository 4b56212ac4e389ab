"""A pipeline that publishes what was rolled back does not bring it back."""

from __future__ import annotations

import pandas as pd
import pytest
from notebook_files import write
from sklearn.dummy import DummyRegressor

from mlops_workbench.capture import Session
from mlops_workbench.client.bodies import PromoteRequest, RegisterRequest, RollbackRequest
from mlops_workbench.client.client import Client
from mlops_workbench.core.workspace import Workspace

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

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
version: 1
stages:
  train: {notebook: train.ipynb, outputs: {clf: clf.txt}}
publish: {stage: train, as: churn, alias: champion}
"""


def test_a_retraining_does_not_bring_back_what_was_rolled_back(running: Client, workspace: Workspace) -> None:
    write(workspace.pipeline_specs / "train.ipynb", TRAIN, parameters="clf = 'clf.txt'")
    (workspace.pipeline_specs / "retrain.yaml").write_text(SPEC)
    X = pd.DataFrame({"a": [1.0, 2.0, 3.0]})
    session = Session(workspace)
    run = session.start_run("mean", experiment="first")
    run.log_model(DummyRegressor().fit(X, [1.0, 2.0, 3.0]), X=X)
    run.end("FINISHED")
    session.close()
    running.register("churn", RegisterRequest("mean", alias="champion"))
    published = running.wait_pipeline(running.start_pipeline("retrain").id, timeout=200)
    assert published.published == "churn/2"
    running.rollback_model("churn", RollbackRequest("it follows the noise"))
    assert running.models()[0].aliases["champion"] == 1

    # The stage is not run again, so it publishes the same run; then it is, and the model gives the same answers.
    for force, newest in ([], 2), (["*"], 3):
        again = running.wait_pipeline(running.start_pipeline("retrain", force=force).id, timeout=200)
        assert (again.state, again.published) == ("not_published", ""), again
        assert "it follows the noise" in again.message and "in quarantine" in again.message
        assert running.models()[0].aliases["champion"] == 1 and running.models()[0].latest == newest
        refused = running.audit(action="model.refuse", limit=1)[0]
        assert (refused.actor.name, refused.subject.version) == ("pipeline retrain", newest)
    assert [version.quarantine is not None for version in running.versions("churn")] == [True, True, False]
    running.promote("churn", 3, PromoteRequest(release_quarantine="the noise is gone"))
    assert running.models()[0].aliases["champion"] == 3

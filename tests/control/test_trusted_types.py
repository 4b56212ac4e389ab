"""Types that are not on the list are named at registration, and a changed list is taken over without a restart."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fitted_models import StoringRecorder
from recorder import Recorder
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from mlops_workbench.capture.run.models import save_model
from mlops_workbench.client.bodies import DeployRequest, RegisterRequest
from mlops_workbench.client.client import Client
from mlops_workbench.client.prediction import request_predictions
from mlops_workbench.commands.models import version_view
from mlops_workbench.core.errors import Conflict
from mlops_workbench.core.workspace import FILE, Workspace
from mlops_workbench.data.reference import sample_fit_data

MODULE = """
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

class Ratio(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.fitted_ = True
        return self
    def transform(self, X):
        return np.c_[X, X["a"] / X["b"]]
"""


def mlops(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "mlops_workbench.cli", *arguments], capture_output=True, text=True)


@pytest.mark.process
def test_a_type_is_named_at_registration_and_served_once_it_is_trusted(
    tmp_path: Path, stopped: Callable[[Workspace], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace.init(tmp_path)
    (tmp_path / "own_steps.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    from own_steps import Ratio  # type: ignore[import-not-found]

    X = pd.DataFrame({"a": np.linspace(-1, 1, 50), "b": np.linspace(3, 1, 50)})
    model = make_pipeline(Ratio(), LinearRegression()).fit(X, X.a)
    session = Recorder(workspace)
    uid = session.start("ratio")
    saving = StoringRecorder(workspace)
    saving.write = lambda record, sync=False: session.put(record)  # type: ignore[method-assign]
    assert save_model(saving, uid, model, "model", sample_fit_data(X, X.a))  # type: ignore[arg-type]
    session.end(uid)
    stopped(workspace)

    with Client.connect(workspace) as client:
        version = client.register("ratio", RegisterRequest("ratio"))
        assert version.untrusted == ["own_steps.Ratio"]
        notes = " ".join(version_view(version, "registered", "mlops").notes)
        assert "it contains types that are not trusted: own_steps.Ratio" in notes
        command = notes.partition("If you trust their code: ")[2]
        assert command == "mlops trust own_steps.Ratio"

        with pytest.raises(Conflict, match=r"own_steps\.Ratio"):
            client.deploy("ratio", DeployRequest("ratio/1"), timeout=90)
        endpoint = client.endpoint("ratio")
        assert "mlops trust own_steps.Ratio" in endpoint.message

        # The very command that was shown.
        assert mlops(*command.split()[1:]).returncode == 0
        assert 'trusted_types = ["own_steps.Ratio"]' in (tmp_path / FILE).read_text()
        deadline = time.monotonic() + 60
        while (ready := client.endpoint("ratio")).state != "ready":
            assert time.monotonic() < deadline, ready
            time.sleep(0.2)
        assert ready.pid == endpoint.pid, "its process was not restarted"
        assert client.versions("ratio")[0].untrusted == []
    np.testing.assert_allclose(request_predictions(ready, X), model.predict(X))
    sys.modules.pop("own_steps", None)


def test_an_invalid_file_leaves_the_last_valid_settings(tmp_path: Path) -> None:
    workspace = Workspace.init(tmp_path)
    workspace = Workspace.open(tmp_path, {"serving.token": "t"})
    (tmp_path / FILE).write_text('[serving]\ntrusted_types = ["a.B"]\n')
    assert workspace.latest().serving.trusted_types == ["a.B"]
    assert workspace.latest().serving.token == "t", "an argument goes before the file"
    (tmp_path / FILE).write_text("[serving\n")
    assert workspace.latest().serving.trusted_types == ["a.B"]
    (tmp_path / FILE).unlink()
    assert workspace.latest().serving.trusted_types == []


@pytest.mark.process
def test_only_names_of_types_are_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Workspace.init(tmp_path)
    monkeypatch.chdir(tmp_path)
    for wrong in ("Ratio", "a.b()", "../x.y", "a..B"):
        done = mlops("trust", wrong)
        assert done.returncode != 0 and "is not the name of a type" in done.stderr
    done = mlops("trust", "a.B", "sklearn.tree._tree.Tree", "a.B")
    assert done.returncode == 0 and "trusted now: a.B" in done.stdout
    assert Workspace.open(tmp_path).settings.serving.trusted_types == ["a.B"]

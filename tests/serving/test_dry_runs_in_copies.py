"""Dry runs in copies of the process that waits for an endpoint, whatever a model does to the copy."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import psutil
import pytest
from fitted_models import save_fitted

from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.deployments.spare import Spare
from mlops_workbench.serving.runtimes import trial
from mlops_workbench.serving.runtimes.trial import DryRun, DryRunRequest
from mlops_workbench.serving.spare import Job

pytestmark = pytest.mark.process

#: A model that does to its process what a file says.
OWN = """
import os, pathlib, signal, stat, time
from sklearn.base import BaseEstimator, RegressorMixin
class Own(RegressorMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.fitted_ = True
        return self
    def predict(self, X):
        match pathlib.Path("mode.txt").read_text():
            case "ends":
                os.killpg(0, signal.SIGKILL)
            case "floods":
                for pipe in range(3, 30):
                    try:
                        while stat.S_ISFIFO(os.fstat(pipe).st_mode):
                            os.write(pipe, b"x" * 60_000)
                    except OSError:
                        pass
            case "speaks":
                print("much " * 100_000)
            case "lasts":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(600)
        return X["a"].to_numpy() * 2
"""


@pytest.fixture
def spare(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spare]:
    monkeypatch.delenv("MLOPS_SERVING_SPARE_PROCESS")
    (workspace.root / "own_model.py").write_text(OWN)
    (workspace.root / "mode.txt").write_text("")
    monkeypatch.syspath_prepend(str(workspace.root))
    monkeypatch.chdir(workspace.root)
    from own_model import Own  # type: ignore[import-not-found]

    X = pd.DataFrame({"a": np.linspace(1, 2, 30)})
    save_fitted(workspace, workspace.root / "own", Own().fit(X), X, X.a)
    spare = Spare(Workspace.open(workspace.root))
    yield spare
    spare.end()


def do(spare: Spare, mode: str = "", seconds: float = 120) -> DryRun:
    root = spare._workspace.root
    (root / "mode.txt").write_text(mode)
    return spare.run_dry(
        DryRunRequest(str(root / "own"), ServingSettings(trusted_types=["own_model.Own"], token="secret")),
        seconds=seconds,
    )


def process_of(spare: Spare) -> psutil.Process:
    assert spare._process is not None
    assert spare._process._process is not None
    return psutil.Process(spare._process._process.pid)


def wait_until_alone(process: psutil.Process) -> None:
    deadline = time.monotonic() + 60
    while process.children():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_copies_do_dry_runs_and_the_process_itself_waits_on(spare: Spare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_started", None)
    spare.prepare()
    waiting = process_of(spare)
    with ThreadPoolExecutor() as pool:
        for found in pool.map(lambda _: do(spare), range(3)):
            assert found.problem == "" and found.rows["training"] == 30 and found.runtime == "sklearn"
    # What the model prints is not in the result.
    assert do(spare, "speaks").problem == ""
    assert process_of(spare) == waiting
    # Those that have ended are no zombies.
    wait_until_alone(waiting)
    folder = spare._workspace.root / "endpoint"
    folder.mkdir()
    taken = spare.serve(folder, folder / "log")
    assert taken is not None and taken.pid == waiting.pid
    # There is nothing to serve in the folder.
    assert taken.wait(60) != 0
    assert (folder / "log").read_text()


def test_a_model_ends_a_copy_and_not_the_process_that_waits(spare: Spare, monkeypatch: pytest.MonkeyPatch) -> None:
    found = do(spare, "ends")
    waiting = process_of(spare)
    # A process of its own was asked again, of which the system says how it ended.
    assert found.crashed and found.problem == "the model ended the process that loaded it (SIGKILL)"
    monkeypatch.setattr(trial, "_started", None)
    for mode in ("lasts", "floods"):
        slow = do(spare, mode, seconds=3)
        assert slow.crashed and slow.problem == "the model did not load within 3 s"
    assert do(spare).problem == ""
    wait_until_alone(waiting)
    assert spare._process is not None and spare._process.is_waiting and process_of(spare) == waiting


def test_without_a_process_that_waits_one_is_started(spare: Spare, monkeypatch: pytest.MonkeyPatch) -> None:
    spare.prepare()
    process = process_of(spare)
    os.kill(process.pid, signal.SIGKILL)
    assert spare._process is not None and spare._process._process is not None
    spare._process._process.wait(60)
    assert spare._process.copy(Job(socket="/no/socket", is_dry_run=True)) == 0
    # Paused: no other one is started.
    spare._paused_until = time.monotonic() + 600
    found = do(spare, "ends")
    assert found.crashed and found.problem == "the model ended the process that loaded it (SIGKILL)"
    assert not spare._process.is_waiting
    spare._paused_until = 0.0
    # The socket of who asked is gone when a copy comes late.
    late = do(spare, seconds=0.01)
    assert late.crashed and late.problem == "the model did not load within 0 s"
    waiting = process_of(spare)
    monkeypatch.setattr(trial, "_started", None)
    assert do(spare).problem == ""
    wait_until_alone(waiting)
    assert spare._process.is_waiting and process_of(spare) == waiting


def test_none_is_started_after_the_end(spare: Spare) -> None:
    spare.prepare()
    spare.close()
    assert spare._process is None
    spare.prepare()
    assert spare._process is None

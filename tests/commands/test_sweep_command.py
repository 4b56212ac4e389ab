"""``mlops sweep``: many values, one table, the best, and its model; in a shell, in a notebook and over HTTP."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernels import Kernel
from notebook_files import write
from stage_plans import until

from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import read_address
from mlops_workbench.core.errors import Conflict, InvalidInput, NotFound
from mlops_workbench.core.sweeps import SweepRequest
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process

FIT = """\
import pandas, mlops_workbench
from sklearn.linear_model import Ridge
X = pandas.DataFrame({"a": [0.0, 1.0, 2.0, 3.0] * 10})
model = Ridge(alpha=alpha).fit(X, X.a)
mlops_workbench.log_model(model, X=X, y=X.a)
mlops_workbench.log(r2=model.score(X, X.a))"""
WAIT = "import time\nopen(str(n) + '.started', 'w').close()\ntime.sleep(600)"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    made = Workspace.init(tmp_path_factory.mktemp("sweep-command") / "my wörkspace")
    write(made.root / "fit.ipynb", FIT, parameters="alpha: float = 1.0")
    write(made.root / "quick.ipynb", "import mlops_workbench\nmlops_workbench.log(loss=x)", parameters="x = 1")
    write(made.root / "waits.ipynb", WAIT, parameters="n = 1")
    yield made
    address = read_address(made)
    if address is not None:
        address.process.stop(grace=20)


def mlops(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlops_workbench.cli", *words],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def printed(folder: Path, *words: str) -> Any:
    done = mlops(folder, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.long
def test_the_best_of_a_sweep_is_shown_and_its_model_registered(workspace: Workspace) -> None:
    done = mlops(workspace.root, "sweep", "fit.ipynb", "-p", "alpha=1e-3,1e3", "--metric", "r2")
    assert done.returncode == 0, done.stderr
    assert "trial 1/2: succeeded, alpha=0.001, r2 1" in done.stderr
    assert "succeeded (best)" in done.stdout
    (listed,) = [one for one in printed(workspace.root, "sweep") if one["run"]["pipeline"] == "fit.ipynb"]
    identity = listed["run"]["id"]
    best = printed(workspace.root, "sweep", "best", identity[-8:])
    assert best["trial"]["params"] == {"alpha": 0.001}
    version = printed(workspace.root, "sweep", "best", identity[-8:], "--register", "ridge", "--alias", "champion")
    assert (version["name"], version["aliases"], version["run_uid"]) == ("ridge", ["champion"], best["model_run"])
    assert mlops(workspace.root, "sweep", "show", "nothing").returncode == 1


def test_a_sweep_without_a_model_or_a_metric_says_so(workspace: Workspace) -> None:
    found = printed(workspace.root, "sweep", "quick.ipynb", "-p", "x=1..2", "--metric", "loss")
    assert (found["best"], found["direction"]) == (1, "min")
    done = mlops(workspace.root, "sweep", "best", found["run"]["id"], "--register", "none")
    assert done.returncode == 1 and "log_model" in done.stderr
    plain = printed(workspace.root, "sweep", "quick.ipynb", "-p", "x=1..2")
    assert [trial["state"] for trial in plain["trials"]] == ["succeeded"] * 2
    with Client.connect(workspace) as client, pytest.raises(Conflict, match="has no metric"):
        client.best_trial(plain["run"]["id"])


def test_an_interrupt_cancels_a_sweep_in_the_foreground(workspace: Workspace) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "mlops_workbench.cli", "sweep", "waits.ipynb", "-p", "n=1..9"],
        cwd=workspace.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until(lambda: (workspace.root / "1.started").exists() or None)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode not in (0, None)
    assert "sweep resume" in errors
    with Client.connect(workspace) as client:
        (found,) = [one for one in client.sweeps() if one.run.pipeline == "waits.ipynb"]
        assert client.wait_sweep(found.run.id, 120).run.state == "cancelled"


def test_a_sweep_in_the_background_is_cancelled_and_shown_by_its_id(workspace: Workspace) -> None:
    (workspace.root / "1.started").unlink(missing_ok=True)
    found = printed(workspace.root, "sweep", "waits.ipynb", "-p", "n=1..3", "--background")
    until(lambda: (workspace.root / "1.started").exists() or None)
    assert mlops(workspace.root, "sweep", "cancel", found["run"]["id"]).returncode == 0
    with Client.connect(workspace) as client:
        assert client.wait_sweep(found["run"]["id"], 120).run.state == "cancelled"
    assert printed(workspace.root, "sweep", "show", found["run"]["id"])["run"]["state"] == "cancelled"


def test_over_http_a_sweep_is_checked_listed_and_read(workspace: Workspace) -> None:
    with Client.connect(workspace) as client:
        with pytest.raises(InvalidInput, match="no parameter 'y'"):
            client.start_sweep(SweepRequest(notebook="quick.ipynb", params={"y": [1, 2]}))
        with pytest.raises(InvalidInput, match="of a notebook or of a pipeline"):
            client.start_sweep(SweepRequest(params={"y": [1, 2]}))
        with pytest.raises(NotFound):
            client.sweep("0" * 32)
        asked = SweepRequest(
            notebook="quick.ipynb", params={"x": {"low": 0, "high": 100}}, method="lhs", runs=3, seed=1, metric="loss"
        )
        found = client.wait_sweep(client.start_sweep(asked).run.id)
        assert [trial.state for trial in found.trials] == ["succeeded"] * 3
        assert found.trials[found.best - 1].value == min(float(str(trial.value)) for trial in found.trials)
        assert found.run.id in [one.run.id for one in client.sweeps()]
        with pytest.raises(Conflict, match="has succeeded already"):
            client.resume_sweep(found.run.id)


def test_a_sweep_in_a_notebook(workspace: Workspace) -> None:
    kernel = Kernel(workspace.root)
    try:
        kernel.run("%load_ext mlops_workbench")
        result = kernel.run("%mlops sweep quick.ipynb -p x=5,6 --metric loss --min")
        assert "succeeded (best)" in str(result)
    finally:
        kernel.close()

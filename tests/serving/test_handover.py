"""A process that waited scores files as one that is started anew does, and ends with who asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import psutil
import pytest
from fitted_models import save_fitted
from sklearn.linear_model import LinearRegression

from mlops_workbench.core.errors import Unavailable, WorkbenchError
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.deployments.spare import Spare
from mlops_workbench.serving import handover
from mlops_workbench.serving.handover import take
from mlops_workbench.serving.runtimes.trial import environment_for_models
from mlops_workbench.serving.scoring.launch import ScoringProcess
from mlops_workbench.serving.scoring.request import ScoringRequest

pytestmark = pytest.mark.process

X = pd.DataFrame({"distance": np.arange(300.0)})
MODEL = LinearRegression().fit(X, X["distance"] * 2)

#: Gives itself to who waits, and tells what it has.
GIVEN = """
import os, sys, tempfile, time
time.localtime(), tempfile.gettempdir()
from mlops_workbench.serving.handover import give
give(sys.argv[1])
print(time.localtime(0).tm_hour, tempfile.gettempdir(), end=" ")
print(os.environ["SHOWN"], os.getcwd(), {"ITS", "MLOPS_SIGNING_KEY"} & {*os.environ}, end=" ")
print(sys.stdin.buffer.read().decode(), flush=True)
print("what went wrong", file=sys.stderr)
"""

#: Scores many rows, with a spare process or without one, and writes its id.
ASKING = """
import sys
from pathlib import Path
import msgspec
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.deployments.spare import Spare
from mlops_workbench.serving import handover
from mlops_workbench.serving.runtimes.trial import environment_for_models
from mlops_workbench.serving.scoring.launch import ScoringProcess
from mlops_workbench.serving.scoring.request import ScoringRequest

handover._PATIENCE = 120
root, lent = Path(sys.argv[1]), sys.argv[2] == "lent"
spare = Spare(Workspace.open(root))
if lent:
    spare.prepare()
request = msgspec.json.decode((root / "request.json").read_bytes(), type=ScoringRequest)
with ScoringProcess(root, spare.lend) as process:
    assert (process._spawned is None) is lent
    process.run(request, lambda _: (root / "pid").write_text(str(process._process.pid)))
"""


@pytest.fixture
def spare(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spare]:
    monkeypatch.delenv("MLOPS_SERVING_SPARE_PROCESS")
    # It imports its libraries while it is asked for.
    monkeypatch.setattr(handover, "_PATIENCE", 120)
    spare = Spare(Workspace.open(workspace.root))
    spare.prepare()
    yield spare
    spare.end()


def request(root: Path, rows: pd.DataFrame = X, repeated: int = 1, model: LinearRegression = MODEL) -> ScoringRequest:
    save_fitted(Workspace.open(root), root / "line", model, X, MODEL.predict(X))
    pd.concat([rows] * repeated).to_parquet(root / "in.parquet", row_group_size=1000)
    return ScoringRequest(
        model="line",
        version=1,
        folder=str(root / "line"),
        settings=ServingSettings(),
        inputs=[str(root / "in.parquet")],
        output=str(root / "out.parquet"),
        workers=2,
    )


def test_a_process_that_waited_scores_files(workspace: Workspace, spare: Spare) -> None:
    asked = request(workspace.root)
    with ScoringProcess(workspace.root, spare.lend) as process:
        assert process._spawned is None
        done = process.run(asked, lambda _: None)
    assert (done.rows, done.workers) == (300, 2)
    found = pd.read_parquet(workspace.root / "out.parquet")["prediction"]
    np.testing.assert_allclose(found, MODEL.predict(X))
    assert process._process is not None
    deadline = time.monotonic() + 30
    while process._process.alive():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    # It was taken: there is no other one until it is renewed.
    with ScoringProcess(workspace.root, spare.lend) as process:
        assert process._spawned is not None
    # The processor was for that one for a while.
    spare.renew()
    assert spare._process is None
    spare._paused_until = 0.0
    spare.renew()
    with ScoringProcess(workspace.root, spare.lend) as process:
        assert process._spawned is None
        with pytest.raises(WorkbenchError, match=r"missing input column 'distance'"):
            process.run(request(workspace.root, X.rename(columns={"distance": "x"})), lambda _: None)


def test_one_that_ends_is_reported_and_one_that_has_ended_is_replaced(workspace: Workspace, spare: Spare) -> None:
    asked = request(workspace.root)
    assert spare._process is not None
    assert spare._process._process is not None
    os.kill(spare._process._process.pid, signal.SIGKILL)
    spare._process._process.wait()
    with ScoringProcess(workspace.root, spare.lend) as process:
        assert process.run(asked, lambda _: None).rows == 300
    (workspace.root / "out.parquet").unlink()
    spare.renew()
    with ScoringProcess(workspace.root, spare.lend) as process:
        assert process._process is not None
        os.kill(process._process.pid, signal.SIGKILL)
        with pytest.raises(Unavailable, match="has ended"):
            process.run(asked, lambda _: None)
    assert not (workspace.root / "out.parquet").exists()


def test_its_environment_folder_and_streams_are_those_of_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children: list[subprocess.Popen[bytes]] = []

    def lend(path: str) -> int:
        children.append(subprocess.Popen([sys.executable, "-c", GIVEN, path], env=before))
        return children[-1].pid

    before = {**os.environ, "ITS": "own", "TMPDIR": "/", "TZ": "UTC"}
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    # Longer than what a pipe takes at once.
    for name, value in (("SHOWN", "größer"), ("LONG", "x" * 100_000), ("MLOPS_SIGNING_KEY", "secret"), ("TZ", "UTC-5")):
        monkeypatch.setenv(name, value)
    with open(tmp_path / "errors", "wb") as errors:
        taken = take(lend, tmp_path, environment_for_models(), errors)
        assert taken is not None
        assert taken.process == ProcessIdentity.of(children[0].pid)
        with taken.stdin as stdin:
            stdin.write(b"asked")
        with taken.stdout as stdout:
            assert stdout.read().decode() == f"5 {os.environ['TMPDIR']} größer {tmp_path} set() asked\n"
    assert children[0].wait() == 0
    assert (tmp_path / "errors").read_text() == "what went wrong\n"
    with open(tmp_path / "errors", "wb") as errors:
        assert take(lambda _: 0, tmp_path, {}, errors) is None
        # It ends before it connects.
        children.append(subprocess.Popen([sys.executable, "-c", ""]))
        assert take(lambda _: children[-1].pid, tmp_path, {}, errors) is None
        assert children[-1].wait() == 0


class Endless(LinearRegression):
    """A model whose code leaves a thread that never ends, but not in the process of the tests."""

    process = ""

    def predict(self, X: object) -> object:
        if not Endless.process:
            Endless.process = "begun"
            threading.Thread(target=threading.Event().wait).start()
        return super().predict(X)


@pytest.mark.some(2)
@pytest.mark.parametrize("how", ["lent", "spawned"])
def test_a_thread_that_never_ends_holds_up_nobody(
    workspace: Workspace, spare: Spare, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Endless, "process", "of the tests")
    asked = request(workspace.root, model=Endless().fit(X, X["distance"]))
    trusted = [f"{Endless.__module__}.{Endless.__qualname__}"]
    settings = ServingSettings(trusted_types=trusted, runtime="sklearn")
    asked = msgspec.structs.replace(asked, settings=settings, workers=1, modules=sys.path)
    with ScoringProcess(workspace.root, spare.lend if how == "lent" else None) as process:
        assert process.run(asked, lambda _: None).rows == 300
    assert process._process is not None
    deadline = time.monotonic() + 30
    while process._process.alive():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.parametrize("how", ["lent", "spawned"])
def test_it_ends_with_who_asked(
    workspace: Workspace, how: str, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLOPS_SERVING_SPARE_PROCESS")
    root = workspace.root
    (root / "request.json").write_bytes(msgspec.json.encode(request(root, repeated=10_000)))
    environment = {**os.environ, "TMPDIR": str(temporary)}
    asking = subprocess.Popen([sys.executable, "-c", ASKING, str(root), how], env=environment)
    try:
        deadline = time.monotonic() + 60
        while not (root / "pid").exists() or not (root / "pid").read_text():
            assert asking.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        scoring = psutil.Process(int((root / "pid").read_text()))
        left = [scoring, *scoring.children(recursive=True)]
    finally:
        asking.kill()
        asking.wait()
    deadline = time.monotonic() + 30
    while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in left):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not (root / "out.parquet").exists()
    assert not list(temporary.iterdir())

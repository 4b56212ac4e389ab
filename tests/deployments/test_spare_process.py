"""A process that waits for the next endpoint becomes it, or ends."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlops_workbench.client.bodies import LendRequest
from mlops_workbench.control.database import Database
from mlops_workbench.control.services.endpoints import EndpointService
from mlops_workbench.core.endpoints import EndpointSpec
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.surroundings import fingerprint
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.deployments import Supervisor
from mlops_workbench.deployments.endpoint_folder import EndpointFolder
from mlops_workbench.deployments.spare import SpareProcess
from mlops_workbench.serving.desired import LOG, read_observed
from mlops_workbench.serving.spare import Job

pytestmark = pytest.mark.process

SPEC = EndpointSpec("eta", "flight-delays@champion", 1)


@pytest.fixture
def prepared(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    monkeypatch.delenv("MLOPS_SERVING_SPARE_PROCESS")
    supervisor = Supervisor(Workspace.open(workspace.root))
    yield supervisor
    supervisor.stop_all()
    supervisor.spare.end()
    for folder in workspace.endpoints.glob("*"):
        assert not EndpointFolder(folder).is_locked()


def pid_of(supervisor: Supervisor) -> int:
    assert supervisor.spare._process is not None
    assert supervisor.spare._process._process is not None
    return supervisor.spare._process._process.pid


@pytest.mark.some(2)
@pytest.mark.parametrize("killed", [False, True])
def test_an_endpoint_starts_in_the_process_that_waited(
    prepared: Supervisor, model_folder: Callable[[str, int], Path], killed: bool
) -> None:
    prepared.spare.prepare()
    waiting = pid_of(prepared)
    prepared.spare.prepare()
    assert pid_of(prepared) == waiting
    if killed:
        os.kill(waiting, signal.SIGKILL)
    folder = prepared._workspace.endpoints / "eta"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        prepared.reconcile([SPEC], model_folder)
        observed = read_observed(folder)
        if observed is not None and observed.version == 1:
            break
        time.sleep(0.1)
    assert observed is not None
    assert (observed.process.pid == waiting) is not killed
    assert "listens on" in (folder / LOG).read_text()
    prepared.reconcile([SPEC], model_folder)
    assert pid_of(prepared) != waiting


def test_it_is_kept_for_some_minutes_only(prepared: Supervisor, model_folder: Callable[[str, int], Path]) -> None:
    prepared.spare.prepare()
    identity = ProcessIdentity.of(pid_of(prepared))
    assert identity is not None
    prepared.reconcile([], model_folder)
    assert pid_of(prepared) == identity.pid
    prepared.spare._until = time.monotonic() - 1
    prepared.reconcile([], model_folder)
    assert prepared.spare._process is None
    assert not identity.alive()


def test_it_ends_with_the_process_that_started_it(workspace: Workspace) -> None:
    spare = SpareProcess(workspace.root)
    assert spare._process is not None
    identity = ProcessIdentity.of(spare._process.pid)
    assert identity is not None
    assert spare.is_waiting
    # As the system does when the process that started it ends.
    assert spare._process.stdin is not None
    spare._process.stdin.close()
    deadline = time.monotonic() + 60
    while identity.alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not identity.alive()
    assert not spare.is_waiting
    assert spare.take(Job(str(workspace.root), str(workspace.root / "log"))) is None


def test_the_setting_keeps_none(workspace: Workspace) -> None:
    supervisor = Supervisor(Workspace.open(workspace.root))
    supervisor.spare.prepare()
    supervisor.reconcile([], lambda name, version: Path())
    assert supervisor.spare._process is None


def test_it_scores_files_for_who_has_the_same_surroundings_and_another_one_follows(
    prepared: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = EndpointService(Database(prepared._workspace.database_url), None, prepared, None, None)  # type: ignore[arg-type]
    prepared.spare.prepare()
    waiting = pid_of(prepared)
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = f"{folder}/s"
        listener.bind(path)
        listener.listen(1)
        link = Path(folder) / "link"
        link.symlink_to(path)
        own = fingerprint()
        # As in a shell's background.
        ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert fingerprint() == own
        signal.signal(signal.SIGINT, ignored)
        for wrong in (("\0", own), ("/no/socket", own), (folder, own), (str(link), own), (path, "others")):
            assert service.lend_process(LendRequest(*wrong)).pid == 0
        assert pid_of(prepared) == waiting
        monkeypatch.setattr(os, "getuid", lambda: 1 << 20)
        assert service.lend_process(LendRequest(path, own)).pid == 0
        monkeypatch.undo()
        assert service.lend_process(LendRequest(path, own)).pid == waiting
        listener.settimeout(120)
        with listener.accept()[0] as connection:
            # It has the processor for itself while it works, for a while.
            prepared.reconcile([], lambda name, version: Path())
            assert prepared.spare._process is None
            connection.close()
        prepared.spare._lent[0].wait(60)
        prepared.reconcile([], lambda name, version: Path())
        assert pid_of(prepared) != waiting
        assert not prepared.spare._lent

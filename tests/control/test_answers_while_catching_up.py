"""Answers about runs do not wait for the index: they are marked while it lacks what was just recorded."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from recorder import Recorder

from mlops_workbench.client.bodies import RegisterRequest
from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import read_address
from mlops_workbench.core.errors import NotFound, Unavailable
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]


@pytest.fixture
def feeding(stored_workspace: Workspace) -> Iterator[Ingest]:
    """Feeds the index of a running control plane, which cannot do so itself."""
    with Ingest(stored_workspace) as ingest:
        ingest.open_index()
        try:
            Client.connect(stored_workspace).close()
            yield ingest
        finally:
            address = read_address(stored_workspace)
            if address is not None:
                address.process.stop(grace=20)


def test_lists_are_answered_and_marked(feeding: Ingest) -> None:
    recorder = Recorder(feeding.workspace)
    first = recorder.start("first")
    feeding.step()
    told: list[str] = []
    with Client.connect(feeding.workspace, notify=told.append) as client:
        assert [run.uid for run in client.runs()] == [first]
        assert (told, client.status().ingest.catching_up) == ([], False)
        second = recorder.start("second")
        assert [run.uid for run in client.runs()] == [first]
        assert [experiment.runs for experiment in client.experiments()] == [1]
        assert client.run(first).run.name == "first"
        assert told == ["new records are still being read: the latest runs may be missing or incomplete"]
        assert client.status().ingest.catching_up
    done = subprocess.run(
        [sys.executable, "-m", "mlops_workbench.cli", "runs"],
        cwd=feeding.workspace.root,
        capture_output=True,
        text=True,
    )
    assert "still being read" in done.stderr
    feeding.step()
    with Client.connect(feeding.workspace, notify=told.append) as client:
        assert {run.uid for run in client.runs()} == {first, second}
        assert len(told) == 1


def test_a_run_that_is_not_read_yet_is_waited_for(feeding: Ingest) -> None:
    uid = Recorder(feeding.workspace).start("late")
    found: list[str] = []
    with Client.connect(feeding.workspace) as client:
        reader = threading.Thread(target=lambda: found.append(client.run(uid).run.name))
        reader.start()
        with pytest.raises(TimeoutError):
            _ended(reader, 1.0)
        feeding.step()
        _ended(reader, 60.0)
    assert found == ["late"]


@pytest.mark.long
def test_an_unread_run_is_not_called_unknown(feeding: Ingest) -> None:
    recorder = Recorder(feeding.workspace)
    recorder.start("same")
    feeding.step()
    with Client.connect(feeding.workspace) as client:
        with pytest.raises(NotFound):
            client.run("unknown")
        uid = recorder.start("same")
        with pytest.raises(Unavailable, match="still being read"):
            client.run(uid)
        # Not the model of an older run.
        with pytest.raises(Unavailable, match="still being read"):
            client.register("m", RegisterRequest("same"))


def _ended(thread: threading.Thread, seconds: float) -> None:
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError

"""Endpoints as processes: started, switched, adopted, restarted and stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

from mlops_workbench.core.endpoints import Endpoint, EndpointSpec
from mlops_workbench.core.errors import NotFound, WorkbenchError
from mlops_workbench.core.manifest import read_manifest
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.deployments import Supervisor
from mlops_workbench.deployments.endpoint_folder import EndpointFolder
from mlops_workbench.serving.desired import read_observed

pytestmark = pytest.mark.process

SPEC = EndpointSpec("eta", "flight-delays@champion", 1)
ModelFolderOf = Callable[[str, int], Path]


@contextmanager
def reconciling(supervisor: Supervisor, specs: list[EndpointSpec], model_folder: ModelFolderOf) -> Iterator[None]:
    """Reconcile again and again, as the control plane does."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(0.1):
            supervisor.reconcile(list(specs), model_folder)

    thread = threading.Thread(target=run)
    supervisor.reconcile(list(specs), model_folder)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def predict(endpoint: Endpoint, distance: float = 10.0, **body: object) -> httpx.Response:
    inputs = [{"name": "distance", "datatype": "FP64", "shape": [1], "data": [distance]}]
    return httpx.post(
        f"{endpoint.url}/v2/models/{endpoint.name}/infer", json={"inputs": inputs, **body}, timeout=60, trust_env=False
    )


def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_an_endpoint_is_started_switched_rolled_back_and_stopped(
    supervisor: Supervisor, model_folder: ModelFolderOf
) -> None:
    specs = [SPEC]
    with reconciling(supervisor, specs, model_folder):
        first = supervisor.wait("eta", 1, 90)
        assert (first.state, first.version, first.model) == ("ready", 1, "flight-delays@champion")
        answer = predict(first).json()
        assert answer["model_version"] == "1"
        assert answer["outputs"][0]["data"] == pytest.approx([10.0])

        specs[0] = replace(SPEC, version=2, previous=1, generation=2)
        second = supervisor.wait("eta", 2, 60)
        assert predict(second).json()["outputs"][0]["data"] == pytest.approx([20.0])
        assert (second.pid, second.url) == (first.pid, first.url)

        specs[0] = replace(SPEC, version=1, previous=2, generation=3)
        assert predict(supervisor.wait("eta", 1, 60)).json()["outputs"][0]["data"] == pytest.approx([10.0])

        specs[0] = replace(specs[0], wanted=False, generation=4)
        until(lambda: supervisor.observe(specs[0]).state == "stopped", "it stops")
    assert ProcessIdentity.of(first.pid) is None
    with pytest.raises(httpx.ConnectError):
        predict(first)


def test_what_is_served_is_the_model_that_was_deployed_not_the_number_of_its_version(
    supervisor: Supervisor, model_folder: ModelFolderOf, exported: Path, quick: Workspace, tmp_path: Path
) -> None:
    other = EndpointSpec("eta", "negative/1", 1)
    again = tmp_path / "again"
    folders = {"flight-delays": model_folder("flight-delays", 1), "negative": model_folder("negative", 1)}
    specs = [SPEC]
    with reconciling(supervisor, specs, lambda name, version: folders[name]):
        first = supervisor.wait("eta", 1, 90)
        # Another model in a running process, then in a new one of an endpoint that was removed.
        specs[0] = replace(other, generation=2)
        until(lambda: supervisor.observe(specs[0]).state == "ready", "it switches")
        assert predict(first).json()["outputs"][0]["data"] == pytest.approx([-10.0])
        digest = read_manifest(folders["negative"]).digest
        assert supervisor.observe(specs[0]).digest == digest != first.digest
        specs[0] = replace(specs[0], wanted=False, generation=3)
        until(lambda: supervisor.observe(specs[0]).state == "stopped", "it stops")
        specs.clear()
        supervisor.forget("eta")
        # A model that was deleted and registered again begins with version 1, too.
        shutil.copytree(exported / "flight-delays" / "2", again)
        folders["negative"] = again
        specs.append(other)
        last = supervisor.wait("eta", 1, 90)
        assert predict(last).json()["outputs"][0]["data"] == pytest.approx([20.0])
        assert last.digest == read_manifest(again).digest
        # Other files in that folder, or damaged ones, are exported again.
        folders["negative"] = model_folder("flight-delays", 2)
        shutil.rmtree(again)
        shutil.copytree(exported / "flight-delays" / "3", again)
        os.kill(last.pid, signal.SIGKILL)
        until(lambda: supervisor.observe(other).pid not in (0, last.pid), "a new process")
        served = supervisor.wait("eta", 1, 90)
        assert predict(served).json()["outputs"][0]["data"] == pytest.approx([20.0])
        assert served.digest == last.digest


def test_a_switch_under_load_fails_no_request_and_never_goes_back(
    supervisor: Supervisor, model_folder: ModelFolderOf
) -> None:
    specs = [SPEC]
    with reconciling(supervisor, specs, model_folder):
        endpoint = supervisor.wait("eta", 1, 90)
        seen: list[list[int]] = [[], [], [], []]
        problems: list[str] = []
        ended = threading.Event()

        def ask(mine: list[int]) -> None:
            with httpx.Client(trust_env=False, timeout=60) as client:
                while not ended.is_set():
                    inputs = [{"name": "distance", "datatype": "FP64", "shape": [1], "data": [10.0]}]
                    answer = client.post(f"{endpoint.url}/v2/models/eta/infer", json={"inputs": inputs})
                    if answer.status_code != 200:
                        problems.append(answer.text)
                        return
                    body = answer.json()
                    version = int(body["model_version"])
                    # The version that is named is the version that answered.
                    if abs(body["outputs"][0]["data"][0] - 10 * version) > 1e-6:
                        problems.append(answer.text)
                    mine.append(version)

        threads = [threading.Thread(target=ask, args=(mine,)) for mine in seen]
        for thread in threads:
            thread.start()
        try:
            for version in (2, 3):
                until(lambda: all(len(mine) > 5 for mine in seen) or problems, "requests are answered")
                specs[0] = replace(SPEC, version=version, previous=version - 1, generation=version)
                supervisor.wait("eta", version, 60)
                until(lambda now=version: problems or all(mine[-1] == now for mine in seen), "all see the new one")
        finally:
            ended.set()
            for thread in threads:
                thread.join()
    assert problems == []
    for mine in seen:
        assert mine == sorted(mine)
        assert set(mine) == {1, 2, 3}


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_serving_and_says_why(
    supervisor: Supervisor, model_folder: ModelFolderOf
) -> None:
    specs = [SPEC]
    with reconciling(supervisor, specs, model_folder):
        supervisor.wait("eta", 1, 90)
        specs[0] = replace(SPEC, version=4, previous=1, generation=2)
        with pytest.raises(WorkbenchError, match=r"model\.skops is not the file that was registered"):
            supervisor.wait("eta", 4, 60)
        endpoint = supervisor.observe(specs[0])
        assert (endpoint.state, endpoint.version, endpoint.wanted_version) == ("failed", 1, 4)
        assert predict(endpoint).json()["model_version"] == "1"
        specs[0] = replace(SPEC, version=2, previous=1, generation=3)
        assert supervisor.wait("eta", 2, 60).message == ""


def test_a_killed_endpoint_comes_back_on_its_port_while_the_registry_is_away(
    supervisor: Supervisor, model_folder: ModelFolderOf, quick: Workspace
) -> None:
    away = threading.Event()

    def folder(name: str, version: int) -> Path:
        if away.is_set():
            raise NotFound("the registry is away")
        return model_folder(name, version)

    with reconciling(supervisor, [SPEC], folder):
        before = supervisor.wait("eta", 1, 90)
        assert predict(before, id="logged").status_code == 200
        written = quick.predictions / "endpoint=eta"
        # At most serving.log_seconds are lost, so after that the answer is there.
        until(lambda: list(written.glob("date=*/*.parquet")), "the prediction is logged")
        away.set()
        os.kill(before.pid, signal.SIGKILL)
        until(lambda: supervisor.observe(SPEC).pid not in (0, before.pid), "a new process")
        after = supervisor.wait("eta", 1, 90)
        assert after.url == before.url
        assert predict(after).status_code == 200
    rows = pq.read_table(written).to_pylist()
    assert rows[0]["request_id"] == "logged"


@pytest.mark.long
def test_an_endpoint_that_served_is_started_again_at_once_however_often_it_is_killed(
    supervisor: Supervisor, model_folder: ModelFolderOf
) -> None:
    with reconciling(supervisor, [SPEC], model_folder):
        pid = supervisor.wait("eta", 1, 90).pid
        # With a pause that doubles with each death, the ninth start would come after a minute.
        for _ in range(9):
            os.kill(pid, signal.SIGKILL)
            until(lambda before=pid: supervisor.observe(SPEC).pid not in (0, before), "a new process")
            starting = supervisor.observe(SPEC)
            assert (
                starting.state == "ready" or starting.message == "its process ended with signal 9 and is started again"
            )
            pid = supervisor.wait("eta", 1, 90).pid
        assert supervisor.observe(SPEC).message == ""
    assert not supervisor.wait_for_end(0.01)
    os.kill(pid, signal.SIGKILL)
    assert supervisor.wait_for_end(60)


def test_a_process_that_ends_before_it_serves_says_why(
    supervisor: Supervisor, quick: Workspace, exported: Path
) -> None:
    # As an earlier version stored it.
    spec = replace(SPEC, port=70000)
    folder = exported / "flight-delays" / "1"
    with (
        reconciling(supervisor, [spec], lambda name, version: folder),
        pytest.raises(WorkbenchError, match=r"OverflowError: .*port must be 0-65535"),
    ):
        supervisor.wait("eta", 1, 90)
    supervisor.forget("eta")

    # Until the kill comes between its first report and its first version.
    for _ in range(20):
        shutil.rmtree(quick.endpoints / "eta", ignore_errors=True)
        with reconciling(supervisor, [SPEC], lambda name, version: folder):
            until(lambda: read_observed(quick.endpoints / "eta"), "its first report")
            report = read_observed(quick.endpoints / "eta")
            assert report is not None
            os.kill(report.process.pid, signal.SIGKILL)
            try:
                supervisor.wait("eta", 1, 90)
            except WorkbenchError as error:
                assert "ended with signal 9 before it served" in str(error)
                break
        supervisor.stop_all()
        supervisor.forget("eta")
    else:
        raise AssertionError("it always served before it was killed")


def test_a_copied_workspace_does_not_serve_from_the_original(
    supervisor: Supervisor, model_folder: ModelFolderOf, quick: Workspace
) -> None:
    with reconciling(supervisor, [SPEC], model_folder):
        supervisor.wait("eta", 1, 90)
    desired = json.loads((quick.endpoints / "eta" / "desired.json").read_text())
    supervisor.stop_all()
    exported = desired["folder"]
    # As a copy has it: everything names the folder of the original, which still exists.
    original = quick.root.with_name("original")
    shutil.copytree(exported, original / "model")
    desired |= {"folder": str(original / "model"), "predictions": str(original / "predictions")}
    (quick.endpoints / "eta" / "desired.json").write_text(json.dumps(desired))
    with reconciling(supervisor, [SPEC], model_folder):
        supervisor.wait("eta", 1, 90)
    assert json.loads((quick.endpoints / "eta" / "desired.json").read_text())["folder"] == exported


def test_a_copied_workspace_leaves_the_endpoints_of_the_original_alone(
    supervisor: Supervisor, model_folder: ModelFolderOf, quick: Workspace, tmp_path: Path
) -> None:
    with reconciling(supervisor, [SPEC], model_folder):
        original = supervisor.wait("eta", 1, 90)
        copied = Supervisor(Workspace.open(shutil.copytree(quick.root, tmp_path / "copy")))
        try:
            with reconciling(copied, [SPEC], model_folder):
                copy = copied.wait("eta", 1, 90)
                assert copy.pid not in (0, original.pid) and copy.url != original.url
        finally:
            copied.stop_all()
        assert predict(original).status_code == 200
        assert supervisor.observe(SPEC).pid == original.pid


def test_endpoints_outlive_a_killed_supervisor_and_are_adopted(
    supervisor: Supervisor, model_folder: ModelFolderOf, exported: Path, quick: Workspace
) -> None:
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from mlops_workbench.core.endpoints import EndpointSpec\n"
        "from mlops_workbench.core.workspace import Workspace\n"
        "from mlops_workbench.deployments import Supervisor\n"
        "one = Supervisor(Workspace.open(Path(sys.argv[1])))\n"
        "while True:\n"
        "    one.reconcile([EndpointSpec('eta', 'flight-delays@champion', 1)],\n"
        "                  lambda name, version: Path(sys.argv[2]) / name / str(version))\n"
        "    time.sleep(0.1)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", script, str(quick.root), str(exported)])
    try:
        until(lambda: supervisor.observe(SPEC).state == "ready", "the other supervisor starts it", 90)
        before = supervisor.observe(SPEC)
    finally:
        other.kill()
        other.wait()
    assert predict(before).status_code == 200
    for _ in range(3):
        supervisor.reconcile([SPEC], model_folder)
    after = supervisor.wait("eta", 1, 60)
    assert (after.pid, after.url) == (before.pid, before.url)
    # A second process for the same endpoint is refused by the lock.
    folder = quick.endpoints / "eta"
    second = EndpointFolder(folder).launch(quick.root)
    assert second.wait(60) == 3
    reported = read_observed(folder)
    assert reported is not None
    assert reported.process.pid == before.pid
    # And an endpoint that nobody wants any more is stopped by whoever is in charge.
    with reconciling(supervisor, [], model_folder):
        until(lambda: ProcessIdentity.of(before.pid) is None, "it stops")


def test_new_settings_of_the_process_restart_it_on_the_same_port(
    supervisor: Supervisor, model_folder: ModelFolderOf, quick: Workspace
) -> None:
    with reconciling(supervisor, [SPEC], model_folder):
        before = supervisor.wait("eta", 1, 90)
    changed = Supervisor(Workspace.open(quick.root, {"serving.token": "secret"}))
    with reconciling(changed, [SPEC], model_folder):
        until(lambda: changed.observe(SPEC).pid not in (0, before.pid), "a new process")
        after = changed.wait("eta", 1, 90)
        assert after.url == before.url
        assert predict(after).status_code == 401
    changed.stop_all()


def test_a_taken_port_and_an_open_host_are_reported_not_retried_in_a_loop(
    workspace: Workspace, model_folder: ModelFolderOf
) -> None:
    open_host = Supervisor(Workspace.open(workspace.root, {"serving.host": "0.0.0.0"}))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        supervisor = Supervisor(workspace)
        spec = replace(SPEC, port=port)
        with (
            reconciling(supervisor, [spec], model_folder),
            pytest.raises(WorkbenchError, match=rf"cannot listen on 127\.0\.0\.1:{port}: .*in use"),
        ):
            supervisor.wait("eta", 1, 90)
        supervisor.stop_all()
    with (
        reconciling(open_host, [replace(SPEC, generation=2)], model_folder),
        pytest.raises(WorkbenchError, match=r"refuses to listen on 0\.0\.0\.0 without a token"),
    ):
        open_host.wait("eta", 1, 90)
    open_host.stop_all()


def test_the_error_of_the_registry_is_the_error_of_the_endpoint(workspace: Workspace) -> None:
    def folder(name: str, version: int) -> Path:
        raise NotFound(f"{name} has no version {version}")

    supervisor = Supervisor(workspace)
    supervisor.reconcile([SPEC], folder)
    with pytest.raises(WorkbenchError, match="flight-delays has no version 1"):
        supervisor.wait("eta", 1, 5)
    endpoint = supervisor.observe(SPEC)
    assert (endpoint.state, endpoint.pid, endpoint.url) == ("failed", 0, "")

"""Worker processes of an endpoint: they share connections, logs and counts, and a switch between them loses nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from mlops_workbench.core.endpoints import EndpointSpec
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.deployments import Supervisor
from mlops_workbench.deployments.endpoint_folder import EndpointFolder
from mlops_workbench.serving.desired import Observed, read_observed

pytestmark = pytest.mark.process

SPEC = EndpointSpec("eta", "flight-delays@champion", 1)
ModelFolderOf = Callable[[str, int], Path]


@pytest.fixture
def several(quick: Workspace) -> Iterator[Supervisor]:
    (quick.root / "workbench.toml").write_text("[serving]\nlog_seconds = 0.3\nworkers = 3\n")
    supervisor = Supervisor(Workspace.open(quick.root))
    yield supervisor
    supervisor.stop_all()
    for folder in quick.endpoints.glob("*"):
        assert not EndpointFolder(folder).is_locked()


def until(supervisor: Supervisor, spec: EndpointSpec, folder: ModelFolderOf, is_there: Callable[[Any], Any]) -> Any:
    """Reconcile until the observed state is as it should be."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        supervisor.reconcile([spec], folder)
        observed = read_observed(supervisor._workspace.endpoints / spec.name)
        if observed is not None and is_there(observed):
            return observed
        time.sleep(0.1)
    raise AssertionError(observed)


class Client(threading.Thread):
    """Asks again and again over one connection; a connection that breaks ends it."""

    def __init__(self, url: str, *, pause: float = 0.0) -> None:
        super().__init__()
        self.url, self.pause = url, pause
        self.answers: list[tuple[float, float, str, str]] = []
        self.problem = ""
        self.ending = threading.Event()

    def run(self) -> None:
        host = httpx.URL(self.url)
        body = json.dumps({"inputs": [{"name": "distance", "datatype": "FP64", "shape": [1], "data": [10.0]}]}).encode()
        head = f"POST /v2/models/eta/infer HTTP/1.1\r\nHost: {host.host}\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            with socket.create_connection((host.host, host.port or 80), timeout=30) as connection:
                while not self.ending.wait(self.pause):
                    asked = time.monotonic()
                    connection.sendall(head.encode() + body)
                    found = b""
                    while b"\r\n\r\n" not in found:
                        if not (part := connection.recv(65536)):
                            raise ConnectionError("the connection was closed")
                        found += part
                    text, _, rest = found.partition(b"\r\n\r\n")
                    length = re.search(rb"content-length: (\d+)", text)
                    assert length is not None, text
                    while len(rest) < int(length[1]):
                        if not (part := connection.recv(65536)):
                            raise ConnectionError("the connection was closed")
                        rest += part
                    answer = json.loads(rest)
                    assert answer["outputs"][0]["data"] == [10.0 * int(answer["model_version"])], answer
                    self.answers.append((asked, time.monotonic(), answer["model_version"], answer["id"]))
        except Exception as error:
            self.problem = repr(error)


def logged(workspace: Workspace, ids: set[str]) -> list[str]:
    """Ids of the rows in the prediction log, once all of `ids` are there or there is no hope."""
    deadline = time.monotonic() + 20
    while True:
        rows: list[str] = []
        for file in (workspace.predictions / "endpoint=eta").glob("date=*/*.parquet"):
            rows += pq.ParquetFile(file).read(columns=["request_id"])["request_id"].to_pylist()
        if ids <= set(rows) or time.monotonic() > deadline:
            return rows
        time.sleep(0.2)


def test_a_switch_loses_no_request_and_no_row_and_never_goes_back(several, model_folder) -> None:
    workspace = several._workspace
    ready = until(several, SPEC, model_folder, lambda one: one.version == 1)
    assert len(ready.workers) == 3
    clients = [Client(ready.url, pause=0.002 * (number % 3)) for number in range(8)]
    idle = Client(ready.url, pause=1.5)  # its connection waits while the workers change
    for client in (*clients, idle):
        client.start()
    time.sleep(0.5)
    switched = until(several, EndpointSpec("eta", "flight-delays@champion", 2), model_folder, lambda o: o.version == 2)
    assert not set(switched.workers) & set(ready.workers)
    time.sleep(0.5)
    until(several, EndpointSpec("eta", "flight-delays@champion", 1), model_folder, lambda o: o.version == 1)
    time.sleep(1.6)
    for client in (*clients, idle):
        client.ending.set()
    for client in (*clients, idle):
        client.join()
    assert [client.problem for client in (*clients, idle) if client.problem] == []
    answers = sorted(answer for client in (*clients, idle) for answer in client.answers)
    assert {answer[2] for answer in answers} == {"1", "2"}
    # Who asked after somebody had the answer of the new version never got that of the old one.
    first = min(done for _, done, version, _ in answers if version == "2")
    last = max(asked for asked, _, version, _ in answers if version == "2")
    assert all(version == "2" for asked, _, version, _ in answers if first < asked < last)
    ids = {answer[3] for answer in answers}
    assert len(ids) == len(answers)
    rows = logged(workspace, ids)
    assert sorted(rows) == sorted(ids)


def counted(url: str) -> int:
    """Requests with an answer, as the workers count them together."""
    found = re.search(
        r'mlwb_requests_total\{[^}]*status="200"\} (\d+)', httpx.get(f"{url}/metrics", trust_env=False).text
    )
    assert found is not None
    return int(found[1])


def test_a_worker_that_is_killed_is_replaced_and_its_rows_are_kept(several, model_folder) -> None:
    workspace = several._workspace
    ready: Observed = until(several, SPEC, model_folder, lambda one: one.version == 1)
    clients = [Client(ready.url) for _ in range(6)]
    for client in clients:
        client.start()
    time.sleep(0.5)
    os.kill(ready.workers[1], signal.SIGKILL)
    new = until(several, SPEC, model_folder, lambda one: len(set(one.workers) - set(ready.workers)) == 1)
    assert new.process == ready.process
    time.sleep(0.3)
    for client in clients:
        client.ending.set()
    for client in clients:
        client.join()
    ids = {answer[3] for client in clients for answer in client.answers}
    assert ids <= set(logged(workspace, ids))
    # What the killed one had counted is not lost; the others tell what they count some times a second.
    asked = sum(len(client.answers) for client in clients if not client.problem)
    deadline = time.monotonic() + 30
    while (found := counted(new.url)) < asked:
        assert time.monotonic() < deadline, f"{found} of {asked}"
        time.sleep(0.1)


def test_workers_end_with_the_process_that_forked_them(several, model_folder) -> None:
    ready: Observed = until(several, SPEC, model_folder, lambda one: one.version == 1)
    identities = [ProcessIdentity.of(pid) for pid in ready.workers]
    os.kill(ready.process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while any(one is not None and one.alive() for one in identities) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(one is not None and one.alive() for one in identities)
    # And the supervisor starts the endpoint again, at the same address.
    again = until(several, SPEC, model_folder, lambda one: one.version == 1 and one.process != ready.process)
    assert again.url == ready.url


def test_a_version_that_kills_its_workers_leaves_the_one_before(several, model_folder) -> None:
    ready: Observed = until(several, SPEC, model_folder, lambda one: one.version == 1)
    bad = EndpointSpec("eta", "flight-delays@champion", 4)  # changed after it was registered
    failed = until(several, bad, model_folder, lambda one: one.error)
    assert failed.version == 1
    assert failed.workers == ready.workers
    answer = httpx.post(
        f"{ready.url}/v2/models/eta/infer",
        json={"inputs": [{"name": "distance", "datatype": "FP64", "shape": [1], "data": [3.0]}]},
        trust_env=False,
    )
    assert answer.json()["outputs"][0]["data"] == [3.0]

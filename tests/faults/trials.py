"""What the trials of faults have in common: a workspace under fire, and its end."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import ensure_running, read_address
from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.workspace import Workspace

#: What a trial counted, by the names of the benchmark's last line.
Counts = Counter[str]

DEADLINE = 240.0


def until(look: Callable[[], Any], what: str, seconds: float = DEADLINE) -> Any:
    """Wait for something, which may fail meanwhile."""
    deadline = time.monotonic() + seconds
    problem: object = ""
    while time.monotonic() < deadline:
        try:
            if found := look():
                return found
        except WorkbenchError as error:
            problem = error
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:g} s for {what} {problem}")


@contextlib.contextmanager
def new_workspace() -> Iterator[Workspace]:
    """A workspace, whose processes are ended and whose files are deleted at the end."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    workspace = Workspace.init(folder)
    try:
        yield workspace
    finally:
        end(workspace)
        shutil.rmtree(folder, ignore_errors=True)


def end(workspace: Workspace) -> None:
    """End the processes of a workspace."""
    with contextlib.suppress(Exception), Client.connect(workspace, start=False) as client:
        client.shutdown()
    address = read_address(workspace)
    if address is not None:
        address.process.stop(grace=20)
    for path in workspace.endpoints.glob("*"):
        from mlops_workbench.deployments.endpoint_folder import EndpointFolder

        observed = EndpointFolder(path).observed()
        if observed is not None and observed.process.alive():
            observed.process.stop(grace=20)


def kill_control(workspace: Workspace) -> bool:
    """Kill the control plane with SIGKILL; False if there is none."""
    address = read_address(workspace)
    if address is None or not address.process.alive():
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(address.process.pid, signal.SIGKILL)
    return bool(until(lambda: not address.process.alive(), "the end of the control plane"))


@contextlib.contextmanager
def control_under_fire(workspace: Workspace, pauses: tuple[float, float], seed: int = 0) -> Iterator[Counts]:
    """Kill the control plane again and again, after random pauses in seconds, and start it again."""
    counts, stop, chance = Counts(), threading.Event(), random.Random(seed)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            while not stop.is_set():
                ensure_running(workspace)
                stop.wait(chance.uniform(*pauses))
                counts["kills_control"] += kill_control(workspace)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="killer of the control plane")
    thread.start()
    try:
        yield counts
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]


def delivered(client: Client) -> bool:
    """Whether everything in the journals is in the index and in MLflow."""
    state = client.status().ingest
    return not state.backlog_bytes and not state.backlog_records and not state.problem

"""Where the benchmark of endpoints runs: workspaces with their endpoints, processor cores, and memory of processes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from pipelines_commands import command

from mlops_workbench.client.launch import read_address
from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.settings_sources import load_settings
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.deployments.endpoint_folder import EndpointFolder

_CORES = sorted(os.sched_getaffinity(0))
#: The core of the servers, and that of the clients.
SERVER_CORE, CLIENT_CORE = _CORES[0], _CORES[-1]
_HERE = Path(__file__).parent
_PATIENCE = 180.0


@dataclass
class Server:
    """A running server of a model.

    Attributes
    ----------
    name : str
        ``workbench``, ``native``, ``mlflow`` or ``bentoml``.
    url : str
        Base URL.
    pid : int
        Its first process.
    platform : str
        What answers, as the server's metadata say.
    """

    name: str
    url: str
    pid: int
    platform: str

    def pin(self) -> None:
        """Let it run on the servers' core only."""
        pin(self.pid, SERVER_CORE)

    def cpu_seconds(self) -> float:
        """Processor time that its processes have used."""
        total = 0.0
        for process in tree(self.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total


@dataclass
class Place:
    """A workspace of its own with its endpoints."""

    root: Path
    models: dict[str, int] = field(default_factory=dict)

    @property
    def workspace(self) -> Workspace:
        return Workspace.open(self.root)

    def pin_control(self) -> None:
        """Let the control plane run on the clients' core only; endpoints that it starts later would do so, too."""
        address = read_address(self.workspace)
        assert address is not None
        for thread in psutil.Process(address.process.pid).threads():
            with contextlib.suppress(OSError):
                os.sched_setaffinity(thread.id, {CLIENT_CORE})

    def register(self, name: str, versions: int = 1) -> None:
        """Fit, log and register a model, once."""
        if name in self.models:
            return
        command(self.root, "python", str(_HERE / "serving_models.py"), name, str(versions))
        for version in range(1, versions + 1):
            command(self.root, "mlops", "register", f"{name}-{version}", "--as", name)
        self.models[name] = versions

    def deploy(self, name: str, version: int = 1, endpoint: str = "") -> Server:
        """Serve a registered version, and wait until it answers."""
        label = endpoint or name
        command(self.root, "mlops", "deploy", f"{name}/{version}", "--name", label)
        return self.server(label)

    def server(self, endpoint: str) -> Server:
        """The running endpoint of this name."""
        found = json.loads(command(self.root, "mlops", "endpoints", endpoint, "--json")[1])
        metadata = httpx.get(f"{found['url']}/v2/models/{endpoint}", trust_env=False).json()
        return Server("workbench", found["url"], found["pid"], metadata["platform"])

    def exported(self, endpoint: str) -> Path:
        """The folder of the version that an endpoint serves."""
        desired = EndpointFolder(self.workspace.endpoints / endpoint).desired()
        assert desired is not None
        return Path(desired.folder)

    def remove(self, endpoint: str) -> None:
        """Stop an endpoint, and wait for the end of its process."""
        pid = EndpointFolder(self.workspace.endpoints / endpoint).observed()
        command(self.root, "mlops", "endpoints", endpoint, "--remove")
        wait_until(lambda: pid is None or not pid.process.alive(), f"the end of endpoint '{endpoint}'")


@contextlib.contextmanager
def place(settings: str = "") -> Iterator[Place]:
    """A fresh workspace with a control plane; all its processes are ended afterwards."""
    root = Path(tempfile.mkdtemp(prefix="bench-serving-"))
    try:
        (root / "workbench.toml").write_text(settings)
        command(root, "mlops", "up")
        yield Place(root)
    finally:
        _end(root)
        shutil.rmtree(root, ignore_errors=True)


def takes(settings: str) -> bool:
    """Whether this version of the workbench knows these settings."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "workbench.toml"
        file.write_text(settings)
        try:
            load_settings(file)
        except WorkbenchError:
            return False
    return True


def offers(text: str, *words: str) -> bool:
    """Whether the help of a command has this text."""
    return text in command(_HERE, "mlops", *words, "--help")[1]


def pin(pid: int, core: int) -> None:
    """Let a process and its descendants run on one core, with all threads that they have now."""
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            for thread in process.threads():
                os.sched_setaffinity(thread.id, {core})


def tree(pid: int) -> list[psutil.Process]:
    """A process and all its descendants."""
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def pss_mb(pid: int) -> float:
    """Proportional set size of a process and its descendants."""
    total = 0
    for process in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return round(total / 1024, 1)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_until(look: Callable[[], Any], what: str, seconds: float = _PATIENCE) -> None:
    """Wait for something.

    Raises
    ------
    RuntimeError
        It takes too long.
    """
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)


def _end(root: Path) -> None:
    """End the processes of a workspace by their ids, also if the control plane does not answer any more."""
    workspace = Workspace.open(root)
    address = read_address(workspace)
    with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
        command(root, "mlops", "down")
    if address is not None:
        address.process.stop(grace=20)
    for path in workspace.endpoints.glob("*"):
        observed = EndpointFolder(path).observed()
        if observed is not None:
            observed.process.stop(grace=10)

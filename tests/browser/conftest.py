"""A real JupyterLab in a real browser, on a workspace that was filled the way a user fills one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab_page import PATIENCE, TOKEN, Lab
from playwright.sync_api import Browser, ConsoleMessage, expect, sync_playwright

from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import read_address
from mlops_workbench.core.workspace import Workspace

HERE = Path(__file__).parent
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: Errors that pages of Notebook 7 have without the Workbench too: of its settings, and of JupyterLab beside it.
NOTEBOOK_ERRORS = (
    "Cannot read properties of undefined (reading 'schema')",
    'Window name candidate "null" already exists',
)
MANY = """\
from mlops_workbench import log, track
for number in range(50):
    with track(f"run {number}"):
        log(score=number)
"""
expect.set_options(timeout=PATIENCE * 1000)


def stop(workspace: Workspace) -> None:
    """End the endpoints and the control plane of a workspace."""
    address = read_address(workspace)
    if address is None:
        return
    with Client.connect(workspace, start=False) as client:
        client.shutdown()
    address.process.stop(grace=PATIENCE)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace with runs, a pipeline run, a model, an endpoint and its monitor."""
    folder = tmp_path_factory.mktemp("browser") / "flights wörk"
    folder.mkdir()
    workspace = Workspace.init(folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLOPS_")}
    try:
        subprocess.run(
            [sys.executable, str(HERE / "seed.py"), str(folder)],
            check=True, cwd=folder, env=environment, stdin=subprocess.DEVNULL, timeout=900,
        )  # fmt: skip
        yield workspace
    finally:
        stop(workspace)


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace in which nothing has happened yet."""
    folder = tmp_path_factory.mktemp("fresh") / "fresh"
    folder.mkdir()
    workspace = Workspace.init(folder)
    yield workspace
    stop(workspace)


@pytest.fixture(scope="session")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace with fifty runs and fifty pipelines."""
    workspace = Workspace.init(tmp_path_factory.mktemp("crowded"))
    subprocess.run([sys.executable, "-c", MANY], cwd=workspace.root, check=True, timeout=PATIENCE)
    folder = workspace.root / "pipelines"
    folder.mkdir(exist_ok=True)
    for number in range(50):
        (folder / f"pipeline-{number:02}.yaml").write_text("version: 2\nstages:\n  train:\n    notebook: train.ipynb\n")
    yield workspace
    stop(workspace)


@pytest.fixture
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace for one test, in which nothing has happened yet."""
    workspace = Workspace.init(tmp_path_factory.mktemp("empty"))
    yield workspace
    stop(workspace)


@pytest.fixture(scope="session")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace whose control plane nobody has asked for anything; for one test."""
    # It ends with the session: an open page would start the control plane again.
    workspace = Workspace.init(tmp_path_factory.mktemp("untouched"))
    yield workspace
    stop(workspace)


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Start JupyterLab (or Jupyter Notebook) on a workspace, once for each; gives its URL."""
    running: dict[tuple[Path, str], tuple[subprocess.Popen[bytes], str]] = {}

    def start(workspace: Workspace, application: str = "jupyterlab") -> str:
        key = (workspace.root, application)
        if key not in running:
            running[key] = _start(workspace.root, tmp_path_factory.mktemp("jupyter"), application)
        return running[key][1]

    yield start
    for process, _ in running.values():
        process.terminate()
    for process, _ in running.values():
        process.wait(PATIENCE)


def _start(root: Path, home: Path, application: str) -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLOPS_", "JUPYTER_"))}
    for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"):
        environment[f"JUPYTER_{name}"] = str(home / name.lower())
    environment["JUPYTERLAB_SETTINGS_DIR"] = str(home / "settings")
    environment["JUPYTERLAB_WORKSPACES_DIR"] = str(home / "workspaces")
    notices = home / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    notices.parent.mkdir(parents=True)
    # Otherwise it asks whether it may fetch news, over the corner of every picture.
    notices.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    ours = home / "settings" / "mlops-workbench" / "settings.jupyterlab-settings"
    ours.parent.mkdir(parents=True)
    # What shows up does so because an event said so, not because it was time to look again.
    ours.write_text('{"refreshSeconds": 0}')
    log = home / "lab.log"
    options = {
        "ServerApp.root_dir": str(root),
        "ServerApp.port": str(port),
        "ServerApp.port_retries": "0",
        "ServerApp.open_browser": "False",
        "IdentityProvider.token": TOKEN,
        # Commands are run by id: that they are reachable by mouse and keyboard is tested on its own.
        f"{'LabApp' if application == 'jupyterlab' else 'JupyterNotebookApp'}.expose_app_in_browser": "True",
    }
    command = [
        sys.executable,
        "-m",
        application,
        "--allow-root",
        *(f"--{name}={value}" for name, value in options.items()),
    ]
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=root
        )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            urllib.request.urlopen(f"{url}/api", timeout=5).close()
            return process, url
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise AssertionError(f"{application} did not start:\n{log.read_text()}") from None
            time.sleep(0.3)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    # Not for the session: Playwright keeps an event loop running, which other tests have no use for.
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        # A skip would let a machine without a browser pass what it never ran.
        pytest.fail("no chromium here: run make test-browser, or apt-get install chromium")
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield instance
        instance.close()


@pytest.fixture
def lab_on(browser: Browser, serve: Callable[..., str]) -> Iterator[Callable[..., Lab]]:
    """Open JupyterLab on a workspace, or a notebook in Notebook 7; errors in the browser fail the test."""
    contexts = []
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and "mlops-workbench" in message.text:
            errors.append(message.text)

    def start(workspace: Workspace, notebook: str = "") -> Lab:
        context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
        context.set_default_timeout(PATIENCE * 1000)
        contexts.append(context)
        page = context.new_page()
        known = NOTEBOOK_ERRORS if notebook else ()
        page.on("pageerror", lambda error: errors.append(str(error)) if str(error) not in known else None)
        page.on("console", note)
        lab = Lab(page, serve(workspace, "notebook" if notebook else "jupyterlab"))
        if notebook:
            lab.open_alone(notebook)
        else:
            lab.open()
        return lab

    yield start
    for context in contexts:
        context.close()
    assert errors == [], "\n".join(errors)

"""Names, values and messages of others in a real shell: nothing of them controls the terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import nbformat
import pytest
from recorder import Recorder

from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import log_file, read_address
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Artifact, Dataset, Metrics, Params, Tags
from mlops_workbench.core.shown.plain_text import visible, without_sequences
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process

#: Sets the title, clears the screen (in both notations), rings, reverses the line, overwrites it.
EVIL = "\x1b]0;owned\x07\x1b[2J\x9b2J\u202etxt\u2066\x08\rgone"
SHOWN = visible(EVIL)
SPEC = "version: 1\nstages:\n  train:\n    notebook: train.ipynb\n"


@pytest.fixture(scope="module")
def workspace_of_others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace whose every name and message is hostile, and its control plane."""
    workspace = Workspace.init(tmp_path_factory.mktemp("others"))
    recorder = Recorder(workspace)
    for number in range(2):
        uid = recorder.start(f"run{number}{EVIL}", EVIL, notebook=f"{EVIL}.ipynb", source=EVIL)
        recorder.put(
            Params(uid, {f"p{EVIL}": f"{EVIL}{number}"}),
            Tags(uid, {f"t{EVIL}": EVIL, "mlflow.note.content": EVIL}),
            Metrics(uid, now_ms(), 0, {f"m{EVIL}": 1.0 + number}),
            Dataset(uid, EVIL, "training", "d" * 32, 3),
            Artifact(uid, f"{number}.txt", workspace.blobs.put_bytes(b"x"), 1),
        )
        recorder.end(uid, "FAILED", error=f"ValueError: {EVIL}", traceback=f"\x1b[31m{EVIL}", output=EVIL)
    recorder.close()
    (specs := workspace.pipeline_specs).mkdir(parents=True, exist_ok=True)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(f"raise ValueError({EVIL!r})")])
    nbformat.write(notebook, specs / "train.ipynb")
    (specs / "fails.yaml").write_text(SPEC)
    (specs / f"x{EVIL}.yaml").write_text(SPEC)
    (specs / "broken.yaml").write_text(SPEC + '    "x\\e]0;owned\\a\\u202e": 1\n')
    try:
        with Client.connect(workspace) as client:
            deadline = time.monotonic() + 120
            while client.status().ingest.backlog_bytes or len(client.runs(kind=None)) < 2:
                assert time.monotonic() < deadline, client.status().ingest
                time.sleep(0.1)
            _register(workspace)
        yield workspace
    finally:
        address = read_address(workspace)
        if address is not None:
            address.process.stop(grace=20)


def _register(workspace: Workspace) -> None:
    """Add what another program may write into the registry."""
    from mlflow import MlflowClient

    store = MlflowClient(f"sqlite:///{workspace.state}/mlflow.db")
    store.create_registered_model(EVIL)
    store.create_registered_model("taxi", description=EVIL)
    store.create_model_version("taxi", source=str(workspace.root), tags={"x": EVIL}, description=EVIL)


def mlops(workspace: Workspace, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlops_workbench.cli", *words],
        cwd=workspace.root, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


COMMANDS = (
    ("runs", "--all"), ("runs", "--all", "--columns", f"name,params.p{EVIL},tags.t{EVIL},error,notebook"),
    ("runs", f"metrics.`m{EVIL}` > 0"), ("show", f"run0{EVIL}"), ("compare", "-e", EVIL), ("compare", f"run0{EVIL}"),
    ("experiment",), ("data", f"run0{EVIL}"), ("data", EVIL), ("models",), ("models", "taxi"), ("models", EVIL),
    ("endpoints", EVIL), ("deploy", EVIL), ("pipeline",), ("pipeline", "run", "fails"), ("pipeline", "show", "fails"),
    ("show", "train"), ("endpoints",),
    ("pipeline", "run", f"x{EVIL}"), ("pipeline", "run", "broken"), ("pipeline", "show", EVIL), ("monitor",),
    ("monitor", EVIL), ("alerts",), ("status",), (EVIL,), ("runs", f"--{EVIL}"), ("show", f"none{EVIL}"),
    ("runs", EVIL), ("predict", EVIL, EVIL), ("register", f"run0{EVIL}", "--as", EVIL), ("rollback", EVIL),
    ("releases", EVIL), ("releases", "taxi", "--at", EVIL), ("rollback", "taxi", "--reason", EVIL),
)  # fmt: skip


@pytest.mark.some(6)
@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: visible(" ".join(words))[:40])
def test_a_shell_command_prints_no_control_character(workspace_of_others: Workspace, words: tuple[str, ...]) -> None:
    done = mlops(workspace_of_others, *words)
    assert visible(done.stdout + done.stderr) == done.stdout + done.stderr
    assert "Traceback (most recent call last)" not in done.stderr
    as_json = mlops(workspace_of_others, *words, "--json")
    assert visible(as_json.stdout + as_json.stderr) == as_json.stdout + as_json.stderr
    if as_json.returncode == 0 and done.stdout:
        json.loads(as_json.stdout)


def test_names_and_messages_are_shown_with_what_acted_escaped(workspace_of_others: Workspace) -> None:
    page = mlops(workspace_of_others, "show", f"run0{EVIL}").stdout
    for part in (f"run run0{SHOWN}", f"p{SHOWN}", f"t{SHOWN}", f"m{SHOWN}", f"ValueError: {SHOWN}"):
        assert part in page
    found = json.loads(mlops(workspace_of_others, "runs", "--all", "--json").stdout)
    assert {run["name"] for run in found} >= {f"run0{EVIL}", f"run1{EVIL}"}


def test_a_terminal_gets_our_colours_and_nothing_of_others(workspace_of_others: Workspace) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mlops_workbench.cli", "show", f"run0{EVIL}"],
        cwd=workspace_of_others.root, stdout=follower, stdin=subprocess.DEVNULL, env=os.environ | {"TERM": "xterm"},
    )  # fmt: skip
    os.close(follower)
    written = b""
    try:
        while piece := os.read(leader, 65536):
            written += piece
    except OSError:
        pass  # the end of a terminal
    os.close(leader)
    assert process.wait(60) == 0
    text = written.decode().replace("\r\n", "\n")
    assert re.search(r"\x1b\[[0-9;]*m", text)
    plain = without_sequences(text)
    assert visible(plain) == plain
    assert "gone" in plain


def test_the_logs_contain_no_control_character(workspace_of_others: Workspace) -> None:
    mlops(workspace_of_others, "pipeline", "run", "fails")
    logs = [log_file(workspace_of_others), *(workspace_of_others.state / "pipelines").rglob("*.log")]
    assert len(logs) > 1
    for log in logs:
        text = log.read_text()
        assert visible(text) == text, log

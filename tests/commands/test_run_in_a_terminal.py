"""A run in a terminal: drawn in place while it goes on, then told; in lines where nothing can be drawn."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from notebook_files import write

from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import read_address
from mlops_workbench.core.shown.plain_text import visible, without_sequences
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process

EVIL = "\\x1b]0;owned\\x07\\x1b[2J\\u202etxt"
WAITS = f"""\
import time
from pathlib import Path
step = 0
while not Path(enough).exists():
    step += 1
    print(f"epoch {{step}} {EVIL}", flush=True)
    time.sleep(0.1)
"""
SPEC = """\
version: 2
stages:
  prepare:
    notebook: prepare.ipynb
    outputs: {data: data.txt}
  train:
    notebook: train.ipynb
    params: [{rate: 0.1}]
    matrix: {rate: [0.1, 0.2]}
    inputs: {data: prepare.data}
"""
DEADLINE = 150


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    made = Workspace.init(tmp_path_factory.mktemp("terminal") / "my wörkspace")
    write(made.root / "waits.ipynb", WAITS, parameters="enough = 'never'")
    write(made.root / "quick.ipynb", "1 + 1")
    specs = made.pipeline_specs
    write(specs / "prepare.ipynb", "from pathlib import Path\nPath(data).write_text('1')", parameters="data = ''")
    write(specs / "train.ipynb", "zero = 0\nrate / zero", parameters="rate: float = 1.0\ndata = ''")
    (specs / "flights.yaml").write_text(SPEC)
    yield made
    address = read_address(made)
    if address is not None:
        with Client.connect(made, start=False) as client:
            for run in client.pipeline_runs():
                if run.active:  # of a test that has failed
                    client.cancel_pipeline_run(run.id)
            client.shutdown()
        address.process.stop(grace=20)


class Terminal:
    """A command in a terminal of its own, and everything that it has written there."""

    def __init__(self, folder: Path, *words: str, **environment: str) -> None:
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 60, 0, 0))
        plain = {
            name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CI", "COLUMNS", "LINES")
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlops_workbench.cli", *words],
            cwd=folder, stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
            env=plain | {"TERM": "xterm", "LC_ALL": "C.UTF-8", **environment},
        )  # fmt: skip
        os.close(follower)
        self._leader = leader
        self._written = b""
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the end of a terminal
            while piece := os.read(self._leader, 65536):
                self._written += piece
        os.close(self._leader)

    @property
    def text(self) -> str:
        return self._written.decode(errors="replace").replace("\r\n", "\n")

    def wait_for(self, pattern: str) -> None:
        deadline = time.monotonic() + DEADLINE
        while not re.search(pattern, without_sequences(self.text), re.DOTALL):
            assert time.monotonic() < deadline, self.text[-2000:]
            time.sleep(0.05)

    def ended(self) -> int:
        code = self.process.wait(DEADLINE)
        self._thread.join(DEADLINE)
        return code


@contextlib.contextmanager
def terminal(folder: Path, *words: str, **environment: str) -> Iterator[Terminal]:
    opened = Terminal(folder, *words, **environment)
    try:
        yield opened
    finally:
        with contextlib.suppress(ProcessLookupError):
            opened.process.kill()
        opened.ended()


def last_screen(text: str) -> str:
    """What is below the last line that was drawn in place."""
    return without_sequences(re.split(r"\x1b\[2K(?!.*\x1b\[2K)", text, flags=re.DOTALL)[-1]).replace("\r", "")


def test_a_run_is_drawn_in_place_with_what_it_prints(workspace: Workspace, tmp_path: Path) -> None:
    enough = tmp_path / "enough"
    with terminal(workspace.root, "run", "waits.ipynb", "-p", f"enough={enough}") as shown:
        shown.wait_for(r"● waits +2/3 .*epoch \d+ \\x1b\]0;owned\\x07\\u202etxt")
        enough.touch()
        assert shown.ended() == 0
        # Colours, and the sequences with which lines are drawn again; nothing of the notebook's.
        text = shown.text
        assert "\x1b[2K" in text and "\x1b]0" not in text and "\x1b[2J" not in text
        plain = without_sequences(text).replace("\r", "")
        assert visible(plain) == plain
        # The drawing has gone, and the result is there.
        assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1
        assert last_screen(text).startswith("notebook waits.ipynb, run ")
        assert "succeeded" in last_screen(text) and "●" not in last_screen(text)
    # From now on it is known how long it takes.
    with terminal(workspace.root, "run", "waits.ipynb", "-p", f"enough={enough}") as shown:
        shown.wait_for(r"[○●] waits .*about \d")
        assert shown.ended() == 0


def test_a_failure_leaves_the_stages_the_reason_the_traceback_and_the_notebook(workspace: Workspace) -> None:
    with terminal(workspace.root, "pipeline", "run", "flights") as shown:
        assert shown.ended() == 1
        end = last_screen(shown.text)
        assert "✓ prepare         3/3" in without_sequences(shown.text)
        assert "✗ train@rate=0.2  3/3  failed after" in end
        assert "train@rate=0.1, cell 3, line 2: rate / zero" in end and "----> 2 rate / zero" in end
        assert re.search(r"executed notebook: \S.*train@rate=0\.1/attempt-1/executed\.ipynb", end)
        assert re.search(r"mlops: pipeline run \w+ failed: .*ZeroDivisionError: float division by zero", end)


def test_interrupting_detaches_and_watch_attaches_again(workspace: Workspace, tmp_path: Path) -> None:
    enough = tmp_path / "enough"
    with terminal(workspace.root, "run", "waits.ipynb", "-p", f"enough={enough}") as shown:
        shown.wait_for(r"● waits +2/3 .*epoch \d+")
        shown.process.send_signal(signal.SIGINT)
        assert shown.ended() == 130
        # The last drawing stays.
        end = last_screen(shown.text)
        assert "the run goes on: 'mlops pipeline cancel " in end and end.rstrip().endswith("shows it again")
        run_id = end.partition("pipeline watch ")[2].partition("'")[0]
    with terminal(workspace.root, "pipeline", "watch", run_id) as shown:
        shown.wait_for(r"● waits +2/3 .*epoch \d+")
        shown.process.send_signal(signal.SIGINT)
        assert shown.ended() == 130
    with terminal(workspace.root, "pipeline", "watch", "waits.ipynb") as shown:
        shown.wait_for(r"● waits")
        enough.touch()
        assert shown.ended() == 0
        assert run_id in last_screen(shown.text) and "succeeded" in last_screen(shown.text)


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        ((), {"NO_COLOR": "1"}),
        ((), {"TERM": "dumb"}),
        ((), {"CI": "true"}),
        (("--json",), {}),
        ((), {"PYTHONIOENCODING": "ascii:replace"}),
    ],
)
def test_it_is_told_in_lines_where_nothing_can_or_should_be_drawn(
    workspace: Workspace, words: tuple[str, ...], environment: dict[str, str]
) -> None:
    with terminal(workspace.root, "run", "quick.ipynb", *words, **environment) as shown:
        assert shown.ended() == 0
        assert "\x1b[2K" not in shown.text
        assert re.search(r"^  quick: succeeded in ", shown.text, re.MULTILINE)

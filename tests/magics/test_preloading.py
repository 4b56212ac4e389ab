"""Modules for the first cells are imported while a kernel is idle."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process

HEAVY = ("mlflow", "pandas", "numpy", "sklearn", "plotly", "fastapi", "sqlalchemy", "httpx", "pyarrow", "click", "rich")
FIRST = "mlops_workbench.capture.cells.watch"

WAITS = f"""
import sys, threading, time
before = set(sys.modules)
%load_ext mlops_workbench
end = time.monotonic() + 60
while any(thread.name == "mlops-preloading" for thread in threading.enumerate()) and time.monotonic() < end:
    time.sleep(0.01)
print({FIRST!r} in sys.modules, [name for name in {HEAVY!r} if name in sys.modules and name not in before])
"""
# Children are forked while a thread of their parent imports; one that waits for it forever never ends.
FORKS = f"""
import os, time
%load_ext mlops_workbench
children = []
for _ in range(60):
    child = os.fork()
    if not child:
        try:
            import {FIRST}
        finally:
            os._exit(7 if {FIRST!r} in __import__("sys").modules else 1)
    children.append(child)
    time.sleep(0.002)
ended, end = [], time.monotonic() + 60
while len(ended) < len(children) and time.monotonic() < end:
    for child in children:
        pid, status = os.waitpid(child, os.WNOHANG) if child not in dict(ended) else (0, 0)
        if pid:
            ended.append((pid, os.waitstatus_to_exitcode(status)))
    time.sleep(0.01)
print(len(ended), {{code for _, code in ended}})
"""


@pytest.fixture
def client(workspace: Workspace) -> Iterator[BlockingKernelClient]:
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(workspace.root))
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def printed(client: BlockingKernelClient, cell: str) -> str:
    texts: list[str] = []

    def keep(message: dict[str, Any]) -> None:
        texts.append(str(message["content"].get("text", "")))
        assert message["msg_type"] != "error", message["content"]

    client.execute_interactive(cell, output_hook=keep, timeout=120, allow_stdin=False)
    return "".join(texts).strip()


def test_a_kernel_imports_while_it_waits_and_nothing_heavy(client: BlockingKernelClient) -> None:
    assert printed(client, WAITS) == "True []"


def test_a_child_forked_during_the_imports_can_import_the_same(client: BlockingKernelClient) -> None:
    assert printed(client, FORKS) == "60 {7}"


def test_a_process_that_is_no_kernel_imports_nothing_before_it_is_needed() -> None:
    code = (
        "import sys, time\nfrom IPython.core.interactiveshell import InteractiveShell\n"
        "InteractiveShell.instance().run_line_magic('load_ext', 'mlops_workbench')\ntime.sleep(1)\n"
        f"print({FIRST!r} in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

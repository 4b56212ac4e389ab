"""A forked kernel is, for the code in it, the kernel that a plain start gives."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jupyter_client import KernelManager

from mlops_workbench.core.ids import new_id
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.surroundings import surroundings
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.kernels.forked import own_identity
from mlops_workbench.pipelines.kernels.pool import ForkPool, Preparation
from mlops_workbench.pipelines.kernels.process import ForkedProcess, fork
from mlops_workbench.pipelines.kernels.requests import ForkRequest, encoded, short_address
from mlops_workbench.pipelines.kernels.specs import WarmKernelSpecs

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only"),
]
SCIENCE = [
    ("numpy", ()), ("pandas", ()), ("pyarrow.compute", ()), ("sklearn.ensemble", ("HistGradientBoostingRegressor",)),
    ("matplotlib.pyplot", ()),
]  # fmt: skip


class Running:
    """A kernel and its client."""

    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self.client = manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(120)

    @property
    def process(self) -> Any:
        return self.manager.provisioner.process

    @property
    def forked(self) -> bool:
        return isinstance(self.process, ForkedProcess)

    def run(self, code: str) -> str:
        """What the code prints; an error is raised."""
        texts: list[str] = []

        def show(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "error":
                texts.append("\n".join(content["traceback"]))
            elif message["msg_type"] == "stream":
                texts.append(content["text"])

        reply = self.client.execute_interactive(code, output_hook=show, timeout=120)
        text = "".join(texts)
        assert reply["content"]["status"] == "ok", text
        return text.strip()


@contextmanager
def kernel(imports: object = (), folder: Path | None = None, **options: Any) -> Iterator[Running]:
    manager = KernelManager(kernel_name="python3", kernel_spec_manager=WarmKernelSpecs(imports))
    manager.start_kernel(cwd=str(folder or Path.cwd()), **options)
    running = Running(manager)
    try:
        yield running
    finally:
        running.client.stop_channels()
        manager.shutdown_kernel(now=True)


@contextmanager
def warm(imports: object = (), folder: Path | None = None, **options: Any) -> Iterator[Running]:
    """A kernel that was forked, after its server was started by kernels before it."""
    deadline = time.monotonic() + 120
    while True:
        with kernel(imports, folder, **options) as running:
            if running.forked:
                yield running
                return
        assert time.monotonic() < deadline, [
            log.read_text() for log in ForkPool(Workspace.find())._folder.glob("*.log")
        ]
        time.sleep(0.2)


@pytest.fixture(autouse=True)
def pool(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForkPool]:
    monkeypatch.setenv("MLOPS_WORKSPACE", str(workspace.root))
    monkeypatch.chdir(workspace.root)
    found = ForkPool(workspace)
    yield found
    found.stop_all()


SURROUNDINGS = """
import json, locale, os, resource, signal, sys, threading, time, warnings
names = sorted(name for name in vars() if not name.startswith('_i') and name not in ('_', '__', '___'))
print(json.dumps({
    'names': names, 'argv': len(sys.argv), 'argv0': sys.argv[0], 'orig': sys.orig_argv[:-1], 'path': sys.path,
    'cwd': os.getcwd(), 'umask': os.umask(0o22), 'name': __name__, 'main': str(sys.modules['__main__']).split(' ')[:2],
    'environ': {k: v for k, v in os.environ.items() if k not in ('JPY_PARENT_PID', 'JPY_SESSION_NAME')},
    'parent': os.environ.get('JPY_PARENT_PID'), 'signals': [str(signal.getsignal(n)) for n in (2, 13, 15, 10, 1)],
    'limits': [resource.getrlimit(n) for n in range(16)], 'cpus': sorted(os.sched_getaffinity(0)),
    'locale': locale.setlocale(locale.LC_ALL), 'tz': time.tzname, 'flags': str(sys.flags), 'x': sys._xoptions,
    'leader': os.getsid(0) == os.getpgid(0) == os.getpid(), 'switch': sys.getswitchinterval(),
    'recursion': sys.getrecursionlimit(), 'threads': sorted(type(t).__name__ for t in threading.enumerate()),
    'frozen': hasattr(sys, 'frozen'), 'config': sorted(get_ipython().config),
    'kernel': [get_ipython().kernel.log.name, type(get_ipython().kernel).__name__],
}, default=str))
"""


def test_its_surroundings_are_those_of_a_plain_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "ordner mit ümlaut"
    folder.mkdir()
    monkeypatch.setenv("OWN_VARIABLE", "a=b\nc")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    with kernel(folder=folder) as plain:
        assert not plain.forked
        expected = json.loads(plain.run(SURROUNDINGS))
    before = os.umask(0o027)
    try:
        with warm(folder=folder) as forked:
            found = json.loads(forked.run(SURROUNDINGS))
    finally:
        os.umask(before)
    assert found.pop("umask") == 0o027
    assert expected.pop("umask") == before
    # There are no subshells, and the thread that watches the requester has another class.
    if "ShellChannelThread" in expected["threads"]:
        expected["threads"].remove("ShellChannelThread")
    expected["threads"].remove("ParentPollerUnix")
    found["threads"].remove("RequesterPoller")
    assert found == expected
    assert found["tz"] == ["JST", "JST"]


def test_a_cell_that_awaits_is_executed_and_not_overtaken() -> None:
    with warm() as forked:
        assert forked.run("import asyncio\nawait asyncio.sleep(0.01)\nprint('slept')") == "slept"
        failing = forked.client.execute("await asyncio.sleep(0.5)\n1 / 0")
        queued = forked.client.execute("print('overtaken')")
        replies = {}
        while len(replies) < 2:
            reply = forked.client.get_shell_msg(timeout=60)
            replies[reply["parent_header"]["msg_id"]] = reply["content"]["status"]
        assert replies == {failing: "error", queued: "aborted"}
        assert forked.run("print('goes on')") == "goes on"


@pytest.mark.long
@pytest.mark.parametrize("start", [kernel, warm])
def test_the_kernel_of_a_run_drops_no_output_while_its_client_reads_none(start: Any) -> None:
    with start(env={**os.environ, "MLOPS_RUN_UID": new_id()}) as running:
        running.run("%load_ext mlops_workbench")
        sent = running.client.execute("for number in range(5_000): display(number)")
        while running.client.get_shell_msg(timeout=60)["parent_header"]["msg_id"] != sent:
            pass
        shown = []
        while True:
            message = running.client.get_iopub_msg(timeout=60)
            if message["msg_type"] == "display_data":
                shown.append(message["content"]["data"]["text/plain"])
            elif message["parent_header"]["msg_id"] == sent and message["content"].get("execution_state") == "idle":
                break
    assert shown == [str(number) for number in range(5_000)]


def test_each_draws_other_numbers_without_a_seed() -> None:
    draw = """
import random, uuid, secrets, tempfile
import numpy as np
print(random.random(), np.random.rand(), np.random.default_rng().random(), np.random.RandomState().rand(),
      uuid.uuid4(), uuid.uuid1(), secrets.token_hex(), next(tempfile._get_candidate_names()))
"""
    found = []
    for _ in range(3):
        with warm([("numpy", ()), ("random", ())]) as forked:
            found.append(forked.run(draw).split())
    for values in zip(*found, strict=True):
        assert len(set(values)) == 3, values


@pytest.mark.long
def test_libraries_with_native_threads_work_and_have_the_limits_of_a_plain_start() -> None:
    work = """
import numpy as np, pandas as pd, pyarrow as pa, pyarrow.compute as pc, json, threadpoolctl
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
rng = np.random.default_rng(0)
X = rng.normal(size=(1000, 20)); y = X[:, 0] * 2 + rng.normal(size=1000)
score = HistGradientBoostingRegressor(max_iter=3, random_state=0).fit(X, y).score(X, y)
forest = RandomForestRegressor(10, n_jobs=2, random_state=0).fit(X, y).score(X, y)
table = pa.table({f'c{i}': X[:, i] for i in range(20)})
frame = table.to_pandas().groupby(lambda i: i % 7).mean()
singular = np.linalg.svd(X[:400] @ X[:400].T, compute_uv=False)[0]
total = pc.sum(table['c0']).as_py()
import os
child = os.fork()
if child == 0:
    np.linalg.svd(X.T @ X); os._exit(0)
ended = os.waitpid(child, 0)[1]
print(json.dumps([round(float(v), 6) for v in (score, forest, frame.iloc[0, 0], singular, total)] + [ended] + [
    sorted((i['internal_api'], i['num_threads']) for i in threadpoolctl.threadpool_info()), pa.cpu_count(),
    pa.io_thread_count()]))
"""
    with kernel() as plain:
        expected = json.loads(plain.run(work))
    with warm(SCIENCE) as forked:
        assert (
            forked.run("import sys; print('sklearn.ensemble' in sys.modules, 'pyarrow' in sys.modules)") == "True True"
        )
        assert json.loads(forked.run(work)) == expected


def test_only_what_the_notebook_imports_is_there() -> None:
    modules = "import decimal, sys; import mlops_workbench.magics.hooks; print(*sorted(sys.modules))"
    with kernel() as plain:
        expected = set(plain.run(modules).split())
    with warm([("decimal", ())]) as forked:
        found = set(forked.run(modules).split())
    extra = {name.partition(".")[0] for name in found - expected} - sys.stdlib_module_names
    assert extra <= {"mlops_workbench", "msgspec", "xxhash"}


@pytest.mark.long
def test_plots_are_shown_inline() -> None:
    with warm(SCIENCE) as forked:
        assert forked.run("import matplotlib; print(matplotlib.get_backend())").endswith("inline")


def test_an_import_that_asks_for_the_shell_or_starts_threads_is_made_in_the_kernel(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "asks.py").write_text("from IPython import get_ipython\nshell = get_ipython() is not None\n")
    (packages / "threads.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(9e5,), daemon=True).start()\n"
    )
    (packages / "ends.py").write_text("import sys\nif '-f' not in sys.argv: sys.exit(3)\n")
    (packages / "breaks.py").write_text("1/0\n")
    (packages / "quiet.py").write_text("")
    imports = [(name, ()) for name in ("asks", "threads", "ends", "breaks", "missing", "quiet")]
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    with warm(imports, env=environment) as forked:
        before = forked.run("import sys; print([m for m in ('asks', 'threads', 'ends', 'quiet') if m in sys.modules])")
        assert before == "['quiet']"
        assert (
            forked.run("import asks, threading, threads, ends; print(asks.shell, threading.active_count() > 1)")
            == "True True"
        )


def test_a_changed_package_or_a_file_that_hides_one_means_a_plain_start(tmp_path: Path, pool: ForkPool) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    module = packages / "leaf.py"
    module.write_text("value = 1\n")
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    imports = [("leaf", ())]
    with warm(imports, env=environment) as forked:
        assert forked.run("import leaf; print(leaf.value)") == "1"
    module.write_text("value = 'two'\n")
    with kernel(imports, env=environment) as again:
        assert not again.forked
        assert again.run("import leaf; print(leaf.value)") == "two"
    with warm(imports, env=environment) as forked:
        assert forked.run("import leaf; print(leaf.value)") == "two"
    with warm([("yaml", ())]) as forked:
        assert forked.run("import yaml; print(hasattr(yaml, 'safe_load'))") == "True"
    Path("yaml.py").write_text("value = 'of the notebook'\n")
    with kernel([("yaml", ())]) as hidden:
        assert not hidden.forked
        assert hidden.run("import yaml; print(yaml.value)") == "of the notebook"


def test_it_is_interrupted_and_its_end_is_seen() -> None:
    with warm() as forked:
        message = forked.client.execute(
            "import time\ntry:\n    time.sleep(600)\nexcept KeyboardInterrupt:\n    print('stopped')"
        )
        while forked.client.get_iopub_msg(timeout=60)["msg_type"] != "execute_input":
            pass
        time.sleep(0.3)
        forked.manager.interrupt_kernel()
        assert forked.client.get_shell_msg(timeout=60)["parent_header"]["msg_id"] == message
        assert forked.manager.is_alive()
        forked.client.execute("import os; os._exit(7)")
        assert forked.process.wait(60) == 7
        assert not forked.manager.is_alive()
    with warm() as forked:
        forked.client.execute("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
        assert forked.process.wait(60) == -signal.SIGSEGV


def test_exit_handlers_run_at_a_shutdown(tmp_path: Path) -> None:
    with warm() as forked:
        forked.run(f"import atexit, pathlib; _ = atexit.register(pathlib.Path({str(tmp_path / 'ended')!r}).touch)")
        process = forked.process
        forked.client.shutdown()
        assert process.wait(60) == 0
        assert (tmp_path / "ended").exists()


def test_files_that_were_left_open_are_complete_after_its_end(tmp_path: Path) -> None:
    (tmp_path / "holder.py").write_text("file = open('module.txt', 'w')\n")
    with warm(folder=tmp_path) as running:
        running.run("import holder\nholder.file.write('m')\nmine = open('cell.txt', 'w')\nn = mine.write('c')")
        running.run(
            "import functools, io\nloop = []\nloop.append((loop, open('loop.bin', 'wb')))\nn = loop[0][1].write(b'l')"
        )
        running.manager.shutdown_kernel()
        assert running.process is None or running.process.poll() == 0
    assert [(tmp_path / name).read_text() for name in ("module.txt", "cell.txt", "loop.bin")] == ["m", "c", "l"]


def test_output_keeps_its_order_and_none_is_lost() -> None:
    code = "import sys\nfor n in range(300):\n    print(n)\n    print('e', n, file=sys.stderr)\n    sys.stdout.flush()"
    with warm() as running:
        lines = running.run(code).split("\n")
        assert [line for line in lines if not line.startswith("e")] == [str(n) for n in range(300)]
        assert [line for line in lines if line.startswith("e")] == [f"e {n}" for n in range(300)]


def test_a_killed_server_leaves_its_kernels_alone(pool: ForkPool) -> None:
    with warm() as forked:
        server = int(forked.run("import os; print(os.getppid())"))
        os.kill(server, signal.SIGKILL)
        assert forked.run("print(6 * 7)") == "42"
        assert forked.manager.is_alive()
        forked.process.kill()
        assert forked.process.wait(60) != 0
    with warm() as forked:  # by another server
        assert forked.run("print(6 * 7)") == "42"


def test_a_kernel_ends_with_the_process_that_asked_for_it(workspace: Workspace, tmp_path: Path) -> None:
    with warm():
        pass
    script = """
import sys, time
from jupyter_client import KernelManager
from mlops_workbench.pipelines.kernels.specs import WarmKernelSpecs
manager = KernelManager(kernel_name="python3", kernel_spec_manager=WarmKernelSpecs())
manager.start_kernel()
print(type(manager.provisioner.process).__name__, manager.provisioner.pid, flush=True)
time.sleep(600)
"""
    requester = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert requester.stdout is not None
    kind, pid = requester.stdout.readline().split()
    assert kind == "ForkedProcess"
    identity = ProcessIdentity.of(int(pid))
    assert identity is not None
    time.sleep(1)
    requester.kill()
    requester.wait()
    deadline = time.monotonic() + 60
    while identity.alive() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not identity.alive()


def test_many_are_forked_at_once() -> None:
    with warm():
        pass
    managers = [KernelManager(kernel_name="python3", kernel_spec_manager=WarmKernelSpecs()) for _ in range(8)]
    for manager in managers:
        manager.start_kernel()
    kernels = [Running(manager) for manager in managers]
    try:
        assert all(running.forked for running in kernels)
        assert [running.run(f"print({number})") for number, running in enumerate(kernels)] == [str(n) for n in range(8)]
        assert len({running.run("import os; print(os.getpid())") for running in kernels}) == 8
    finally:
        for running in kernels:
            running.client.stop_channels()
            running.manager.shutdown_kernel(now=True)


def test_a_requester_that_has_given_up_leaves_no_process(pool: ForkPool, workspace: Workspace, tmp_path: Path) -> None:
    preparation = Preparation("call", dict(os.environ), str(workspace.root))
    pool.prepare(preparation)
    path = pool._socket(preparation)
    deadline = time.monotonic() + 120
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.1)

    def request(name: str) -> ForkRequest:
        argv = ["", "touch", str(tmp_path / name)]
        umask, limits, cpus, _ = surroundings()
        return ForkRequest(
            "call", own_identity(), argv, argv, dict(os.environ), str(tmp_path), umask, limits, cpus,
            target="subprocess:call",
        )  # fmt: skip

    with open(os.devnull, "r+b") as nothing:
        streams = (nothing.fileno(),) * 3
        with socket.socket(socket.AF_UNIX) as connection, short_address(path) as address:
            connection.connect(address)
            socket.send_fds(connection, [encoded(request("given_up"))], list(streams))
        # Requests are served in turn.
        process = fork(path, request("taken"), streams)
        assert process.wait(60) == 0
    assert (tmp_path / "taken").exists()
    time.sleep(1)
    assert not (tmp_path / "given_up").exists()


def test_its_sockets_have_names_that_no_other_process_can_take() -> None:
    with kernel() as plain, warm() as forked:
        addresses = set()
        for running in (plain, forked):
            info = running.manager.get_connection_info()
            assert info["transport"] == "ipc" and info["ip"].startswith("@")
            addresses.add(info["ip"])
        assert len(addresses) == 2


@pytest.mark.long
def test_nothing_stays_of_a_workspace_that_was_deleted(pool: ForkPool, workspace: Workspace) -> None:
    pool.prepare(preparation := Preparation("call", dict(os.environ), str(workspace.root.parent)))
    path, deadline = pool._socket(preparation), time.monotonic() + 120
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    shutil.rmtree(workspace.root)
    while pool._folder.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not pool._folder.exists()


def test_another_environment_gets_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with warm():
        pass
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with kernel() as other:
        assert not other.forked
    with warm() as other:
        assert other.run("import os; print(os.environ['OMP_NUM_THREADS'])") == "1"


@pytest.mark.long
def test_the_number_of_servers_is_bounded_and_an_idle_one_ends(
    workspace: Workspace, pool: ForkPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLOPS_PIPELINES_WARM_MINUTES")
    settings = workspace.root / "workbench.toml"
    settings.write_text("[pipelines]\nwarm_servers = 1\n")
    with warm([("decimal", ())]) as first:
        server = ProcessIdentity.of(int(first.run("import os; print(os.getppid())")))
        assert server is not None
    with warm([("fractions", ())]):
        deadline = time.monotonic() + 60
        while server.alive() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not server.alive()
    settings.write_text("[pipelines]\nwarm_minutes = 0.01\n")
    with warm([("statistics", ())]) as brief:
        server = ProcessIdentity.of(int(brief.run("import os; print(os.getppid())")))
        assert server is not None
    deadline = time.monotonic() + 60
    while server.alive() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not server.alive()
    pool.stop_all()
    while pool._folder.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not pool._folder.exists()
    settings.write_text("[pipelines]\nwarm_servers = 0\n")
    for _ in range(3):
        with kernel([("statistics", ())]) as plain:
            assert not plain.forked

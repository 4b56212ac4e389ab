"""The control plane as a process: started on demand, one per workspace, killed at any time."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import (
    ALREADY_RUNNING,
    address_file,
    ensure_running,
    find_running,
    read_address,
    token_file,
)
from mlops_workbench.control.app import create_app
from mlops_workbench.core.errors import Unauthorized, Unavailable
from mlops_workbench.core.workspace import Workspace

pytestmark = [pytest.mark.process, pytest.mark.own_process]


def eventually(look: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if look():
            return True
        time.sleep(0.05)
    return False


def test_every_route_requires_the_token(running: Client) -> None:
    routes = [(path, method) for path, methods in create_app().openapi()["paths"].items() for method in methods]
    assert len(routes) > 20
    with httpx.Client(base_url=running.url, timeout=120, trust_env=False) as http:
        for path, method in [*routes, ("/api/openapi.json", "get"), ("/nowhere", "get"), ("/", "get")]:
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}):
                place = re.sub(r"\{(\w+)\}", lambda found: "1" if found[1] == "version" else "x", path)
                answer = http.request(method, place, headers=headers)
                assert answer.status_code == 401, (path, method, headers)
                assert answer.json()["code"] == "unauthorized"


def test_the_token_is_for_its_owner_only(running: Client) -> None:
    assert running.workspace is not None
    mode = token_file(running.workspace).stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    with Client(running.url, "another") as stranger, pytest.raises(Unauthorized):
        stranger.status()


def test_errors_have_one_form(running: Client) -> None:
    assert running.workspace is not None
    token = token_file(running.workspace).read_text()
    with httpx.Client(
        base_url=running.url, headers={"Authorization": f"Bearer {token}"}, timeout=120, trust_env=False
    ) as http:
        cases = [
            http.get("/api/nothing"),
            http.get("/api/runs/none"),
            http.get("/api/runs?limit=0"),
            http.get("/api/runs?order_by=nonsense"),
            http.put("/api/endpoints/x", content=b"{"),
            http.put("/api/endpoints/x", json={"model": 3}),
            http.put("/api/endpoints/..%2fx", json={"model": "m@champion"}),
            http.get("/api/models/none/versions"),
            http.get("/api/monitors/none"),
            http.post("/api/pipelines/none/runs", json={}),
            http.get("/api/pipeline-runs/none"),
            http.get("/api/pipeline-runs/..%2f..%2fjournal"),
            http.delete("/api/runs"),
        ]
    for answer in cases:
        assert 400 <= answer.status_code < 500, answer.request.url
        body = answer.json()
        assert set(body) == {"code", "message", "where", "hint"}, answer.request.url
        assert body["message"]


def test_requests_of_other_methods_types_and_sizes_are_refused_by_name(running: Client) -> None:
    assert running.workspace is not None
    token = token_file(running.workspace).read_text()
    with httpx.Client(
        base_url=running.url, headers={"Authorization": f"Bearer {token}"}, timeout=120, trust_env=False
    ) as http:
        other = http.delete("/api/runs")
        assert (other.status_code, other.json()["code"], other.headers["allow"]) == (405, "method_not_allowed", "GET")
        large = http.put("/api/endpoints/x", content=b'{"model": "' + b"m" * (17 << 20) + b'"}')
        assert (large.status_code, large.json()["code"]) == (413, "too_large")
        chunked = http.put("/api/endpoints/x", content=(b" " * (1 << 20) for _ in range(17)))
        assert (chunked.status_code, chunked.json()["code"]) == (413, "too_large")
        json = {"Content-Type": "application/json"}
        marked = http.put("/api/endpoints/x", content=b'\xef\xbb\xbf{"model": "none"}', headers=json)
        assert (marked.status_code, marked.json()["code"]) == (404, "not_found"), marked.text


def test_headers_without_end_are_refused_before_the_token_is_looked_at(running: Client) -> None:
    address = httpx.URL(running.url)
    chunked = b"POST /api/health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: "
    long = b"GET /api/health HTTP/1.1\r\nHost: x\r\nX-Long: "
    for head in (long, b"GET /", b"GET /api/health HTTP/1.1\r\n", chunked):
        filler = b"X-Many: 1\r\n" * 8192 if head.endswith(b"\r\n") else b"a" * (90 << 10)
        with socket.create_connection((address.host, address.port or 0), timeout=60) as connection:
            connection.sendall(head)
            with pytest.raises(ConnectionError):
                for _ in range(200):
                    connection.sendall(filler)
    # Many requests at once are no long one.
    with socket.create_connection((address.host, address.port or 0), timeout=60) as connection:
        one = b"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        connection.sendall(one * 3000 + one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answers = b""
        while piece := connection.recv(1 << 16):
            answers += piece
    assert answers.count(b"HTTP/1.1 401 ") == 3001
    assert running.status().root == str(running.workspace.root if running.workspace else "")


def test_concurrent_callers_start_one_control_plane(workspace: Workspace, stopped: Callable[[Workspace], None]) -> None:
    stopped(workspace)
    code = (
        "import sys; from pathlib import Path; from mlops_workbench.core.workspace import Workspace\n"
        "from mlops_workbench.client.launch import ALREADY_RUNNING, ensure_running\n"
        "print(ensure_running(Workspace.open(Path(sys.argv[1])))[0])"
    )
    callers = [
        subprocess.Popen([sys.executable, "-c", code, str(workspace.root)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    urls = {caller.communicate(timeout=120)[0].strip() for caller in callers}
    assert len(urls) == 1
    assert urls.pop().startswith("http://127.0.0.1:")


@pytest.mark.long
def test_a_copied_workspace_leaves_the_control_plane_of_the_original_alone(
    running: Client, tmp_path: Path, stopped: Callable[[Workspace], None]
) -> None:
    assert running.workspace is not None
    copy = Workspace.open(shutil.copytree(running.workspace.root, tmp_path / "copy"))
    stopped(copy)
    assert find_running(copy) is None
    with Client.connect(copy) as client:
        assert client.status().root == str(copy.root)
        assert client.url != running.url
    assert running.status().root == str(running.workspace.root)


def test_a_second_process_for_the_workspace_exits(running: Client) -> None:
    assert running.workspace is not None
    second = subprocess.run(
        [sys.executable, "-m", "mlops_workbench.control", str(running.workspace.root)], capture_output=True, timeout=60
    )
    assert second.returncode == ALREADY_RUNNING
    assert running.status().processes


def test_after_a_kill_the_next_request_starts_it_again(running: Client) -> None:
    assert running.workspace is not None
    first = read_address(running.workspace)
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    assert eventually(lambda: not first.process.alive())
    assert running.status().root == str(running.workspace.root)
    second = read_address(running.workspace)
    assert second is not None
    assert second.pid != first.pid


@pytest.mark.long
def test_files_that_are_deleted_or_changed_are_restored(running: Client) -> None:
    home = running.workspace
    assert home is not None
    first = read_address(home)
    token = token_file(home).read_text()
    for harm in (
        lambda: token_file(home).unlink(),
        lambda: token_file(home).write_text("another"),
        lambda: token_file(home).chmod(0o644),
        lambda: address_file(home).write_text("{broken"),
        lambda: address_file(home).unlink(),
    ):
        harm()
        assert eventually(lambda: token_file(home).is_file() and token_file(home).read_text() == token)
        assert eventually(lambda: read_address(home) == first)
        assert eventually(lambda: stat.S_IMODE(token_file(home).stat().st_mode) == 0o600)
        with Client.connect(home) as client:
            assert client.status().root == str(home.root)


def test_it_ends_when_the_state_of_its_workspace_is_deleted(running: Client) -> None:
    home = running.workspace
    assert home is not None
    first = read_address(home)
    assert first is not None
    shutil.rmtree(home.run)
    assert eventually(lambda: not first.process.alive())
    with Client.connect(home) as client:
        assert client.status().root == str(home.root)
    second = read_address(home)
    assert second is not None
    assert second.pid != first.pid


def test_down_stops_it_even_with_an_open_event_stream(running: Client) -> None:
    assert running.workspace is not None
    address = read_address(running.workspace)
    assert address is not None
    token = token_file(running.workspace).read_text()
    connected = threading.Event()

    def listen() -> None:
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.stream("GET", f"{running.url}/api/events", headers=headers, timeout=60, trust_env=False) as stream:
            for _ in stream.iter_lines():
                connected.set()

    listener = threading.Thread(target=listen)
    listener.start()
    assert connected.wait(30)
    running.shutdown()
    assert eventually(lambda: not address.process.alive(), 30)
    listener.join(30)
    assert not listener.is_alive()
    assert read_address(running.workspace) is None


def test_a_port_in_use_is_named(workspace: Workspace) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (workspace.root / "workbench.toml").write_text(f"[control]\nport = {port}\n")
        with pytest.raises(Unavailable) as raised:
            ensure_running(Workspace.open(workspace.root))
    assert str(port) in str(raised.value)
    assert "control.port" in str(raised.value)


def test_a_database_that_does_not_work_is_named(workspace: Workspace) -> None:
    (workspace.root / "workbench.toml").write_text("[control]\ndatabase = 'sqlite:////nowhere/at/all.db'\n")
    with pytest.raises(Unavailable, match=r"control\.database"):
        ensure_running(Workspace.open(workspace.root))


def test_a_client_that_may_not_start_one_raises(workspace: Workspace) -> None:
    with pytest.raises(Unavailable, match="mlops up"):
        Client.connect(workspace, start=False)


def test_an_address_without_a_token_raises(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("MLOPS_TOKEN", raising=False)
    with pytest.raises(Unauthorized, match="MLOPS_TOKEN is not set"):
        Client.connect(workspace)


def test_a_stale_address_is_ignored(workspace: Workspace) -> None:
    file = workspace.run / "control.json"
    file.write_text('{"url":"http://127.0.0.1:9","pid":1,"started":1.0,"version":"0"}')
    (workspace.run / "token").write_text("x")
    with pytest.raises(Unavailable, match="mlops up"):
        Client.connect(workspace, start=False)


def test_the_openapi_document_of_the_lab_extension_is_current() -> None:
    from mlops_workbench.control.openapi import document

    committed = Path(__file__).parents[2] / "labextension" / "openapi.json"
    assert committed.read_text() == document(), (
        "run: .venv/bin/python -m mlops_workbench.control.openapi > labextension/openapi.json && "
        "cd labextension && jlpm generate"
    )


def test_the_reason_why_a_control_plane_does_not_start_is_raised(workspace: Workspace) -> None:
    workspace.prepare()
    with closing(sqlite3.connect(workspace.state / "control.db")) as database, database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('from the future')")
    with pytest.raises(Unavailable, match="newer version"):
        ensure_running(workspace)


def test_a_broken_index_or_one_of_another_version_is_rebuilt(
    workspace: Workspace, stopped: Callable[[Workspace], None]
) -> None:
    workspace.prepare()
    workspace.index.write_bytes(b"not a database" * 1000)
    with Client.connect(workspace) as client:
        assert client.runs() == []
    stopped(workspace)


def test_it_starts_without_the_libraries_of_models() -> None:
    """They take seconds to import, and only a gate or a card needs them."""
    code = (
        "import sys, mlops_workbench.control.app, mlops_workbench.control.plane;"
        "print([name for name in ('numpy', 'pandas', 'pyarrow', 'scipy', 'sklearn', 'mlflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

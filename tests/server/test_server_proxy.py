"""Requests of JupyterLab to the control plane through the Jupyter server."""

from __future__ import annotations

import getpass
import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import Any

import pytest
from stopping import stop
from tornado.httpclient import HTTPClientError, HTTPResponse

from mlops_workbench import __version__
from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import find_running
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process

API = ("mlops-workbench", "api")

TRACK = """\
from mlops_workbench import log, log_artifact, track
with track("report", experiment="proxy"):
    log(score=0.5)
    log_artifact(b"<script>document.title = 'owned'</script>", "pages/report one.html", media_type="text/html")
    log_artifact(bytes(range(256)) * 8192, "blob.bin")
"""


@pytest.fixture(scope="module")
def uid(root: Workspace, control: tuple[str, str]) -> str:
    """A run with files, delivered."""
    subprocess.run([sys.executable, "-c", TRACK], cwd=root.root, check=True, timeout=120)
    deadline = time.monotonic() + 120
    with Client.connect(root) as client:
        while time.monotonic() < deadline:
            found = [run for run in client.runs("proxy") if run.status == "FINISHED"]
            if found and len([a for a in client.run(found[0].uid).artifacts if a.kind == "file"]) == 2:
                return found[0].uid
            time.sleep(0.2)
    raise AssertionError("the run was not delivered in time")


async def problem_of(call: Any) -> tuple[int, dict[str, Any]]:
    with pytest.raises(HTTPClientError) as caught:
        await call
    assert caught.value.response is not None
    return caught.value.code, json.loads(caught.value.response.body)


async def test_the_control_plane_answers_through_the_server(jp_fetch: Any, root: Workspace, control: Any) -> None:
    response: HTTPResponse = await jp_fetch(*API, "status", request_timeout=120)
    assert json.loads(response.body)["root"] == str(root.root)
    assert response.headers["Content-Type"] == "application/json"


async def test_queries_are_forwarded(jp_fetch: Any, uid: str) -> None:
    response = await jp_fetch(*API, "runs", params={"experiment": "proxy", "limit": "1"})
    assert [run["uid"] for run in json.loads(response.body)] == [uid]
    response = await jp_fetch(*API, "runs", params={"experiment": "ünknown one"})
    assert json.loads(response.body) == []


async def test_an_error_passes_through_with_its_hint(jp_fetch: Any, control: Any) -> None:
    status, body = await problem_of(jp_fetch(*API, "runs", "nosuch"))
    assert status == 404
    assert body["code"] == "not_found"
    assert "nosuch" in body["message"]
    status, body = await problem_of(jp_fetch(*API, "runs", params={"limit": "many"}))
    assert (status, body["code"]) == (422, "invalid_input")


async def test_a_write_passes_through(jp_fetch: Any, control: Any) -> None:
    async def send(method: str, *parts: str, body: str) -> tuple[int, dict[str, Any]]:
        headers = {"Content-Type": "application/json"}
        return await problem_of(jp_fetch(*API, *parts, method=method, body=body, headers=headers))

    status, body = await send("PUT", "endpoints", "e", body='{"model": "nosuch@champion"}')
    assert status == 404
    assert "nosuch" in body["message"]
    status, body = await send("POST", "pipelines", "nosuch", "runs", body="{}")
    assert status == 404
    status, body = await send("POST", "models", "m", "versions", body="{}")
    assert (status, body["code"]) == (422, "invalid_input")


async def test_paths_that_are_not_forwarded_are_refused_by_the_server(
    jp_fetch: Any, root: Workspace, control: Any
) -> None:
    status, body = await problem_of(jp_fetch(*API, "shutdown", method="POST", body="{}"))
    assert (status, body["code"]) == (404, "not_found")
    assert find_running(root) == control


async def test_a_page_that_a_cell_wrote_cannot_run_scripts(jp_fetch: Any, uid: str) -> None:
    response = await jp_fetch(*API, "runs", uid, "artifacts", "pages", "report one.html")
    assert response.headers["Content-Type"].startswith("text/html")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox;")
    assert "allow-scripts" not in policy
    assert b"owned" in response.body


async def test_a_large_file_arrives_as_it_is(jp_fetch: Any, uid: str) -> None:
    response = await jp_fetch(*API, "runs", uid, "artifacts", "blob.bin")
    assert response.body == bytes(range(256)) * 8192
    assert response.headers["Content-Length"] == str(len(response.body))


async def test_the_token_of_the_control_plane_stays_on_the_server(jp_fetch: Any, control: tuple[str, str]) -> None:
    response = await jp_fetch(*API, "status")
    assert control[1].encode() not in response.body
    assert all(control[1] not in value for value in response.headers.values())


async def test_the_handshake_has_version_workspace_and_features(jp_fetch: Any, root: Workspace) -> None:
    body = json.loads((await jp_fetch("mlops-workbench", "handshake")).body)
    assert body["version"] == __version__
    assert body["workspace"] == str(root.root)
    assert body["configured"] is True
    assert {"runs", "models", "endpoints", "pipelines", "events"} <= set(body["features"])


def removable(root: Workspace, name: str) -> None:
    """Make an endpoint whose model does not exist."""
    with closing(sqlite3.connect(root.state / "control.db", timeout=60)) as database, database:
        values = (name, "none/1", 1, 0, 0, True, 1)
        database.execute("INSERT INTO endpoints VALUES (?, ?, ?, ?, ?, ?, ?)", values)


async def removal(jp_fetch: Any, root: Workspace, name: str) -> dict[str, Any]:
    """Who has removed an endpoint through the server, by the audit trail; the browser claims to be another."""
    removable(root, name)
    claims = {"X-Mlops-Actor": "mallory", "X-Mlops-Source": "cli"}
    await jp_fetch(*API, "endpoints", name, method="DELETE", headers=claims, request_timeout=120)
    response = await jp_fetch(*API, "audit", params={"subject": name})
    [entry] = json.loads(response.body)
    assert entry["action"] == "endpoint.remove"
    found: dict[str, Any] = entry["actor"]
    return found


async def test_the_audit_trail_names_the_user_of_a_server_with_a_token(
    jp_fetch: Any, root: Workspace, control: Any
) -> None:
    who = await removal(jp_fetch, root, "first")
    assert (who["name"], who["source"], who["declared"]) == (getpass.getuser(), "lab", True)
    report = json.loads((await jp_fetch(*API, "audit", "verify")).body)
    assert report["whole"] and report["entries"] == 1


class TestUsers:
    """A Jupyter server that knows its users."""

    @pytest.fixture
    def jp_server_config(self, jp_server_config: Any) -> Any:
        jp_server_config["ServerApp"]["identity_provider_class"] = "authorizers.KnownUsers"
        return jp_server_config

    async def test_the_audit_trail_names_the_user(self, jp_fetch: Any, root: Workspace, control: Any) -> None:
        who = await removal(jp_fetch, root, "second")
        assert (who["kind"], who["name"], who["source"]) == ("person", "änn", "lab")


async def test_a_control_plane_that_was_killed_is_started_again(jp_fetch: Any, root: Workspace, control: Any) -> None:
    await jp_fetch(*API, "status")
    before = stop(root)
    response = await jp_fetch(*API, "status", request_timeout=120)
    assert response.code == 200
    after = find_running(root)
    assert before is not None and after is not None


class TestBroken:
    """A workspace whose control plane cannot start."""

    @pytest.fixture
    def broken(self, tmp_path: Any) -> Workspace:
        return Workspace.init(tmp_path)

    @pytest.fixture
    def jp_root_dir(self, broken: Workspace) -> Any:
        return broken.root

    async def test_broken_settings_are_named(self, jp_fetch: Any, broken: Workspace) -> None:
        (broken.root / "workbench.toml").write_text("[trackin]\nuri = 'x'\n")
        status, body = await problem_of(jp_fetch(*API, "status"))
        assert (status, body["code"]) == (422, "invalid_settings")
        assert "tracking" in body["hint"]
        status, body = await problem_of(jp_fetch("mlops-workbench", "handshake"))
        assert (status, body["code"]) == (422, "invalid_settings")

    async def test_the_reason_why_it_does_not_start_is_answered(self, jp_fetch: Any, broken: Workspace) -> None:
        with closing(sqlite3.connect(broken.state / "control.db")) as database, database:
            database.execute("CREATE TABLE alembic_version (version_num TEXT)")
            database.execute("INSERT INTO alembic_version VALUES ('from the future')")
        status, body = await problem_of(jp_fetch(*API, "status", request_timeout=120))
        assert (status, body["code"]) == (503, "unavailable")
        assert body["message"]
        assert body["hint"]
        assert body["where"].endswith("control.log")

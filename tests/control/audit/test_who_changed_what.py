"""A real control plane records who registered, promoted, deployed and rolled back, and what was refused."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pandas as pd
import pytest
from mlflow import MlflowClient
from postgresql import LONG_WITH_POSTGRESQL
from sklearn.dummy import DummyRegressor

from mlops_workbench.capture import Session
from mlops_workbench.client.bodies import ACTOR, SOURCE, DeployRequest, PromoteRequest, RegisterRequest
from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import read_address, token_file
from mlops_workbench.core.audit import AuditEntry
from mlops_workbench.core.errors import GateFailed
from mlops_workbench.core.workspace import Workspace

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

X = pd.DataFrame({"a": [1.0, 2.0, 3.0]})


@pytest.fixture
def recorded(workspace: Workspace) -> Iterator[Callable[..., str]]:
    """Record a run with a model; gives its uid."""
    session = Session(workspace)

    def record(name: str, **metrics: float) -> str:
        run = session.start_run(name, experiment="audit")
        run.log(metrics)
        run.log_model(DummyRegressor().fit(X, [1.0, 2.0, 3.0]), X=X)
        run.end("FINISHED")
        return run.uid

    yield record
    session.close()


def mlops(workspace: Workspace, *words: str, user: str = "ann") -> tuple[int, str]:
    environ = {**os.environ, "JUPYTERHUB_USER": user}
    done = subprocess.run(
        [sys.executable, "-m", "mlops_workbench.cli", *words], cwd=workspace.root, capture_output=True, text=True,
        check=False, timeout=120, env=environ,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def rest(client: Client) -> httpx.Client:
    assert client.workspace is not None
    headers = {"Authorization": f"Bearer {token_file(client.workspace).read_text()}"}
    return httpx.Client(base_url=client.url, headers=headers, timeout=120, trust_env=False)


def taken_over(client: Client, version: int, move: Callable[[], object]) -> AuditEntry:
    """The entry about a move of the champion to `version` in MLflow, which a request or the job takes over."""
    deadline = time.monotonic() + 60
    while (entry := newest(client)).after != {"champion": version}:
        assert time.monotonic() < deadline, entry
        # Again: a move here that is not written to MLflow yet goes before one that is made there.
        move()
        client.models()
    return entry


def newest(client: Client, subject: str = "") -> AuditEntry:
    return client.audit(subject, limit=1)[0]


@pytest.mark.usefixtures("database_url")
@LONG_WITH_POSTGRESQL
def test_every_change_has_an_entry_that_says_who_from_what_and_on_which_evidence(
    running: Client, workspace: Workspace, recorded: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = recorded("first", mae=2.0)
    recorded("second", mae=1.0)
    assert running.audit() == [] and running.verify_audit().whole
    monkeypatch.setenv("JUPYTERHUB_USER", "bob ü/\n")
    with Client.connect(workspace) as bob:
        bob.register("sizes", RegisterRequest("first", alias="champion"))
    promoted, registered = running.audit()
    assert (registered.action, registered.after, registered.outcome) == ("model.register", {"run": first}, "done")
    assert (registered.actor.kind, registered.actor.name, registered.actor.source) == ("person", "bob ü/", "python")
    assert registered.actor.declared and registered.actor == promoted.actor
    assert (promoted.action, promoted.before, promoted.after) == ("model.promote", {"champion": 0}, {"champion": 1})
    subject = promoted.subject
    assert (subject.kind, subject.name, subject.version) == ("model", "sizes", 1) and len(subject.digest) == 32
    assert subject == registered.subject and promoted.evidence is None

    # A repeated request makes no other version, and no other entry.
    assert running.register("sizes", RegisterRequest("first")).version == 1
    assert running.audit() == [promoted, registered]

    # By a shell, refused and then allowed.
    words = ("register", "second", "--as", "sizes", "--alias", "champion", "--gate")
    code, text = mlops(workspace, *words, "mae < 0.5")
    assert code == 1 and "did not pass its gate" in text
    refused, registered = running.audit(limit=2)
    assert (registered.action, registered.subject.version) == ("model.register", 2)
    assert (refused.action, refused.outcome, refused.subject.version) == ("model.refuse", "refused", 2)
    assert refused.evidence is not None and not refused.evidence.passed and "mae < 0.5 (1 >= 0.5)" in refused.reason
    assert refused.before == refused.after == {"champion": 1}
    assert (refused.actor.name, refused.actor.source) == ("ann", "cli")
    assert running.models()[0].aliases == {"champion": 1}
    assert mlops(workspace, "promote", "sizes/2", "--gate", "mae < champion.mae")[0] == 0
    allowed = newest(running)
    assert (allowed.action, allowed.before, allowed.after) == ("model.promote", {"champion": 1}, {"champion": 2})
    assert allowed.evidence is not None and [c.detail for c in allowed.evidence.checks] == ["1 < 2"]

    # By a program that does not say who it is, and one that says what is not so.
    with rest(running) as http:
        assert http.put("/api/endpoints/e", json={"model": "sizes@champion"}).status_code == 202
        deployed = newest(running, "e")
        assert (deployed.action, deployed.before) == ("endpoint.deploy", {})
        assert deployed.after == {"model": "sizes@champion", "version": 2, "port": 0}
        assert (deployed.subject.version, deployed.subject.digest) == (2, allowed.subject.digest)
        assert (deployed.actor.name, deployed.actor.source, deployed.actor.declared) == ("unknown", "rest", False)
        headers = {ACTOR: "%00%F0%9F%98%80%FF" + "a" * 300, SOURCE: "mlflow"}
        assert http.post("/api/endpoints/e/rollback", headers=headers, json={"reason": "worse"}).status_code == 202
    follows, back = running.audit(limit=2)
    assert (back.action, back.before, back.after) == ("model.rollback", {"champion": 2}, {"champion": 1})
    assert back.reason == "rolled back: endpoint 'e' is rolled back: worse"
    name = "\x00\N{GRINNING FACE}\N{REPLACEMENT CHARACTER}" + "a" * 197
    assert (back.actor.name, back.actor.source, back.actor.declared) == (name, "rest", True)
    # The endpoint follows the alias, whoever moved it.
    assert (follows.action, follows.after["version"], follows.actor.kind) == ("endpoint.follow", 1, "process")
    assert follows.actor.name == "endpoint e" and "sizes@champion is now version 1" in follows.reason

    # An endpoint of a fixed version goes back by itself.
    running.deploy("fixed", DeployRequest("sizes/1"), timeout=0)
    running.deploy("fixed", DeployRequest("sizes/2", release_quarantine="mended"), timeout=0)
    assert [entry.action for entry in running.audit(limit=2)] == ["endpoint.deploy", "model.lift_quarantine"]
    assert mlops(workspace, "endpoints", "e", "--remove", user="cy")[0] == 0
    removed = newest(running, "e")
    assert (removed.action, removed.after, removed.actor.name) == ("endpoint.remove", {}, "cy")
    with rest(running) as http:
        assert http.post("/api/endpoints/fixed/rollback", json={"reason": "worse"}).status_code == 202
    fixed = newest(running, "fixed")
    assert (fixed.action, fixed.before["version"], fixed.after["version"]) == ("endpoint.rollback", 2, 1)

    report = running.verify_audit()
    assert (report.whole, report.entries) == (True, len(running.audit())), report.problems


def test_a_move_in_mlflow_is_nobodys_who_asks_the_control_plane(
    running: Client, workspace: Workspace, recorded: Callable[..., str]
) -> None:
    recorded("first")
    recorded("second")
    running.register("m", RegisterRequest("first", alias="champion"))
    running.register("m", RegisterRequest("second"))
    mlflow = MlflowClient(workspace.tracking_uri)
    entry = taken_over(running, 2, lambda: mlflow.set_registered_model_alias("m", "champion", "2"))
    assert (entry.action, entry.reason, entry.before) == ("model.take_over", "set in MLflow", {"champion": 1})
    assert (entry.actor.name, entry.actor.kind, entry.actor.source) == ("MLflow", "process", "mlflow")
    entry = taken_over(running, 0, lambda: mlflow.delete_registered_model_alias("m", "champion"))
    assert (entry.action, entry.reason, entry.before) == ("model.take_over", "deleted in MLflow", {"champion": 2})


def test_the_commands_show_the_trail_and_say_where_it_was_changed(
    running: Client, workspace: Workspace, recorded: Callable[..., str], tmp_path: Path
) -> None:
    recorded("first", mae=2.0)
    assert "no entries" in mlops(workspace, "audit")[1]
    assert mlops(workspace, "register", "first", "--as", "m", "--alias", "champion", user="ev\x1b[31mil")[0] == 0
    with pytest.raises(GateFailed):
        running.promote("m", 1, PromoteRequest(gate=["mae < 1"]))
    code, text = mlops(workspace, "audit", "m")
    assert code == 0 and "audit trail of m" in text
    assert "ev\\x1b[31mil (cli)" in text and "\x1b" not in text
    assert "model.refuse (refused)" in text and "champion 1" in text and "what the clients said of themselves" in text
    assert "no entries in the audit trail of other" in mlops(workspace, "audit", "other")[1]
    shown = json.loads(mlops(workspace, "audit", "show", "m", "--limit", "1", "--json")[1])
    assert [entry["action"] for entry in shown] == ["model.refuse"] and shown[0]["seq"] == 3
    assert "audit show m --before 2" in mlops(workspace, "audit", "m", "--limit", "2")[1]

    code, text = mlops(workspace, "audit", "verify")
    assert code == 0 and "the audit trail is whole: 3 entries" in text
    report = running.verify_audit()
    anchor = tmp_path / "anchor.json"
    anchor.write_text(json.dumps({"seq": 3, "hash": report.head}))
    assert mlops(workspace, "audit", "verify", "--anchor", str(anchor))[0] == 0
    anchor.write_text(json.dumps({"seq": 4, "hash": report.head}))
    code, text = mlops(workspace, "audit", "verify", "--anchor", str(anchor))
    assert code == 1 and "the anchor is not in the chain" in text and "the last entry is 3" in text
    for wrong in ("{", '{"seq": 0, "hash": ""}', json.dumps({"seq": 3, "hash": "A" * 64})):
        anchor.write_text(wrong)
        code, text = mlops(workspace, "audit", "verify", "--anchor", str(anchor))
        assert code == 2 and "no checkpoint" in text

    with closing(sqlite3.connect(workspace.state / "control.db")) as database, database:
        database.execute("DROP TRIGGER audit_update")
        database.execute("UPDATE audit SET body = replace(body, 'champion', 'challenger') WHERE seq = 2")
    code, text = mlops(workspace, "audit", "verify")
    assert code == 1 and "not as it was written" in text and "entry 2: its text is not the one that was written" in text
    assert json.loads(mlops(workspace, "audit", "verify", "--json")[1])["first_bad"] == 2


@pytest.mark.long
def test_a_database_that_was_restored_says_so_in_its_trail(
    running: Client, workspace: Workspace, recorded: Callable[..., str]
) -> None:
    recorded("first")
    running.register("m", RegisterRequest("first", alias="champion"))
    address = read_address(workspace)
    assert address is not None
    os.kill(address.pid, signal.SIGKILL)
    address.process.stop(grace=20)
    for file in workspace.state.glob("control.db*"):
        if not file.name.endswith(".lock"):
            file.unlink()
    assert running.status().models >= 0
    entry = newest(running)
    assert (entry.action, entry.actor.name, entry.seq) == ("database.restore", "control plane", 3)
    assert "restored from the copy of" in entry.reason
    assert running.verify_audit().whole

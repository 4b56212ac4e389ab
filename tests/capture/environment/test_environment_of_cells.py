"""Secrets, environment and budget in a real kernel."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from kernels import Kernel, Records, until

from mlops_workbench.core.records import Artifact, Metrics, RunEnd, RunStart
from mlops_workbench.core.secrets import MASK
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process

GITHUB = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
RANDOM = "q7Xk29sD02ksZ1" + "vB8nM4wQ6yT3uI"
#: One for each way into a record; none is in the source of this file as the kernel gets it.
SECRETS = [
    f"letmein-{way}-42" for way in ("source", "param", "tag", "option", "dict", "output", "error", "url", "environ")
]
SECRETS += ["letmein-diff-42", "letmein-variable-42", "letmein-magic-42", GITHUB, RANDOM]

CELL = """%%track leaky --tag client_secret=letmein-option-42 --note "with GITHUB"
%env SOME_TOKEN=letmein-magic-42
import os
from mlops_workbench import log, log_params, log_param, log_dataset, tag
API_KEY = "letmein-source-42"
os.environ["X_TOKEN"] = "letmein-environ-42"
database = "postgresql://me:letmein-url-42@db/flights"
log_params(password="letmein-param-42", depth=3)
log_dataset(__import__("numpy").zeros((3, 2)), "flights", source=database)
log_param("config", {"user": "me", "db_password": "letmein-dict-42"})
tag(api_token="letmein-tag-42", team="ops")
print("connecting with password='letmein-output-42' and", "RANDOM")
print("token:", "GITHUB", database)
raise ValueError("login failed: password='letmein-error-42' for " + database)
""".replace("GITHUB", GITHUB).replace("RANDOM", RANDOM)


@pytest.fixture
def repository(stored_workspace: Workspace) -> Workspace:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    root = stored_workspace.root
    (root / "settings.py").write_text("a = 1\n")
    for arguments in (("init", "-q", "-b", "main"), ("add", "-A"), (*who, "commit", "-q", "-m", "first")):
        subprocess.run(["git", *arguments], cwd=root, check=True)
    (root / "settings.py").write_text('a = 2\nDB_PASSWORD = "letmein-diff-42"\n')
    return stored_workspace


def environments(records: Records, run: str) -> list[Artifact]:
    uid = records.start(run).run_uid
    return [r for r in records.all() if isinstance(r, Artifact) and (r.run_uid, r.path) == (uid, "environment.json")]


def test_no_secret_reaches_a_journal_a_blob_or_mlflow(repository):
    from mlops_workbench.tracking import Ingest

    records = Records(repository.root)
    kernel = Kernel(repository.root, MLFLOW_TRACKING_PASSWORD="letmein-variable-42", OMP_NUM_THREADS="2")
    try:
        kernel.run(CELL, fails=True)
        kernel.run("%%track after\nx = 1")
        until(lambda: environments(records, "leaky") and environments(records, "after"), "the environments")
    finally:
        kernel.close()
    with Ingest(repository) as ingest:
        ingest.drain(timeout=90)
        detail = ingest.index.detail(records.start("leaky").run_uid)
        files = ingest.store.connection.client.list_artifacts(detail.run.run_id)
    leaks, seen = [], set()
    for file in repository.state.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        seen |= {file.suffix for known in (b"login failed", b"connecting with") if known in content}
        leaks += [(secret, str(file)) for secret in SECRETS if secret.encode() in content]
    assert leaks == []
    # The same text without its secrets is found in the journal, in the databases and in MLflow's files.
    assert {".mlj", ".db", ".txt"} <= seen, seen
    # It is the run that was looked for, with all that is no secret.
    assert detail.run.status == "FAILED" and detail.run.params["depth"] == "3" and detail.run.tags["team"] == "ops"
    assert (
        detail.run.params["password"] == MASK and "login failed" in detail.traceback and "connecting" in detail.output
    )
    assert f'API_KEY = "{MASK}"' in detail.source and "raise ValueError" in detail.source
    assert {"environment.json", "git.diff"} <= {file.path for file in files}
    assert detail.run.tags["mlflow.source.git.branch"] == "main"
    document = json.loads(records.blob(environments(records, "leaky")[-1].digest))
    assert document["variables"]["MLFLOW_TRACKING_PASSWORD"] == MASK and document["variables"]["OMP_NUM_THREADS"] == "2"


def test_the_first_tracked_cell_does_not_wait_for_git(workspace, tmp_path):
    # A git that answers only when it is told to.
    gate, programs = tmp_path / "gate", tmp_path / "bin"
    os.mkfifo(gate)
    programs.mkdir()
    # Outside of a repository git is not asked at all.
    (workspace.root / ".git").mkdir()
    (programs / "git").write_text(f'#!/bin/sh\nread word < "{gate}"\nexit 128\n')
    (programs / "git").chmod(0o755)
    records = Records(workspace.root)
    kernel = Kernel(workspace.root, PATH=f"{programs}{os.pathsep}{os.environ['PATH']}")
    try:
        kernel.run("%%track first\nx = 1")
        assert records.end("first").status == "FINISHED" and environments(records, "first") == []
        with open(gate, "w") as opened:
            opened.write("go\n")
        until(lambda: environments(records, "first"), "the environment after the end")
        kernel.run("y = 1")
    finally:
        kernel.close()
    order = [type(r) for r in records.all() if getattr(r, "run_uid", "") == records.start("first").run_uid]
    assert order.index(RunEnd) < order.index(Artifact)
    assert json.loads(records.blob(environments(records, "first")[0].digest))["git"] is None


@pytest.fixture(scope="module")
def priced(tmp_path_factory):
    """A kernel in a workspace in which an hour costs 3,600 EUR."""
    root = tmp_path_factory.mktemp("budget")
    Workspace.init(root)
    (root / "workbench.toml").write_text('[prices]\nmachine = "m"\n[prices.per_hour]\nm = 3600\n')
    kernel = Kernel(root)
    kernel.run("%load_ext mlops_workbench")
    yield kernel
    kernel.close()


def text_of(outputs) -> str:
    return "".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


@pytest.mark.long
def test_a_budget_warns_once_at_80_percent_and_once_when_it_is_used_up(priced):
    assert "budget of this session" in text_of(priced.run("%mlops budget 4s"))
    # Only tracked work counts.
    priced.run("import time; time.sleep(4.5)")
    assert "0 %" in text_of(priced.run("%mlops budget"))
    shown = text_of(priced.run("%%track slow\nimport time\nfor _ in range(80): time.sleep(0.1)"))
    assert shown.count("of the budget is used") <= 1 and shown.count("the budget is used up") == 1
    assert priced.records.end("slow").status == "FINISHED"
    assert "no budget" in text_of(priced.run("%mlops budget off"))
    assert "no budget" in text_of(priced.run("%mlops budget"))


def test_a_budget_with_stop_interrupts_the_cell_that_goes_beyond(priced):
    priced.run("%mlops budget 2EUR --stop")
    outputs = priced.run("%%track endless\nimport time\nwhile True: time.sleep(600)", fails=True)
    assert any(output.get("ename") == "KeyboardInterrupt" for output in outputs)
    end = priced.records.end("endless")
    assert end.status == "KILLED" and end.error.startswith("stopped by the budget:") and "of 2 EUR" in end.error
    # The next one goes beyond as well; other cells are left alone.
    priced.run("y = 1")
    priced.run("%%track again\nimport time\nwhile True: time.sleep(600)", fails=True)
    assert priced.records.end("again").error.startswith("stopped by the budget:")
    priced.run("%mlops budget off")
    priced.run("%%track free\nz = 1")
    assert priced.records.end("free").status == "FINISHED"
    sums = [r for r in priced.records.all() if isinstance(r, Metrics) and "system/cost" in r.values]
    assert {r.run_uid for r in sums} == {start.run_uid for start in priced.records.of(RunStart)}


@pytest.mark.parametrize(
    ("line", "said"),
    [("lots", "'lots' is neither a time nor an amount"), ("5USD", "not in EUR"), ("--stop", "--stop needs a budget")],
)
def test_a_bad_budget_is_refused_and_changes_nothing(priced, line, said):
    (output,) = [o for o in priced.run(f"%mlops budget {line}", fails=True) if o["output_type"] == "error"]
    assert said in output["evalue"] and "hint:" in output["evalue"]
    assert "no budget" in text_of(priced.run("%mlops budget"))


def test_a_budget_in_money_without_prices_says_what_to_write(kernel):
    kernel.run("%load_ext mlops_workbench")
    (output,) = [o for o in kernel.run("%mlops budget 5EUR", fails=True) if o["output_type"] == "error"]
    assert "needs prices" in output["evalue"] and "per_hour = { laptop = 0.05 }" in output["evalue"]
    kernel.run("%mlops budget 1h")
    kernel.run("%mlops budget off")

"""MLflow code with ``mlops://`` in processes that fork, die, and read what others write."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from test_plugin_oracle import forget

from mlops_workbench.core.workspace import FILE, Workspace
from mlops_workbench.journal.format import SUFFIX
from mlops_workbench.tracking import Ingest

pytestmark = pytest.mark.process


@pytest.fixture
def uri(stored_workspace: Workspace) -> Iterator[str]:
    """The workspace as MLflow code names it; MLflow's global state is as before, afterwards."""
    forget()
    address = f"mlops://{stored_workspace.root}"
    mlflow.set_tracking_uri(address)
    yield address
    forget()
    mlflow.set_tracking_uri(None)


FORKS = """
import json, os, sys
import mlflow  # takes seconds: the scripts are forks of a process that has done it
for line in sys.stdin:
    job = json.loads(line)
    pid = os.fork()
    if pid == 0:
        os.environ.update(job["environment"])
        sys.argv[1:] = job["arguments"]
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(job[name], os.O_WRONLY | os.O_CREAT), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        exec(job["code"], {"__name__": "__main__"})
        break
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Scripts:
    """Python scripts of somebody who knows only MLflow, one after another, each in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self.process = subprocess.Popen(
            [sys.executable, "-c", FORKS],
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, code: str, uri: str, *arguments: str, **environment: str) -> None:
        self._count += 1
        job = {
            "code": textwrap.dedent(code),
            "arguments": arguments,
            "environment": {"MLFLOW_TRACKING_URI": uri, **environment},
            "out": str(self._folder / f"{self._count}.out"),
            "err": str(self._folder / f"{self._count}.err"),
        }
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()

    def told(self) -> list[str]:
        """Whole lines that the script has printed until now."""
        file = self._folder / f"{self._count}.out"
        return file.read_text().split("\n")[:-1] if file.exists() else []

    def told_at_least(self, lines: int) -> list[str]:
        deadline = time.monotonic() + 120
        while len(self.told()) < lines:
            assert time.monotonic() < deadline, (self._folder / f"{self._count}.err").read_text()
            time.sleep(0.01)
        return self.told()

    def ended(self) -> int:
        """Exit code of the script, after its end."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def output(self, code: str, uri: str, *arguments: str, **environment: str) -> str:
        """What a script prints that ends in good order."""
        self.start(code, uri, *arguments, **environment)
        assert self.ended() == 0, (self._folder / f"{self._count}.err").read_text()
        return "\n".join(self.told())


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripts]:
    started = Scripts(tmp_path_factory.mktemp("scripts"))
    yield started
    with started.process as process:
        assert process.stdin is not None
        process.stdin.close()


def deliver(workspace: Workspace) -> None:
    with Ingest(workspace) as ingest:
        while ingest.step():
            pass
        ingest.drain(timeout=120)


def test_a_process_that_is_killed_loses_no_point(scripts: Scripts, stored_workspace: Workspace, uri: str) -> None:
    scripts.start(
        """
        import mlflow, os
        mlflow.set_experiment("killed")
        run = mlflow.start_run(run_name="victim")
        mlflow.log_param("depth", 6)
        mlflow.log_text("kept", "a.txt")
        print(run.info.run_id, os.getpid(), flush=True)
        step = 0
        while True:
            mlflow.log_metric("loss", step / 2, step=step)
            step += 1
            print(step, flush=True)
        """,
        uri,
    )
    uid, pid = scripts.told_at_least(300)[0].split()
    os.kill(int(pid), signal.SIGKILL)
    assert scripts.ended() == -signal.SIGKILL
    returned = int(scripts.told()[-1])
    deliver(stored_workspace)
    client = MlflowClient()
    run = client.get_run(uid)
    assert (run.info.status, run.info.run_name, run.data.params) == ("KILLED", "victim", {"depth": "6"})
    history = client.get_metric_history(uid, "loss")
    # The last calls may have been written and not have returned, or not have been told.
    assert [point.value for point in history] == [step / 2 for step in range(len(history))]
    assert returned <= len(history) <= returned + 1
    assert mlflow.artifacts.load_text(f"runs:/{uid}/a.txt") == "kept"
    found = mlflow.search_runs(["1"], "attributes.status = 'KILLED'", output_format="list")
    assert [item.info.run_id for item in found] == [uid]


def test_a_script_that_forgets_to_end_its_run_finishes_it(
    scripts: Scripts, stored_workspace: Workspace, uri: str
) -> None:
    code = """
    import mlflow
    run = mlflow.start_run(run_name="open")
    mlflow.start_run(run_name="inner", nested=True)
    mlflow.log_metric("m", 1)
    print(run.info.run_id)
    """
    uid = scripts.output(code, uri)
    assert mlflow.get_run(uid).info.status == "FINISHED"
    children = MlflowClient().search_runs(["0"], f"tags.mlflow.parentRunId = '{uid}'")
    assert [(run.info.run_name, run.info.status, run.data.metrics["m"]) for run in children] == [
        ("inner", "FINISHED", 1.0)
    ]


def test_another_process_resumes_a_run(scripts: Scripts, stored_workspace: Workspace, uri: str) -> None:
    with mlflow.start_run(run_name="first") as run:
        mlflow.log_metric("m", 1, step=0)
        mlflow.log_param("a", 1)
        code = """
        import mlflow
        with mlflow.start_run() as run:
            mlflow.log_metric("m", 2, step=1)
            mlflow.log_param("b", 2)
            print(run.info.run_id, mlflow.get_run(run.info.run_id).data.params)
        """
        told = scripts.output(code, uri, MLFLOW_RUN_ID=run.info.run_id)
    assert told == f"{run.info.run_id} {{'a': '1', 'b': '2'}}"
    deliver(stored_workspace)
    found = mlflow.get_run(run.info.run_id)
    assert (found.data.params, found.info.status) == ({"a": "1", "b": "2"}, "FINISHED")
    assert [p.value for p in MlflowClient().get_metric_history(run.info.run_id, "m")] == [1, 2]


def test_a_run_resumed_by_a_process_that_is_killed_ends_killed(
    scripts: Scripts, stored_workspace: Workspace, uri: str
) -> None:
    with mlflow.start_run(run_name="again") as run:
        mlflow.log_metric("m", 1, step=0)
    uid = run.info.run_id
    code = """
    import mlflow, os, signal, sys
    with mlflow.start_run(run_id=sys.argv[1]):
        mlflow.log_metric("m", 2, step=1)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    scripts.start(code, uri, uid)
    assert scripts.ended() == -signal.SIGKILL
    deliver(stored_workspace)
    with Ingest(stored_workspace) as ingest:
        assert ingest.index.find(uid).status == "KILLED"
    found = mlflow.get_run(uid)
    assert (found.info.status, found.data.metrics["m"]) == ("KILLED", 2.0)


def test_a_forked_child_logs_to_its_parents_run(scripts: Scripts, stored_workspace: Workspace, uri: str) -> None:
    code = """
    import mlflow, os
    with mlflow.start_run(run_name="forks") as run:
        mlflow.log_metric("parent", 1)
        for number in range(3):
            pid = os.fork()
            if pid == 0:
                for step in range(20):
                    mlflow.log_metric(f"child{number}", step, step=step, run_id=run.info.run_id)
                os._exit(0)
            os.waitpid(pid, 0)
        mlflow.log_metric("after", 1)
        print(run.info.run_id)
    """
    uid = scripts.output(code, uri)
    deliver(stored_workspace)
    found = mlflow.get_run(uid)
    assert found.data.metrics == {"parent": 1, "after": 1, "child0": 19, "child1": 19, "child2": 19}
    assert len(MlflowClient().get_metric_history(uid, "child2")) == 20
    assert found.info.status == "FINISHED"


def test_the_workbench_has_what_mlflow_does_not_show(stored_workspace: Workspace, uri: str) -> None:
    with pytest.raises(ZeroDivisionError), mlflow.start_run(run_name="plain") as run:
        mlflow.log_metric("m", 1)
        1 / 0  # noqa: B018
    with pytest.raises(MlflowException, match="reserved"):
        MlflowClient().set_tag(run.info.run_id, "mlops.run_uid", "another")
    with pytest.raises(MlflowException, match="No tag with name"):
        MlflowClient().delete_tag(run.info.run_id, "mlops.run_uid")
    deliver(stored_workspace)
    assert set(mlflow.get_run(run.info.run_id).data.metrics) == {"m"}
    used = {"system/peak_memory_megabytes", "system/cpu_seconds"}
    with Ingest(stored_workspace) as ingest:
        seen = ingest.index.find(run.info.run_id)
        assert {"m", *used} <= set(seen.metrics)
        assert "ZeroDivisionError" in ingest.index.detail(seen.uid).traceback
    for journal in stored_workspace.journal.glob(f"*{SUFFIX}"):
        journal.unlink()
    stored_workspace.index.unlink()
    with Ingest(stored_workspace) as ingest:
        while ingest.step() or ingest.follow():
            pass
        again = ingest.index.find(run.info.run_id)
        assert {name: again.metrics[name] for name in used} == {name: seen.metrics[name] for name in used}


def test_runs_begun_through_mlflow_are_in_the_read_index(
    scripts: Scripts, stored_workspace: Workspace, uri: str
) -> None:
    mlflow.set_experiment("listed")
    with mlflow.start_run(run_name="outer") as outer:
        mlflow.log_metric("auc", 0.5)
        mlflow.log_input(mlflow.data.from_numpy(__import__("numpy").zeros((3, 2)), name="numbers"), context="training")
        with mlflow.start_run(run_name="inner", nested=True):
            mlflow.set_tag("mlflow.runName", "renamed")
    deliver(stored_workspace)
    with Ingest(stored_workspace) as ingest:
        detail = ingest.index.detail(outer.info.run_id)
        assert (detail.run.kind, detail.run.experiment, detail.run.status) == ("run", "listed", "FINISHED")
        assert (detail.run.run_id, detail.run.metrics["auc"]) == (outer.info.run_id, 0.5)
        assert [(data.name, data.context, data.rows) for data in detail.datasets] == [("numbers", "training", 3)]
        assert [child.name for child in detail.children] == ["renamed"]


def test_a_run_is_read_by_another_process_while_it_goes_on(
    scripts: Scripts, stored_workspace: Workspace, uri: str
) -> None:
    with mlflow.start_run(run_name="live") as run:
        mlflow.log_metric("m", 1.5)
        code = "import mlflow, sys; print(mlflow.get_run(sys.argv[1]).data.metrics['m'])"
        assert scripts.output(code, uri, run.info.run_id) == "1.5"
        mlflow.log_metric("m", 2.5, step=1)
        assert scripts.output(code, uri, run.info.run_id) == "2.5"


def test_two_workspaces_are_apart(uri: str, tmp_path: Path) -> None:
    other = Workspace.init(tmp_path / "other one")
    with mlflow.start_run() as here:
        mlflow.log_metric("m", 1)
    mlflow.set_tracking_uri(f"mlops://{str(other.root).replace(' ', '%20')}")
    with mlflow.start_run() as there:
        mlflow.log_metric("m", 2)
    assert mlflow.get_run(there.info.run_id).data.metrics["m"] == 2
    with pytest.raises(MlflowException, match=r"Run with id=.* not found"):
        mlflow.get_run(here.info.run_id)
    assert not (other.root / "mlruns").exists()


@pytest.mark.parametrize("wrong", ["mlops://host/folder", "mlops:///no/such/folder"])
def test_a_uri_that_is_not_of_a_workspace_is_refused(wrong: str, uri: str) -> None:
    mlflow.set_tracking_uri(wrong)
    with pytest.raises(MlflowException, match=r"is not a workspace URI|does not exist"):
        mlflow.start_run()


def test_an_unavailable_store_does_not_stop_logging(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, uri: str
) -> None:
    # Delivery needs a server that is gone when the run is under way.
    import socket

    from mlflow_server import free_port

    monkeypatch.setattr("mlops_workbench.tracking.plugin.real_store._PATIENCE", 0.5)
    listener = socket.socket()
    listener.bind(("127.0.0.1", free_port()))
    (workspace.root / FILE).write_text(
        f'[tracking]\nuri = "http://127.0.0.1:{listener.getsockname()[1]}"\n', encoding="utf-8"
    )
    from mlflow.entities import Experiment

    from mlops_workbench.tracking.plugin.stores import _stores, journal_store

    _stores.pop(workspace.root, None)
    store = journal_store(uri)
    # As it is when the server went away after the experiment was looked up.
    store.real._experiments["0"] = Experiment("0", "Default", "mlflow-artifacts:/0", "active")
    run = store.create_run("0", "ann", 1, [], "offline")
    begin = time.monotonic()
    for step in range(50):
        store.log_metric(run.info.run_id, mlflow.entities.Metric("m", step, step, step))
    assert time.monotonic() - begin < 60
    assert store.get_run(run.info.run_id).data.metrics == {"m": 49}
    assert len(store.get_metric_history(run.info.run_id, "m")) == 50
    found = store.search_runs(["0"], "metrics.m > 3", 1)
    assert [item.info.run_name for item in found] == ["offline"]
    assert store.search_runs(["0"], "metrics.m > 99", 1) == []
    assert "only runs of this process" in caplog.text
    with pytest.raises(MlflowException, match="API request to"):
        store.get_experiment("7")
    store.update_run_info(run.info.run_id, 3, 5, None)
    assert store.get_run(run.info.run_id).info.status == "FINISHED"
    listener.close()
    _stores.pop(workspace.root, None)


def test_what_is_logged_asynchronously_is_kept_when_the_process_dies(
    scripts: Scripts, stored_workspace: Workspace, uri: str
) -> None:
    code = """
    import mlflow, os, signal, json
    run = mlflow.start_run()
    for step in range(100):
        mlflow.log_metric("m", step, step=step, synchronous=False)
    print(json.dumps(run.info.run_id), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    scripts.start(code, uri)
    assert scripts.ended() == -signal.SIGKILL
    deliver(stored_workspace)
    assert len(MlflowClient().get_metric_history(json.loads(scripts.told()[0]), "m")) == 100


def test_a_run_that_was_refused_while_deleted_is_delivered_to_when_restored(
    stored_workspace: Workspace, uri: str
) -> None:
    client = MlflowClient()
    with mlflow.start_run(run_name="restored") as run:
        uid = run.info.run_id
        client.delete_run(uid)
        # What the workbench itself records comes when it comes.
        _recorded_besides(uid)
        deliver(stored_workspace)
        client.restore_run(uid)
        mlflow.log_metric("m", 2.0)
    deliver(stored_workspace)
    found = client.search_runs(["0"], "metrics.m = 2")
    assert [(item.info.run_id, item.info.status) for item in found] == [(uid, "FINISHED")]


def test_the_last_value_of_a_metric_is_that_of_its_highest_step(uri: str) -> None:
    with mlflow.start_run() as run:
        mlflow.log_metric("loss", 0.25, step=1)
        mlflow.log_metric("loss", 0.5, step=0)
        known = MlflowClient()._tracking_client.store.runs.by_id[run.info.run_id].run
        assert known.metrics["loss"] == 0.25
        mlflow.log_metric("loss", 0.75, step=1)
        assert known.metrics["loss"] == 0.75


def _recorded_besides(uid: str) -> None:
    from mlops_workbench.core.records import Tags

    client = MlflowClient()
    client._tracking_client.store.runs.session.write(Tags(uid, {"besides": "1"}))

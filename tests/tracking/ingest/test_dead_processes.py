"""Runs whose process died end as KILLED with all they logged; others are left alone."""

from __future__ import annotations

import signal
import subprocess

import pytest
from mlflow import MlflowClient
from recorder import Recorder, dead_process

from mlops_workbench.core.ids import new_id, now_ms
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.records import Heartbeat, Metrics, RunEnd, RunStart, Tags
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest
from mlops_workbench.tracking.journals.files import journal_files

pytestmark = pytest.mark.process


def _settle(ingest: Ingest) -> None:
    ingest.drain()
    # What a first look learns, a second acts on.
    while ingest.step():
        pass
    ingest.drain()


def _status(ingest: Ingest, uid: str) -> tuple[str, str]:
    client = MlflowClient(ingest.store.uri, ingest.store.uri)
    run = ingest.index.find(uid)
    return run.status, client.get_run(run.run_id).info.status


def test_a_run_of_a_dead_kernel_ends_killed_with_what_it_logged(ingest: Ingest) -> None:
    dead, alive = Recorder(ingest.workspace, dead_process()), Recorder(ingest.workspace)
    lost, kept = dead.start("lost"), alive.start("kept")
    finished = dead.start("finished")
    at = now_ms() + 5
    dead.put(Metrics(lost, at, 3, {"mae": 2.5}))
    dead.end(finished)
    _settle(ingest)
    assert _status(ingest, lost) == ("KILLED", "KILLED")
    assert _status(ingest, kept) == ("RUNNING", "RUNNING")
    assert _status(ingest, finished) == ("FINISHED", "FINISHED")
    run = ingest.index.find(lost)
    assert (run.metrics, run.end_ms) == ({"mae": 2.5}, at)
    assert "ended without closing" in run.error
    alive.end(kept)
    _settle(ingest)
    assert _status(ingest, kept) == ("FINISHED", "FINISHED")


def test_a_stage_is_reaped_only_when_its_runner_and_its_kernel_are_dead(ingest: Ingest) -> None:
    runner, kernel = Recorder(ingest.workspace), Recorder(ingest.workspace, dead_process())
    stage = runner.start("train", kind="stage")
    kernel.put(Metrics(stage, now_ms(), 0, {"mae": 1.0}))
    dead_runner, live_kernel = Recorder(ingest.workspace, dead_process()), Recorder(ingest.workspace)
    carried = dead_runner.start("score", kind="stage")
    live_kernel.put(Metrics(carried, now_ms(), 0, {"mae": 1.0}))
    _settle(ingest)
    assert _status(ingest, stage) == ("RUNNING", "RUNNING")
    assert _status(ingest, carried) == ("RUNNING", "RUNNING")
    runner.close()
    live_kernel.close()
    _settle(ingest)
    assert _status(ingest, stage) == ("KILLED", "KILLED")
    assert _status(ingest, carried) == ("KILLED", "KILLED")


def test_a_session_on_another_host_is_alive_until_its_heartbeat_is_overdue(ingest: Ingest) -> None:
    punctual, late = (Recorder(ingest.workspace, host="elsewhere") for _ in range(2))
    waiting, lost = punctual.start("waiting"), late.start("lost")
    now = now_ms()
    punctual.put(Heartbeat(now, now + 20_000))
    late.put(Heartbeat(now - 600_000, now - 580_000))
    _settle(ingest)
    assert _status(ingest, waiting) == ("RUNNING", "RUNNING")
    assert _status(ingest, lost) == ("KILLED", "KILLED")


def test_a_process_that_was_stopped_is_not_dead_however_long_it_is_silent(ingest: Ingest) -> None:
    process = subprocess.Popen(["sleep", "600"])
    try:
        process.send_signal(signal.SIGSTOP)
        identity = ProcessIdentity.of(process.pid)
        stopped = Recorder(ingest.workspace, identity)
        uid = stopped.start("stopped")
        then = now_ms() - 3_600_000
        stopped.put(Heartbeat(then, then + 20_000))
        _settle(ingest)
        assert _status(ingest, uid) == ("RUNNING", "RUNNING")
    finally:
        process.kill()
        process.wait()
    _settle(ingest)
    assert _status(ingest, uid) == ("KILLED", "KILLED")


def test_a_session_on_another_host_is_read_on_after_a_long_silence(ingest: Ingest) -> None:
    suspended = Recorder(ingest.workspace, host="elsewhere")
    uid = suspended.start("suspended", start_ms=now_ms() - 3_700_000)
    then = now_ms() - 3_600_000
    suspended.put(Metrics(uid, then, 0, {"loss": 3.0}), Heartbeat(then, then + 20_000))
    _settle(ingest)
    assert _status(ingest, uid) == ("KILLED", "KILLED")
    suspended.put(Metrics(uid, now_ms(), 1, {"loss": 2.0}))
    _settle(ingest)
    now = now_ms()
    suspended.put(Heartbeat(now, now + 20_000))
    _settle(ingest)
    assert _status(ingest, uid) == ("RUNNING", "RUNNING")
    assert MlflowClient(ingest.store.uri).get_run(uid).data.tags["mlops.error"] == ""
    assert ingest.index.find(uid).metrics == {"loss": 2.0}
    # A kernel without a run promises nothing, and begins another one after any time.
    suspended.put(Metrics(uid, now_ms(), 2, {"loss": 1.0}))
    suspended.end(uid)
    later = suspended.start("later")
    _settle(ingest)
    assert _status(ingest, uid) == ("FINISHED", "FINISHED")
    assert _status(ingest, later) == ("RUNNING", "RUNNING")
    run = ingest.index.find(uid)
    assert run.error == "" and run.metrics == {"loss": 1.0}
    assert MlflowClient(ingest.store.uri).get_run(run.run_id).data.metrics == {"loss": 1.0}
    suspended.close()


def test_a_reaped_run_is_reopened_when_another_process_resumes_it(ingest: Ingest) -> None:
    first = Recorder(ingest.workspace, dead_process())
    uid = first.start("resumed", kind="pipeline")
    _settle(ingest)
    assert _status(ingest, uid) == ("KILLED", "KILLED")
    second = Recorder(ingest.workspace)
    second.put(RunStart(uid, "resumed", "flights", now_ms(), kind="pipeline"))
    _settle(ingest)
    assert _status(ingest, uid) == ("RUNNING", "RUNNING")
    second.end(uid)
    _settle(ingest)
    assert _status(ingest, uid) == ("FINISHED", "FINISHED")
    assert MlflowClient(ingest.store.uri).get_run(uid).data.tags["mlops.error"] == ""


def test_records_of_a_run_whose_start_is_lost_are_recovered(ingest: Ingest) -> None:
    kernel = Recorder(ingest.workspace, dead_process())
    uid = "ab" * 16
    kernel.put(Metrics(uid, now_ms(), 0, {"mae": 1.5}))
    _settle(ingest)
    assert _status(ingest, uid) == ("KILLED", "KILLED")
    run = ingest.index.find(uid)
    assert run.name.startswith("recovered-")
    assert MlflowClient(ingest.store.uri).get_run(run.run_id).data.metrics == {"mae": 1.5}


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_an_end_that_a_run_wrote_precedes_the_reapers(status: str, ingest: Ingest) -> None:
    recorder = Recorder(ingest.workspace, dead_process())
    uid = recorder.start()
    recorder.end(uid, status, error="NameError: x")
    _settle(ingest)
    assert _status(ingest, uid) == (status, status)
    assert ingest.index.find(uid).error == "NameError: x"


def test_a_run_resumed_by_an_older_kernel_is_the_same_in_a_rebuilt_index(stored_workspace: Workspace) -> None:
    """Journals are read in order of their sessions, which is not that of what happened."""
    # Two ids of one millisecond are in any order.
    older, newer = sorted((Recorder(stored_workspace) for _ in range(2)), key=lambda one: one.session)
    done, open_ = new_id(), new_id()
    for uid in (done, open_):
        newer.put(RunStart(uid, "first", "flights", 100, source="a = 1"), RunEnd(uid, 200, "FAILED", error="no"))
    newer.put(Tags(done, {"mlflow.runName": "renamed"}))
    with Ingest(stored_workspace) as ingest:
        _settle(ingest)
        for uid in (done, open_):
            older.put(RunStart(uid, "second", "flights", 300))
        older.put(RunEnd(done, 400, "FINISHED"))
        _settle(ingest)
        before = [ingest.detail(uid) for uid in (done, open_)]
        assert [detail.run.name for detail in before] == ["renamed", "first"]
        assert [(d.run.status, d.run.start_ms, d.run.end_ms, d.run.error) for d in before] == [
            ("FINISHED", 100, 400, ""),
            ("RUNNING", 100, 0, ""),
        ]
        client = MlflowClient(ingest.store.uri)
        for uid in (done, open_):
            assert client.get_run(uid).data.tags["mlops.error"] == ""
    stored_workspace.index.unlink()
    with Ingest(stored_workspace) as ingest:
        _settle(ingest)
        for uid, was in zip((done, open_), before, strict=True):
            assert ingest.detail(uid) == was


def test_an_end_before_its_start_ends_the_run_all_the_same(ingest: Ingest) -> None:
    """The clock was set back meanwhile, or MLflow code gave a time of its own."""
    recorder = Recorder(ingest.workspace)
    uid = recorder.start()
    recorder.put(RunEnd(uid, 5, "FINISHED"))
    _settle(ingest)
    assert _status(ingest, uid) == ("FINISHED", "FINISHED")


def test_a_run_whose_first_journal_expired_ends_in_a_rebuilt_index(
    stored_workspace: Workspace,
) -> None:
    recorder = Recorder(stored_workspace, dead_process(), segment_bytes=1 << 12)
    first = journal_files(stored_workspace.journal)
    promised = recorder.start("promised")
    then = now_ms() - 3 * 86_400_000
    while len(journal_files(stored_workspace.journal)) == len(first):
        recorder.put(Metrics(promised, then, 0, {"mae": 1.0}))
    recorder.put(RunStart(promised, "promised", "flights", then), Heartbeat(then, then + 20_000))
    other = Recorder(stored_workspace, dead_process(), segment_bytes=1 << 12)
    silent = other.start("silent")
    count = len(journal_files(stored_workspace.journal))
    while len(journal_files(stored_workspace.journal)) == count:
        other.put(Metrics(silent, then, 0, {"mae": 1.0}))
    other.put(RunStart(silent, "silent", "flights", then))
    for session in (recorder.session, other.session):
        min(file.path for file in journal_files(stored_workspace.journal) if file.session == session).unlink()
    with Ingest(stored_workspace) as ingest:
        _settle(ingest)
        for uid in (promised, silent):
            assert _status(ingest, uid) == ("KILLED", "KILLED")
            assert ingest.index.find(uid).end_ms == then

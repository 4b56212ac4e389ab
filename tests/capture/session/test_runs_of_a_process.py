"""Runs start, nest and end, and code logs to the right one."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading

import pandas as pd
import pytest

from mlops_workbench.capture import (
    current_experiment,
    current_session,
    log,
    log_artifact,
    log_dataset,
    log_figure,
    log_model,
    log_param,
    set_experiment,
    tag,
    track,
)
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.records import (
    Artifact,
    Heartbeat,
    Metrics,
    Params,
    RunEnd,
    RunStart,
    SessionEnd,
    SessionStart,
    Tags,
)


def test_a_session_tells_who_writes_and_ends_in_good_order(session, records, workspace):
    assert records.all() == [], "nothing is written before the first record"
    with track("r"):
        pass
    session.close()
    all_records = records.all()
    start = all_records[0]
    assert isinstance(start, SessionStart) and start.pid == os.getpid() and start.process_started > 0
    assert isinstance(all_records[-1], SessionEnd)
    beat = records.of(Heartbeat)[0]
    assert beat.due_ms > beat.at_ms
    (file,) = workspace.journal.iterdir()
    assert file.name == f"{start.session}-0000.mlj"


def test_a_block_inside_a_block_is_its_child(session, records):
    with track("outer", experiment="e") as outer:
        log(a=1)
        with track("inner"):
            log(a=2)
        log(a=3)
    assert records.start("inner").parent_uid == outer.uid
    assert records.start("inner").experiment == "e"
    assert [record.values["a"] for record in records.of(Metrics, "outer")] == [1, 3]
    assert records.values(Metrics, "inner") == {"a": 2}
    assert records.end("outer").status == records.end("inner").status == "FINISHED"


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError("no such thing"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(0), "KILLED")],
)
def test_an_error_ends_the_run_and_goes_on_its_way(session, records, error, status):
    with pytest.raises(type(error)) as caught, track("r"):
        raise error
    assert caught.value is error
    end = records.end("r")
    assert end.status == status and end.complete
    assert end.error.startswith(type(error).__name__)
    assert "raise error" in end.traceback


def test_a_decorated_function_is_a_run_per_call(session, records):
    @track
    def train(depth, *, rate=0.1, table=None):
        """Doc."""
        log(score=depth)
        return depth * 2

    assert (train(3), train(4, rate=0.2)) == (6, 8) and train.__doc__ == "Doc."
    starts = [start for start in records.of(RunStart) if start.name == "train"]
    assert len(starts) == 2 and "log(score=depth)" in starts[0].source
    assert records.values(Params, starts[0].run_uid) == {"depth": 3, "rate": 0.1, "table": None}
    assert records.values(Params, starts[1].run_uid) == {"depth": 4, "rate": 0.2, "table": None}
    assert records.values(Metrics, starts[1].run_uid) == {"score": 4}


def test_an_error_of_many_lines_is_recorded_by_its_first(session, records):
    error = InvalidInput("'auc' is not a number", hint="use log_param")
    error.add_note("seen in the last epoch")
    with pytest.raises(InvalidInput), track("r"):
        raise error
    end = records.end("r")
    assert end.error.endswith("InvalidInput: 'auc' is not a number")
    assert "use log_param" in end.traceback and "last epoch" in end.traceback


def test_a_decorator_takes_a_name_and_sees_errors(session, records):
    @track("named", tags={"k": "v"}, params={"p": 1}, note="why")
    def fails(x):
        raise RuntimeError(f"x is {x}")

    with pytest.raises(RuntimeError, match="x is 5"):
        fails(5)
    assert records.end("named").error == "RuntimeError: x is 5"
    assert records.values(Params, "named") == {"x": 5, "p": 1}
    assert records.start("named").tags == {"k": "v", "mlflow.note.content": "why"}


def test_tasks_that_run_at_the_same_time_log_to_their_own_runs(session, records):
    @track
    async def task(n):
        log(before=n)
        await asyncio.sleep(0.001 * (5 - n))
        log(after=n)
        return n

    async def main():
        return await asyncio.gather(*(task(n) for n in range(5)))

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]
    for start in records.of(RunStart):
        n = records.values(Params, start.run_uid)["n"]
        assert records.values(Metrics, start.run_uid) == {"before": n, "after": n}
        assert start.parent_uid == ""


def test_threads_log_to_their_own_run_and_else_to_the_one_around_them(session, records):
    ready = threading.Barrier(3, timeout=60)

    def own(n):
        with track(f"thread {n}"):
            ready.wait()
            log(n=n)

    def shared():
        log(shared=1)

    with track("main"):
        threads = [threading.Thread(target=shared), *(threading.Thread(target=own, args=(n,)) for n in range(2))]
        threads[0].start()
        threads[0].join()
        for thread in threads[1:]:
            thread.start()
        ready.wait()
        for thread in threads[1:]:
            thread.join()
    assert records.values(Metrics, "main") == {"shared": 1}
    for n in range(2):
        assert records.values(Metrics, f"thread {n}") == {"n": n}
        assert records.start(f"thread {n}").parent_uid == records.start("main").run_uid


def test_threads_without_a_run_around_them_are_strangers(session, records):
    ready = threading.Barrier(2, timeout=60)

    def own(n):
        ready.wait()
        with track(f"thread {n}"):
            ready.wait()
            log(n=n)
            ready.wait()

    threads = [threading.Thread(target=own, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [start.parent_uid for start in records.of(RunStart)] == ["", ""]


def test_outside_a_run_one_message_says_what_to_do(session, records, capsys):
    log(a=1)
    log(a=2)
    log_param("p", 1)
    tag(t=1)
    log_artifact(b"x", "x.txt")
    log_figure(object())
    log_dataset(None)
    log_model(None)
    reported = capsys.readouterr().err
    assert reported.count("outside a run") == 1 and "%%track" in reported and "with track" in reported
    assert records.all() == []


def test_records_join_the_run_of_a_pipeline_stage(session, records, monkeypatch):
    monkeypatch.setenv("MLOPS_RUN_UID", "0123456789abcdef0123456789abcdef")
    monkeypatch.setenv("MLOPS_EXPERIMENT", "of the pipeline")
    log(stage_metric=1)
    log_param("p", 2)
    with track("child"):
        log(x=1)
    current_session().current_run().end("FAILED")
    metrics = records.of(Metrics)
    assert metrics[0].run_uid == "0123456789abcdef0123456789abcdef" and metrics[0].values == {"stage_metric": 1}
    child = records.start("child")
    assert child.parent_uid == "0123456789abcdef0123456789abcdef" and child.experiment == "of the pipeline"
    assert {end.run_uid for end in records.of(RunEnd)} == {child.run_uid}, "the stage is ended by its pipeline"


def test_the_experiment_is_the_one_set_else_the_settings(session, records, workspace):
    assert current_experiment() == "default"
    set_experiment("flüge ✈")
    with track("r"):
        pass
    assert records.start("r").experiment == current_experiment() == "flüge ✈"
    for bad in ("", "  ", "a\nb", "x" * 251, 3):
        with pytest.raises(InvalidInput):
            set_experiment(bad)


def test_a_program_can_begin_and_end_runs_itself(session, records):
    parent = session.start_run("flow", experiment="e", kind="pipeline", notebook="", tags={"spec": "a.yaml"})
    stage = session.start_run(
        "prepare", experiment="e", kind="stage", parent_uid=parent.uid, notebook="p.ipynb", source="1+1"
    )
    stage.log_artifact(b"{}", "executed.ipynb", kind="notebook", media_type="application/x-ipynb+json")
    stage.end("FAILED", error="ValueError: x", traceback="Traceback ...", output="said")
    parent.end("KILLED")
    parent.end("FINISHED")
    start = records.start("prepare")
    assert (start.kind, start.parent_uid, start.notebook, start.source) == ("stage", parent.uid, "p.ipynb", "1+1")
    end = records.end("prepare")
    assert (end.status, end.error, end.traceback, end.output) == ("FAILED", "ValueError: x", "Traceback ...", "said")
    assert records.end("flow").status == "KILLED"
    (artifact,) = records.of(Artifact, "prepare")
    assert (artifact.path, artifact.kind, artifact.media_type, artifact.size) == (
        "executed.ipynb",
        "notebook",
        "application/x-ipynb+json",
        2,
    )
    with pytest.raises(InvalidInput, match="DONE"):
        stage.end("DONE")


def test_logging_to_a_run_that_ended_is_kept(session, records):
    with track("r") as run:
        pass
    run.log(late=1)
    run.tag(late=True)
    assert records.values(Metrics, "r") == {"late": 1} and records.values(Tags, "r") == {"late": True}


def test_files_folders_and_bytes_become_artifacts(session, records, tmp_path):
    folder = tmp_path / "bilder é"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("A")
    (folder / "sub" / "b.csv").write_text("1,2")
    with track("r"):
        log_artifact(folder / "a.txt")
        log_artifact(folder, "all")
        log_artifact(b"raw", "deep/raw.bin", kind="log")
        for bad in ("../x", "/abs", ""):
            with pytest.raises(InvalidInput):
                log_artifact(b"x", bad)
        with pytest.raises(InvalidInput, match="does not exist"):
            log_artifact(folder / "none.txt")
        with pytest.raises(InvalidInput, match="file or bytes"):
            log_artifact({"a": 1})
        (folder / "a.txt").write_text("changed later")
    found = {artifact.path: artifact for artifact in records.of(Artifact, "r")}
    assert sorted(found) == ["a.txt", "all/a.txt", "all/sub/b.csv", "deep/raw.bin"]
    assert records.blob(found["a.txt"].digest) == b"A"
    assert found["all/sub/b.csv"].media_type == "text/csv" and found["deep/raw.bin"].kind == "log"


def python(script, workspace, **environment):
    env = {**os.environ, "MLOPS_WORKSPACE": str(workspace.root), **environment}
    return subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=120)


@pytest.mark.process
def test_a_run_still_open_when_the_interpreter_leaves_was_killed(workspace, records):
    done = python(
        """
from mlops_workbench.capture import track, log
with track("whole"):
    log(a=1)
tracker = track("open")
tracker.__enter__()
log(b=1)
""",
        workspace,
    )
    assert done.returncode == 0, done.stderr
    assert records.end("whole").status == "FINISHED"
    assert records.end("open").status == "KILLED"
    assert isinstance(records.all()[-1], SessionEnd)


@pytest.mark.process
def test_a_process_that_dies_keeps_all_it_logged(workspace, records):
    done = python(
        """
import os, signal
from mlops_workbench.capture import track, log
with track("dies"):
    for i in range(2000):
        log(i=i)
    os.kill(os.getpid(), signal.SIGKILL)
""",
        workspace,
    )
    assert done.returncode == -9
    assert [record.values["i"] for record in records.of(Metrics, "dies")] == list(range(2000))
    assert records.of(RunEnd) == []


@pytest.mark.process
@pytest.mark.parametrize("way", ["pool", "fork"])
def test_a_forked_child_has_its_own_file_and_joins_the_run(workspace, records, way):
    scripts = {
        "pool": """
import multiprocessing
from mlops_workbench.capture import track, log
def work(i):
    log({f"m{i}": i})
    with track(f"child {i}"):
        log(inside=i)
if __name__ == "__main__":
    with track("parent"):
        log(before=1)
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=work, args=(i,)) for i in range(3)]
        for child in children: child.start()
        for child in children: child.join()
        assert all(child.exitcode == 0 for child in children)
        log(after=1)
""",
        "fork": """
import os, sys
from mlops_workbench.capture import track, log
with track("parent"):
    log(before=1)
    for i in range(3):
        child = os.fork()
        if child == 0:
            log({f"m{i}": i})
            with track(f"child {i}"):
                log(inside=i)
            sys.exit(0)   # leaves through the with block of the parent's run
        os.waitpid(child, 0)
    log(after=1)
""",
    }
    done = python(scripts[way], workspace)
    assert done.returncode == 0, done.stderr
    assert records.values(Metrics, "parent") == {"before": 1, "m0": 0, "m1": 1, "m2": 2, "after": 1}
    assert records.end("parent").status == "FINISHED"
    parent = records.start("parent")
    for i in range(3):
        assert records.start(f"child {i}").parent_uid == parent.run_uid
        assert records.end(f"child {i}").status == "FINISHED"
    sessions = records.of(SessionStart)
    assert len({start.pid for start in sessions}) == len({start.session for start in sessions}) == 4
    assert len(records.of(SessionEnd)) == 4


def test_an_interrupt_while_a_run_begins_leaves_none_without_an_end(session, records, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(session._heartbeat, "beat", interrupted)
    with pytest.raises(KeyboardInterrupt):
        session.start_run("begun")
    monkeypatch.undo()
    assert session.current_run() is None and records.end("begun").status == "KILLED"


def test_runs_that_ended_long_ago_hold_no_profiles(session):
    for i in range(20):
        with track(f"r{i}"):
            log_dataset(pd.DataFrame({"a": range(5)}), "data")
    kept = [bool(run.datasets[0].profile) for run in session.finished]
    assert len(kept) == 20 and not any(kept[:12]) and all(kept[12:])
    assert len({run.datasets[0].digest for run in session.finished}) == 1


def test_ambient_runs_of_two_threads_keep_apart(session):
    first, second = session.start_run("first", ambient=True), []

    def other():
        second.append(session.start_run("second", ambient=True))
        log(x=2)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    log(x=1)
    assert (first.metrics, second[0].metrics) == ({"x": 1}, {"x": 2})
    second[0].end()
    first.end()

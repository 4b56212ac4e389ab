"""A run whose runner is killed goes on: what has ended does not run again, and the results are those without a kill."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
from notebook_files import write
from stage_plans import Plans, finished, gone, records_of, until

from mlops_workbench.core import records
from mlops_workbench.core.errors import Conflict
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.pipelines import PipelineRun
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines import service
from mlops_workbench.pipelines.definition.nouns import RetrySpec
from mlops_workbench.pipelines.execution.launch import launch_runner
from mlops_workbench.pipelines.execution.notebook_run import NotebookOptions
from mlops_workbench.pipelines.runs.events import (
    AttemptEnded,
    AttemptFailed,
    AttemptInterrupted,
    CellStarted,
    ProcessStarted,
    Resumed,
    RunStarted,
    StageEnded,
    StageStarted,
    append_event,
    read_run_events,
    read_stage_events,
)
from mlops_workbench.pipelines.runs.folder import RunFolder
from mlops_workbench.pipelines.runs.progress import INTERRUPTED, launched_process

pytestmark = pytest.mark.process

#: Appends its name to a file, waits if the file `hold` names it, and writes its input and its name.
STAGE = """
import time
from pathlib import Path
from mlops_workbench import log
with open(Path(folder, "ran"), "a") as ran:
    ran.write(name + "\\n")
Path(out).write_text("half")
while Path(folder, "hold").exists() and Path(folder, "hold").read_text() == name:
    time.sleep(0.02)
log(score=len(name))
Path(out).write_text((Path(given).read_text() if given else "") + name + " ")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace.init(tmp_path_factory.mktemp("resumed"))


def chain(place: Workspace, folder: Path, source: str = STAGE, **options: object) -> Plans:
    """Three stages in a row; `options` are of the second."""
    plans = Plans(place)
    notebook = write(place.pipeline_specs / "step.ipynb", source, parameters="folder = name = out = given = ''")
    needed: dict[str, tuple[str, str]] = {}
    for name in ("one", "two", "three"):
        params = {"folder": str(folder), "name": name}
        plans.stage(
            name, notebook, params=params, outputs=("out",), inputs=needed, **(options if name == "two" else {})
        )
        needed = {"given": (name, "out")}
    return plans


def ran(folder: Path) -> list[str]:
    found = folder / "ran"
    return found.read_text().split() if found.exists() else []


def kill_runner(plans: Plans) -> list[psutil.Process]:
    """Kill the runner, and return the processes that it had."""
    process = launched_process(read_run_events(plans.folder.events))
    assert process is not None and process.alive()
    # Those that a server has forked are no children of the runner.
    children = psutil.Process(process.pid).children(recursive=True)
    for log in plans.folder.path.glob("stages/*/attempt-*/events.jsonl"):
        started = [event.process for event in read_stage_events(log) if isinstance(event, ProcessStarted)]
        children += [psutil.Process(one.pid) for one in started if one.alive()]
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: not process.alive() or None)
    return children


def interrupted(plans: Plans, folder: Path, name: str = "two") -> list[psutil.Process]:
    """Start a run, and kill its runner in the middle of a stage; return the processes that it had."""
    (folder / "hold").write_text(name)
    plans.start()
    until(lambda: name in ran(folder) or None)
    found = kill_runner(plans)
    until(lambda: gone(found))  # else the stage may end well before it notices
    (folder / "hold").unlink()
    return found


def resumed(plans: Plans, *, by_hand: bool = False) -> PipelineRun:
    run_id = plans.folder.path.name
    service.resume_run(plans.workspace, run_id, by_hand=by_hand)
    return finished(plans.workspace, run_id)


def result(plans: Plans) -> str:
    return (plans.folder.outputs("three") / "out").read_text()


def ends(place: Workspace, uid: str) -> list[str]:
    return [end.status for end in records_of(place, records.RunEnd, uid)]


def test_a_run_goes_on_after_its_runner_was_killed(place: Workspace, tmp_path: Path) -> None:
    plans = chain(place, tmp_path)
    interrupted(plans, tmp_path)
    run = service.read_run(place, plans.folder.path.name)
    assert (run.state, run.message) == ("running", INTERRUPTED) and service.is_interrupted(run)
    first_uid = run.stages[1].run_uid
    run = resumed(plans)
    assert (run.state, [stage.state for stage in run.stages]) == ("succeeded", ["succeeded"] * 3)
    assert ran(tmp_path) == ["one", "two", "two", "three"] and result(plans) == "one two three "
    # One run for the pipeline, and one for each attempt.
    starts = [start for start in records_of(place, records.RunStart) if start.tags["mlops.pipeline_run"] == run.id]
    assert {start.run_uid for start in starts if start.kind == "pipeline"} == {run.run_uid}
    assert ends(place, run.run_uid) == ["FINISHED"]
    assert ends(place, first_uid) == ["KILLED"] and ends(place, run.stages[1].run_uid) == ["FINISHED"]
    (end,) = records_of(place, records.RunEnd, first_uid)
    assert end.error == "the runner of the run ended"
    again = next(start for start in starts if start.run_uid == run.stages[1].run_uid)
    assert again.parent_uid == run.run_uid and again.tags["mlops.attempt"] == "2"


@pytest.mark.some(4)
@pytest.mark.parametrize("keep", ["stage started", "attempt ended", "stage ended", "nothing"])
def test_it_goes_on_from_whatever_event_was_the_last(place: Workspace, tmp_path: Path, keep: str) -> None:
    """The log of a run that has succeeded is cut where a kill could have ended it."""
    plans = chain(place, tmp_path)
    assert plans.run().state == "succeeded"
    events = read_run_events(plans.folder.events)
    last = {
        "nothing": lambda event: isinstance(event, RunStarted),
        "stage started": lambda event: isinstance(event, StageStarted) and event.stage == "two",
        "attempt ended": lambda event: isinstance(event, StageStarted) and event.stage == "two",
        "stage ended": lambda event: isinstance(event, StageEnded) and event.stage == "two",
    }[keep]
    kept = events[: next(number for number, event in enumerate(events) if last(event)) + 1]
    if keep == "nothing":
        kept = kept[:1]
    plans.folder.events.unlink()
    for event in kept:
        append_event(plans.folder.events, event)
    if keep == "stage started":
        plans.folder.attempt_events("two", 1).unlink()
    (tmp_path / "ran").unlink()
    until(lambda: not launched_process(kept).alive() or None)
    run = resumed(plans)
    assert (run.state, result(plans)) == ("succeeded", "one two three ")
    assert (
        ran(tmp_path)
        == {
            "nothing": ["one", "two", "three"],
            "stage started": ["two", "three"],
            "attempt ended": ["three"],
            "stage ended": ["three"],
        }[keep]
    )
    assert ends(place, run.run_uid)[-1] == "FINISHED"


def test_a_stage_that_works_on_is_ended_before_it_begins_anew(place: Workspace, tmp_path: Path) -> None:
    plans = chain(place, tmp_path)
    (tmp_path / "hold").write_text("two")
    plans.start()
    until(lambda: "two" in ran(tmp_path) or None)
    left = kill_runner(plans)
    service.resume_run(place, plans.folder.path.name, by_hand=False)
    until(lambda: ran(tmp_path).count("two") == 2 or None)
    assert gone(left)
    (tmp_path / "hold").unlink()
    run = finished(place, plans.folder.path.name)
    assert run.state == "succeeded" and ran(tmp_path) == ["one", "two", "two", "three"]


def test_an_event_that_was_cut_off_is_no_event(place: Workspace, tmp_path: Path) -> None:
    plans = chain(place, tmp_path)
    interrupted(plans, tmp_path)
    whole = plans.folder.events.read_bytes()
    plans.folder.events.write_bytes(whole + b'{"event":"StageEnded","at_ms":1,"sta')
    assert service.is_interrupted(service.read_run(place, plans.folder.path.name))
    assert resumed(plans).state == "succeeded"
    assert ran(tmp_path) == ["one", "two", "two", "three"]
    assert plans.folder.events.read_bytes().startswith(whole + b'{"event":"Resumed"')


def test_an_interrupted_attempt_is_no_try(place: Workspace, tmp_path: Path) -> None:
    failing = STAGE + "\nif name == 'two' and Path(folder, 'fails').exists():\n    raise ValueError('too bad')"
    plans = chain(place, tmp_path, failing, retries=RetrySpec(max=1, on=("error",)))
    (tmp_path / "fails").touch()
    interrupted(plans, tmp_path)
    run = resumed(plans)
    assert run.state == "failed" and "too bad (attempt 3 of 3)" in run.message
    assert ran(tmp_path) == ["one", "two", "two", "two"]


@pytest.mark.long
def test_a_pause_before_the_next_attempt_goes_on(place: Workspace, tmp_path: Path) -> None:
    failing = STAGE + "\nif name == 'two' and ran and open(Path(folder, 'ran')).read().count('two') == 1:\n    1 / 0"
    plans = chain(place, tmp_path, failing, retries=RetrySpec(max=1, on=("error",), backoff=3.0))
    plans.start()

    def failed() -> AttemptFailed | None:
        events = read_run_events(plans.folder.events)
        return next((event for event in events if isinstance(event, AttemptFailed)), None)

    pause = until(failed)
    kill_runner(plans)
    assert resumed(plans).state == "succeeded"
    second = [event for event in read_run_events(plans.folder.events) if isinstance(event, StageStarted)][2]
    assert (second.stage, second.attempt) == ("two", 2) and second.at_ms >= pause.retry_ms
    assert result(plans) == "one two three "


def test_a_choice_among_instances_is_made_from_their_metrics_after_a_kill(place: Workspace, tmp_path: Path) -> None:
    plans = Plans(place)
    notebook = write(place.pipeline_specs / "step.ipynb", STAGE, parameters="folder = name = out = given = ''")
    for name in ("fit@n=1", "fit@n=10", "fit@n=2"):
        plans.stage(name, notebook, params={"folder": str(tmp_path), "name": name}, outputs=("out",))
    instances = tuple(stage.name for stage in plans.stages)
    plans.stage(
        "three",
        notebook,
        params={"folder": str(tmp_path), "name": "three"},
        outputs=("out",),
        choose={"given": ("max score", "out", instances)},
    )
    interrupted(plans, tmp_path, "three")
    run = resumed(plans)
    assert run.state == "succeeded" and result(plans) == "fit@n=10 three "
    assert ran(tmp_path).count("three") == 2 and len(ran(tmp_path)) == 5
    assert "given is of fit@n=10 (max score: 8)" in run.stages[3].message


def test_a_run_has_one_runner_at_a_time(place: Workspace, tmp_path: Path) -> None:
    plans = chain(place, tmp_path)
    (tmp_path / "hold").write_text("two")
    run_id = plans.start()
    until(lambda: "two" in ran(tmp_path) or None)
    with pytest.raises(Conflict, match="is running"):
        service.resume_run(place, run_id)
    first = launched_process(read_run_events(plans.folder.events))
    launch_runner(place, plans.folder)
    until(lambda: "another runner" in plans.folder.log.read_text() or None)
    until(lambda: first == launched_process(read_run_events(plans.folder.events)) or None)
    (tmp_path / "hold").unlink()
    assert finished(place, run_id).state == "succeeded"
    assert ran(tmp_path) == ["one", "two", "three"]


@pytest.mark.long
def test_a_run_that_comes_to_nothing_is_resumed_three_times(place: Workspace, tmp_path: Path) -> None:
    plans = chain(place, tmp_path)
    interrupted(plans, tmp_path)
    run_id = plans.folder.path.name
    for _ in range(3):
        assert service.is_interrupted(service.read_run(place, run_id))
        append_event(plans.folder.events, Resumed(now_ms()))
    run = service.read_run(place, run_id)
    assert (run.state, [stage.state for stage in run.stages]) == ("failed", ["succeeded", "failed", "skipped"])
    with pytest.raises(Conflict):
        service.resume_run(place, run_id, by_hand=False)
    # A user may.
    assert resumed(plans, by_hand=True).state == "succeeded"


def test_a_cancelled_run_does_not_go_on_by_itself(place: Workspace, tmp_path: Path) -> None:
    plans = chain(place, tmp_path)
    interrupted(plans, tmp_path)
    run_id = plans.folder.path.name
    assert service.cancel_run(place, run_id).state == "cancelled"
    with pytest.raises(Conflict, match="cancelled"):
        service.resume_run(place, run_id, by_hand=False)
    run = resumed(plans, by_hand=True)
    assert run.state == "succeeded" and ran(tmp_path) == ["one", "two", "two", "three"]


def test_a_failed_run_is_resumed_by_hand_with_the_stages_that_did_not_succeed(place: Workspace, tmp_path: Path) -> None:
    failing = STAGE + "\nif name == 'two' and Path(folder, 'fails').exists():\n    raise ValueError('too bad')"
    plans = chain(place, tmp_path, failing)
    (tmp_path / "fails").touch()
    run = plans.run()
    assert (run.state, [stage.state for stage in run.stages]) == ("failed", ["succeeded", "failed", "skipped"])
    (tmp_path / "fails").unlink()
    again = resumed(plans, by_hand=True)
    assert (again.state, again.message, again.run_uid) == ("succeeded", "", run.run_uid)
    assert ran(tmp_path) == ["one", "two", "two", "three"] and result(plans) == "one two three "
    assert ends(place, run.run_uid) == ["FAILED", "FINISHED"]
    with pytest.raises(Conflict, match="has succeeded already"):
        service.resume_run(place, run.id)


@pytest.mark.long
def test_the_run_of_a_notebook_begins_anew_with_a_run_of_its_own(place: Workspace, tmp_path: Path) -> None:
    notebook = write(place.root / "single.ipynb", STAGE, parameters="folder = name = out = given = ''")
    (tmp_path / "hold").write_text("alone")
    values = {"folder": str(tmp_path), "name": "alone", "out": str(tmp_path / "out")}
    run = service.start_notebook(place, notebook, NotebookOptions(values, output=tmp_path / "executed.ipynb"))
    until(lambda: ran(tmp_path) or None)
    plans = Plans(place)
    plans.folder = RunFolder(place.pipeline_runs / run.id)
    left, first = kill_runner(plans), service.read_run(place, run.id)
    until(lambda: gone(left))
    (tmp_path / "hold").unlink()
    run = resumed(plans)
    assert (run.state, ran(tmp_path)) == ("succeeded", ["alone", "alone"])
    assert ends(place, first.run_uid) == ["KILLED"] and ends(place, run.run_uid) == ["FINISHED"]
    assert (tmp_path / "executed.ipynb").read_bytes() == plans.folder.executed("single", 2).read_bytes()


@pytest.mark.long
def test_a_run_whose_outputs_were_removed_is_not_resumed(place: Workspace, tmp_path: Path) -> None:
    plans = chain(place, tmp_path)
    interrupted(plans, tmp_path)
    service.cancel_run(place, plans.folder.path.name)
    (plans.folder.outputs("one") / "out").unlink()
    with pytest.raises(Conflict, match=r"stages/one/outputs/out was removed"):
        service.resume_run(place, plans.folder.path.name)


@pytest.mark.long
def test_a_stage_that_is_started_after_the_end_of_its_runner_does_nothing(place: Workspace, tmp_path: Path) -> None:
    plans = chain(place, tmp_path)
    interrupted(plans, tmp_path)
    from mlops_workbench.pipelines.stages.stage import main

    job, log = plans.folder.attempt("two", 1) / "stage.json", plans.folder.attempt_events("two", 1)
    before = [event for event in read_stage_events(log) if isinstance(event, CellStarted | AttemptEnded)]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert main([str(job)]) == 1
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert [event for event in read_stage_events(log) if isinstance(event, CellStarted | AttemptEnded)] == before
    assert not any(isinstance(event, AttemptInterrupted) for event in read_run_events(plans.folder.events))

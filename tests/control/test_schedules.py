"""What starts by itself: each thing that happened starts one run, or says why not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest
from postgresql import LONG_WITH_POSTGRESQL
from sqlalchemy import select, update

from mlops_workbench.capture import Session
from mlops_workbench.control.plane import ControlPlane
from mlops_workbench.control.services import file_changes, schedule_files
from mlops_workbench.control.services.observers import move_on
from mlops_workbench.control.tables import AlertRow, MonitorRow, OccasionRow, PipelineRunRow, ScheduleRow, TriggerRow
from mlops_workbench.core.errors import InvalidInput, NotFound, Unauthorized, Unavailable
from mlops_workbench.core.ids import new_id, now_ms, short_id
from mlops_workbench.core.pipelines import PipelineRun
from mlops_workbench.core.schedules import Occasion
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.runs.events import RunEnded, append_event
from mlops_workbench.pipelines.runs.folder import RunFolder, write_struct
from mlops_workbench.pipelines.runs.requests import RunRequest
from mlops_workbench.pipelines.triggers.cron import Cron
from mlops_workbench.pipelines.triggers.due import Due

pytestmark = pytest.mark.usefixtures("database_url")

HOUR = 3_600_000


@pytest.fixture
def plane(stored_workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[ControlPlane]:
    """A control plane whose jobs run when a test says so; two looks at files need no second between them."""
    monkeypatch.setattr(file_changes, "_SETTLE_SECONDS", 0.0)
    made = ControlPlane(stored_workspace, on_shutdown=lambda: None)
    yield made
    made.schedules.close()
    made._database.close()
    made.ingest.close()


def notebook(path: Path, source: str = "y = x + 1") -> None:
    parameters = nbformat.v4.new_code_cell("x: int = 1", metadata={"tags": ["parameters"]})
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[parameters, nbformat.v4.new_code_cell(source)]), path)


def pipeline(plane: ControlPlane, triggers: str, name: str = "p", more: str = "") -> Path:
    """Write a pipeline with these triggers, and let the control plane read it."""
    folder = plane.workspace.pipeline_specs
    notebook(folder / "a.ipynb")
    file = folder / f"{name}.yaml"
    head = f"version: 2\n{more}params:\n  x: 3\nstages:\n  a: {{notebook: a.ipynb, params: [x]}}\n"
    file.write_text(f"{head}on:\n{triggers}")
    plane.schedules._files.step()
    return file


def notice(plane: ControlPlane, name: str = "p") -> list[Occasion]:
    """Look at everything, as often as a change of files needs, and start nothing."""
    plane.schedules._observers._datasets_at = 0.0
    plane.schedules._observers.step()
    for _ in range(3):
        for watched in plane.schedules._changes._watched.values():
            watched.next = 0.0
        plane.schedules._changes.step()
    return plane.schedules.occasions(name)


def set_row(plane: ControlPlane, table: type, **values: object) -> None:
    with plane._database.change() as session:
        session.execute(update(table).values(**values))


def ended_run(plane: ControlPlane, name: str, state: str = "succeeded", reason: str = "manual", ago_ms: int = 0) -> str:
    run_id = new_id()
    folder = RunFolder(plane.workspace.pipeline_runs / run_id)
    request = RunRequest(
        id=run_id, pipeline=name, name=name, reason=reason, workspace=str(plane.workspace.root), experiment="e",
        created_ms=now_ms() - ago_ms, workers=1, params={}, stages=[],
    )  # fmt: skip
    write_struct(folder.request, request)
    append_event(folder.events, RunEnded(now_ms(), state, ""))
    with plane._database.change() as session:
        session.add(PipelineRunRow(id=run_id, publish="none", published="", message=""))
    return run_id


HOURLY = "  schedule: {cron: 0 * * * *, timezone: Europe/Berlin}\n"


def planned(hours: float) -> int:
    """Full hour that is `hours` before the last one, in milliseconds."""
    return now_ms() // HOUR * HOUR - int(hours * HOUR)


@pytest.mark.parametrize(("rule", "starts"), [("skip", 0), ("once", 1), ("all", 4)])
def test_missed_times_start_what_the_rule_says_and_each_once(plane: ControlPlane, rule: str, starts: int) -> None:
    # The last time was half an hour ago.
    cron = f"{(datetime.now(UTC).minute + 30) % 60} * * * *"
    last = Cron(cron).last(datetime.now(UTC))
    assert last is not None
    pipeline(plane, f"  schedule: {{cron: {cron}, catchup: {rule}}}\n")
    for _ in range(2):  # also when the next time was lost
        set_row(plane, TriggerRow, next_ms=int(last.timestamp() * 1000) - 3 * HOUR)
        found = notice(plane)
        assert sum(occasion.state == "waiting" for occasion in found) == starts
    assert any("missed" in occasion.reason and occasion.state == "skipped" for occasion in found) == (rule != "all")
    assert plane.schedules.schedule("p").next_ms > now_ms()
    reasons = [occasion.reason for occasion in found]
    assert len(reasons) == len(set(reasons)) and all(reason.startswith("schedule:") for reason in reasons)


def test_a_time_is_claimed_by_one_of_two_processes(plane: ControlPlane) -> None:
    pipeline(plane, "  schedule: {cron: 0 * * * *, catchup: once}\n")
    set_row(plane, TriggerRow, next_ms=planned(0))
    observers = plane.schedules._observers
    with plane._database.session() as session:
        stale = session.scalars(select(TriggerRow)).one()
    observers.step()
    # A process that read the row before the other one wrote it.
    with plane._database.change() as session:
        assert not move_on(session, stale, Due(next=datetime.now(UTC)))
    assert len(plane.schedules.occasions("p")) == 1


def test_a_thousand_changes_are_one_start_and_a_touch_is_none(plane: ControlPlane) -> None:
    data = plane.workspace.root / "data"
    data.mkdir()
    (data / "0.csv").write_text("old")
    pipeline(plane, "  change: [../data/*.csv]\n")
    assert notice(plane) == []
    for number in range(1000):
        (data / f"{number % 100}.csv").write_text(str(number))
    found = notice(plane)
    assert [occasion.state for occasion in found] == ["waiting"] and "changed: ../data/0.csv; new:" in found[0].reason
    for file in data.iterdir():
        file.touch()
    assert notice(plane) == found
    # More, while the start waits, is served by it.
    (data / "1.csv").write_text("newer")
    assert [occasion.state for occasion in notice(plane)] == ["joined", "waiting"]
    assert f"#{found[0].id}" in plane.schedules.occasions("p")[0].message


def test_what_changed_while_no_control_plane_ran_is_noticed(plane: ControlPlane) -> None:
    file = plane.workspace.root / "data.csv"
    file.write_text("old")
    pipeline(plane, "  change: ../data.csv\n")
    assert notice(plane) == []
    plane.schedules._changes._watched.clear()  # as after a new start
    assert notice(plane) == []
    file.write_text("new")
    plane.schedules._changes._watched.clear()
    assert [occasion.state for occasion in notice(plane)] == ["waiting"]


def test_a_broken_file_keeps_what_it_said_and_a_removed_one_stops(plane: ControlPlane) -> None:
    file = pipeline(plane, HOURLY)
    good, before = file.read_text(), plane.schedules.schedule("p")
    file.write_text(good.replace("0 * * * *", "0 * * *"))
    plane.schedules._files.step()
    broken = plane.schedules.schedule("p")
    assert broken.triggers == before.triggers and "p.yaml:" in broken.problem and "five parts" in broken.problem
    file.write_text(good.replace("Berlin", "Paris"))
    plane.schedules._files.step()
    assert plane.schedules.schedule("p").problem == "" and "Paris" in plane.schedules.schedule("p").triggers[0].text
    plane.schedules.pause("p")
    file.unlink()
    for _ in range(schedule_files._LOOKS):
        plane.schedules._files.step()
    assert plane.schedules.schedules() == []
    with pytest.raises(NotFound):
        plane.schedules.pause("p")
    file.write_text(good)
    plane.schedules._files.step()
    assert plane.schedules.schedule("p").paused


def test_a_file_that_was_never_good_is_shown(plane: ControlPlane) -> None:
    file = pipeline(plane, "  schedule: {cron: 0 * * *}\n")
    assert "five parts" in plane.schedules.schedule("p").problem
    file.write_text("version: 2\nstages: {}\n")  # it starts nothing, and another list shows its problem
    (plane.workspace.root / "schedules.yaml").write_text("version: 3")
    plane.schedules._files.step()
    assert "version must be 1" in plane.schedules.schedule("schedules").problem


def test_a_pause_starts_nothing_and_nothing_of_it_is_made_up_for(plane: ControlPlane) -> None:
    data = plane.workspace.root / "data.csv"
    data.write_text("old")
    pipeline(plane, "  schedule: {cron: 0 * * * *, catchup: all}\n  change: ../data.csv\n")
    notice(plane)
    data.write_text("new")
    assert [occasion.state for occasion in notice(plane)] == ["waiting"]
    plane.schedules.pause("p")
    assert [(o.state, o.message) for o in notice(plane)] == [("skipped", "paused before it could start")]
    data.write_text("newer")
    with plane._database.change() as session:
        session.execute(update(TriggerRow).where(TriggerRow.kind == "schedule").values(next_ms=planned(5)))
    assert len(notice(plane)) == 1 and plane.schedules.schedule("p").next_ms == 0
    resumed = plane.schedules.resume("p")
    assert resumed.next_ms > now_ms() and not resumed.paused
    newest = notice(plane)
    assert len(newest) == 2 and newest[0].state == "skipped" and "it was paused" in newest[0].message
    data.write_text("newest")
    assert notice(plane)[0].state == "waiting"


def test_the_end_of_another_pipeline_counts_once_by_its_state(plane: ControlPlane) -> None:
    ended_run(plane, "other")
    pipeline(plane, "  pipeline: [other, {name: other, state: failed}]\n")
    assert notice(plane) == []  # it ended before
    failed, _, good = ended_run(plane, "other", "failed"), ended_run(plane, "third"), ended_run(plane, "other")
    found = notice(plane)
    assert sorted(occasion.state for occasion in found) == ["joined", "waiting"]
    assert {occasion.reason.rpartition(" #")[0] for occasion in found} == {
        f"pipeline:other failed (run {short_id(failed)})", f"pipeline:other succeeded (run {short_id(good)})",
    }  # fmt: skip
    assert notice(plane) == found


def test_an_end_that_was_forgotten_starts_nothing_again(plane: ControlPlane) -> None:
    """What triggers noticed is kept for 90 days, the folders of runs are kept longer."""
    pipeline(plane, "  pipeline: other\n")
    set_row(plane, TriggerRow, since_ms=0)
    run = ended_run(plane, "other", ago_ms=92 * 24 * HOUR)
    events = RunFolder(plane.workspace.pipeline_runs / run).events
    events.unlink()
    append_event(events, RunEnded(now_ms() - 91 * 24 * HOUR, "succeeded", ""))
    assert notice(plane) == []


def test_a_new_version_of_a_data_set_counts(plane: ControlPlane, session: Session) -> None:
    import pandas as pd

    def log(values: list[int], name: str = "flights") -> None:
        run = session.start_run("r")
        run.log_dataset(pd.DataFrame({"a": values}), name)
        run.finish()

    log([1, 2])
    pipeline(plane, "  dataset: flights\n")
    assert notice(plane) == []
    log([1, 2])
    log([9], "another")
    assert notice(plane) == []
    log([1, 2, 3])
    found = notice(plane)
    assert [occasion.state for occasion in found] == ["waiting"] and found[0].reason.startswith("dataset:flights@")


def test_an_alert_that_matches_counts_and_one_that_was_resolved_starts_nothing(plane: ControlPlane) -> None:
    pipeline(plane, "  drift: {monitor: churn, metric: psi, above: 0.1}\n")
    assert "psi" in plane.schedules.schedule("p").triggers[0].problem
    pipeline(plane, "  drift: {monitor: churn, metric: effect, above: 0.1, cooldown: 1h}\n")
    feature = {"name": "price", "kind": "numeric", "effect": 0.5, "floor": 0.1, "p_value": 0.01, "missing_change": 0.0,
               "drifted": True}  # fmt: skip
    window = {"endpoint": "churn", "label": "d1", "start_ms": 0, "end_ms": 1, "rows": 90, "versions": [1],
              "quality": None, "reference_quality": None, "metric": "mae", "coverage": 0.0, "drifted": True,
              "degraded": False, "features": [feature]}  # fmt: skip
    with plane._database.change() as session:
        session.add(MonitorRow(endpoint="churn", spec={"endpoint": "churn"}, windows=[window], evaluated_ms=0))
        for number, window_of in enumerate(("d1", "d0")):
            session.add(
                AlertRow(id=f"a{number}", endpoint="churn", kind="drift", window=window_of, message="m", at_ms=now_ms(),
                         version=1, trigger="none")
            )  # fmt: skip
    found = notice(plane)
    assert [occasion.state for occasion in found] == ["waiting"] and "effect of price is 0.5" in found[0].reason
    set_row(plane, AlertRow, resolved_ms=now_ms())
    plane.schedules._occasions.step()
    assert [(o.state, o.run) for o in plane.schedules.occasions("p")] == [("skipped", "")]


def test_a_webhook_takes_its_own_secret_and_checks_parameters(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline(plane, "  webhook: {secret: HOOK_SECRET}\n")
    bearer = {"authorization": "Bearer s3cret"}
    [trigger] = plane.schedules.schedule("p").triggers
    assert "HOOK_SECRET" in trigger.problem and trigger.text == "POST /api/hooks/p, secret in $HOOK_SECRET"
    for name, headers in [("p", bearer), ("none", bearer), ("p", {}), ("p", {"authorization": "Bearer "})]:
        with pytest.raises(Unauthorized):
            plane.schedules.hook(name, headers, b"")
    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    first = plane.schedules.hook("p", {**bearer, "x-github-delivery": "1"}, b'{"params": {"x": 7}, "ref": "main"}')
    assert first.state == "waiting"
    again = plane.schedules.hook("p", {**bearer, "x-github-delivery": "1"}, b'{"params": {"x": 7}}')
    assert again.id == first.id
    assert plane.schedules.hook("p", bearer, b'{"params": {"x": 7}}').state == "joined"
    assert plane.schedules.hook("p", bearer, b'{"params": {"x": 8}}').state == "waiting"
    for body in (b'{"params": {"x": "seven"}}', b'{"params": {"y": 1}}', b"{"):
        with pytest.raises(InvalidInput):
            plane.schedules.hook("p", bearer, body)
    plane.schedules.pause("p")
    assert (paused := plane.schedules.hook("p", bearer, b"")).state == "skipped" and paused.message == "paused"


def test_limits_hold_a_start_back_until_they_allow_it(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    pipeline(plane, "  webhook: {secret: HOOK_SECRET}\n  limits: {per_day: 1}\n")
    plane.schedules.hook("p", {"authorization": "Bearer s3cret"}, b"")
    set_row(plane, OccasionRow, state="started", started_ms=now_ms())
    plane.schedules.hook("p", {"authorization": "Bearer s3cret"}, b"")
    plane.schedules._occasions.step()
    newest = plane.schedules.occasions("p")[0]
    assert newest.state == "waiting" and "per_day is 1" in newest.message


def test_a_start_that_fails_says_why(plane: ControlPlane) -> None:
    data = plane.workspace.root / "data.csv"
    data.write_text("old")
    pipeline(plane, "  change: ../data.csv\n")
    notice(plane)
    (plane.workspace.pipeline_specs / "a.ipynb").unlink()
    data.write_text("new")
    notice(plane)
    plane.schedules._occasions.step()
    newest = plane.schedules.occasions("p")[0]
    assert newest.state == "failed" and "a.ipynb" in newest.message


DEAD = json.dumps(["?", 1, 0.0, "a process that has ended"])


def test_a_run_that_was_started_before_the_process_ended_is_not_started_again(plane: ControlPlane) -> None:
    pipeline(plane, "  schedule: {cron: 0 * * * *, catchup: once}\n")
    set_row(plane, TriggerRow, next_ms=planned(0))
    waiting = notice(plane)[0]
    set_row(plane, OccasionRow, state="starting", owner=DEAD, lease_ms=0)
    run = ended_run(plane, "p", reason=waiting.reason)
    plane.schedules._occasions.step()
    found = plane.schedules.occasions("p")[0]
    assert (found.state, found.run) == ("started", run) and len(plane.pipelines.runs()) == 1


@pytest.mark.process
@LONG_WITH_POSTGRESQL
def test_a_start_of_which_only_the_record_failed_is_not_made_again(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline(plane, "  schedule: {cron: 0 * * * *, catchup: once}\n")
    set_row(plane, TriggerRow, next_ms=planned(0))
    notice(plane)

    def lost(run: PipelineRun) -> PipelineRun:
        raise Unavailable("the database does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(plane.pipelines, "_started", lost)
        with pytest.raises(Unavailable):
            plane.schedules._occasions.step()
    set_row(plane, OccasionRow, lease_ms=0)
    plane.schedules._occasions.step()
    found = plane.schedules.occasions("p")[0]
    (run,) = plane.pipelines.runs()
    assert (found.state, found.run) == ("started", run.id)
    while plane.pipelines.run(run.id).active:
        time.sleep(0.1)


@pytest.mark.process
@LONG_WITH_POSTGRESQL
def test_a_run_whose_process_was_never_started_is_started(plane: ControlPlane) -> None:
    pipeline(plane, "  schedule: {cron: 0 * * * *, catchup: once}\n")
    set_row(plane, TriggerRow, next_ms=planned(0))
    waiting = notice(plane)[0]
    set_row(plane, OccasionRow, state="starting", owner=DEAD, lease_ms=0, at_ms=now_ms() - 2 * HOUR)
    lost = ended_run(plane, "p", reason=waiting.reason, ago_ms=HOUR)
    RunFolder(plane.workspace.pipeline_runs / lost).events.unlink()
    found = wait_for_end(plane, 2, lambda: time.sleep(0.1))[0]
    assert found.state == "started" and found.run != lost
    assert plane.pipelines.run(found.run).state == "succeeded"


def test_a_process_that_may_still_start_it_is_left_to_it(plane: ControlPlane) -> None:
    pipeline(plane, "  schedule: {cron: 0 * * * *, catchup: once}\n")
    set_row(plane, TriggerRow, next_ms=planned(0))
    notice(plane)
    set_row(plane, OccasionRow, state="starting", owner=DEAD, lease_ms=now_ms() + HOUR)
    plane.schedules._occasions.step()
    assert plane.schedules.occasions("p")[0].state == "starting" and plane.pipelines.runs() == []


def test_a_control_plane_that_stands_by_does_nothing(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    pipeline(plane, HOURLY + "  webhook: {secret: HOOK_SECRET}\n")
    other = ControlPlane(plane.workspace, on_shutdown=lambda: None)
    try:
        set_row(plane, TriggerRow, next_ms=planned(0))
        step = next(worker for worker in other._workers if worker.name == "schedules")
        step._step()
        assert plane.schedules.occasions("p") == []
        for change in (other.schedules.pause, other.schedules.resume):
            with pytest.raises(Unavailable):
                change("p")
        with pytest.raises(Unavailable):
            other.schedules.hook("p", {"authorization": "Bearer s3cret"}, b"")
        assert [found.name for found in other.schedules.schedules()] == ["p"]
    finally:
        other.schedules.close()
        other._database.close()
        other.ingest.close()


def wait_for_end(plane: ControlPlane, number: int, wait: Callable[[], None]) -> list[Occasion]:
    while True:
        plane.schedules._occasions.step()
        runs = plane.pipelines.runs()
        if len(runs) >= number and not any(run.active for run in runs):
            return plane.schedules.occasions("p")
        plane.pipelines.step()
        wait()


@pytest.mark.process
@LONG_WITH_POSTGRESQL
def test_a_start_waits_for_the_active_run_and_the_run_says_why(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    pipeline(plane, "  webhook: {secret: HOOK_SECRET}\n")
    first = plane.schedules.hook("p", {"authorization": "Bearer s3cret"}, b'{"params": {"x": 7}}')
    plane.schedules._occasions.step()
    # Two more come while it runs: they are remembered once.
    second, third = (plane.schedules.hook("p", {"authorization": "Bearer s3cret"}, b"") for _ in range(2))
    plane.schedules._occasions.step()
    assert "a run is active" in plane.schedules.occasions("p")[1].message and third.state == "joined"
    found = wait_for_end(plane, 2, lambda: time.sleep(0.1))
    runs = {run.reason: run for run in plane.pipelines.runs()}
    assert set(runs) == {first.reason, second.reason} and runs[first.reason].params == {"x": 7}
    assert [occasion.run for occasion in found] == [runs[second.reason].id] * 2 + [runs[first.reason].id]
    tracked = plane.runs.find(runs[first.reason].run_uid)
    assert tracked.tags["mlops.reason"] == first.reason


@pytest.mark.process
@LONG_WITH_POSTGRESQL
def test_a_notebook_runs_with_its_parameters(plane: ControlPlane) -> None:
    notebook(plane.workspace.root / "reports" / "n b.ipynb")
    (plane.workspace.root / "schedules.yaml").write_text(
        'version: 1\nschedules:\n  p:\n    notebook: reports/n b.ipynb\n    cron: "0 * * * *"\n    catchup: once\n'
        "    params: {x: 5}\n"
    )
    plane.schedules._files.step()
    set_row(plane, TriggerRow, next_ms=planned(0))
    notice(plane)
    found = wait_for_end(plane, 1, lambda: time.sleep(0.1))
    (run,) = plane.pipelines.runs()
    assert (run.kind, run.state, run.params) == ("notebook", "succeeded", {"x": 5}) and found[0].run == run.id
    with plane._database.session() as session:
        assert session.get(ScheduleRow, "notebook:p") is not None

"""A sweep from its start to its end, with real kernels: failing trials, kills, cancels, halving, pipelines."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from notebook_files import write
from stage_plans import records_of, until

from mlops_workbench.core import records
from mlops_workbench.core.errors import Conflict, InvalidInput, NotFound
from mlops_workbench.core.sweeps import Sweep, SweepRequest
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines import service
from mlops_workbench.pipelines.runs.events import TrialEnded, TrialStarted, read_run_events
from mlops_workbench.pipelines.runs.progress import launched_process
from mlops_workbench.pipelines.sweep_service import list_sweeps, read_sweep, resume_sweep, start_sweep

pytestmark = pytest.mark.process

FIT = """\
import mlops_workbench, pathlib, time
if lr == 0.2:
    raise ValueError("the training diverged")
with open(seen, "a") as file:
    file.write(f"{lr} {epochs}\\n")
while pathlib.Path(seen).with_name("wait").exists():
    time.sleep(0.05)
mlops_workbench.log(auc=lr * epochs)"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("sweeps") / "my wörkspace"
    root.mkdir()
    (root / "workbench.toml").write_text("[pipelines]\ncpu = 2\n")
    workspace = Workspace.init(root)
    write(root / "fit it.ipynb", FIT, parameters="lr: float = 0.1\nepochs: int = 1\nseen = ''")
    write(root / "broken.ipynb", "1 / zero", parameters="zero: int = 0\nn = 1")
    write(workspace.pipeline_specs / "use.ipynb", "print(value)", parameters="value: float = 0.0")
    (workspace.pipeline_specs / "both.yaml").write_text(
        "version: 2\nparams: {lr: 0.1, seen: ''}\nstages:\n"
        "  fit:\n    notebook: ../fit it.ipynb\n    params: [lr, seen]\n    gate: [auc >= 0.05]\n"
        "  use:\n    notebook: use.ipynb\n    params: {value: 1.5}\n"
    )
    return workspace


def request(place: Workspace, seen: Path, **given: object) -> SweepRequest:
    texts = {"seen": f"'{seen}'", **given.pop("texts", {})}  # type: ignore[dict-item]
    notebook = "" if "pipeline" in given else str(place.root / "fit it.ipynb")
    return SweepRequest(notebook=notebook, texts=texts, **given)  # type: ignore[arg-type]


def ended(place: Workspace, found: Sweep) -> Sweep:
    def over() -> Sweep | None:
        sweep = read_sweep(place, found.run.id)
        return None if sweep.run.active else sweep

    return until(over)


def lines(seen: Path) -> list[str]:
    return seen.read_text().splitlines() if seen.exists() else []


def test_a_failing_trial_does_not_stop_a_sweep_whose_trials_are_children_of_its_run(
    place: Workspace, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    asked = request(place, seen, texts={"lr": "0.1,0.2,0.3", "epochs": "1,2"}, metric="auc", seed=5)
    sweep = ended(place, start_sweep(place, asked))
    assert sweep.run.state == "succeeded"
    assert (sweep.method, sweep.planned, sweep.seed) == ("grid", 6, 5)
    assert [trial.params for trial in sweep.trials] == [
        {"lr": lr, "epochs": epochs} for lr in (0.1, 0.2, 0.3) for epochs in (1, 2)
    ]
    assert [trial.state for trial in sweep.trials] == ["succeeded"] * 2 + ["failed"] * 2 + ["succeeded"] * 2
    assert "the training diverged" in sweep.trials[2].message
    best = sweep.trials[sweep.best - 1]
    assert (best.params, best.value) == ({"lr": 0.3, "epochs": 2}, 0.6)
    assert best.metrics == {"auc": 0.6}
    assert sorted(lines(seen)) == sorted(f"{lr} {epochs}" for lr in (0.1, 0.3) for epochs in (1, 2))
    starts = [start for start in records_of(place, records.RunStart) if start.parent_uid == sweep.run.run_uid]
    assert {start.run_uid for start in starts} == {trial.run_uid for trial in sweep.trials}
    assert {start.name for start in starts} == {f"fit it-{number}" for number in range(1, 7)}
    (end,) = records_of(place, records.RunEnd, sweep.run.run_uid)
    assert end.status == "FINISHED"
    # The list of runs has the sweep, and each trial can be read by its id.
    assert sweep.run.id in [run.id for run in service.list_runs(place)]
    assert not {trial.run for trial in sweep.trials} & {run.id for run in service.list_runs(place, 1000)}
    assert service.read_run(place, best.run).state == "succeeded"
    assert Path(service.read_results(place, best.run)[0].notebook).exists()
    assert sweep.run.id in [one.run.id for one in list_sweeps(place)]


def test_after_a_kill_a_sweep_goes_on_without_repeating_a_trial_that_has_ended(
    place: Workspace, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    asked = request(place, seen, texts={"lr": "0.1,0.3,0.4,0.5,0.6,0.7"}, metric="auc", parallel=1)
    sweep = start_sweep(place, asked)
    until(lambda: len(lines(seen)) >= 3 or None)
    (tmp_path / "wait").touch()  # the next trial does not end
    log = place.pipeline_runs / sweep.run.id / "events.jsonl"

    def stuck() -> bool | None:
        events = read_run_events(log)
        running = sum(isinstance(event, TrialStarted) for event in events) - sum(
            isinstance(event, TrialEnded) for event in events
        )
        return (running == 1 and len(lines(seen)) == sum(isinstance(event, TrialStarted) for event in events)) or None

    until(stuck)
    process = launched_process(read_run_events(log))
    assert process is not None
    before = len(lines(seen))
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: not process.alive() or None)
    killed = read_sweep(place, sweep.run.id)
    assert killed.run.state != "succeeded"
    (place.root / "fit it.ipynb").rename(place.root / "moved.ipynb")  # later edits have no effect
    try:
        (tmp_path / "wait").unlink()
        resume_sweep(place, sweep.run.id)
        found = ended(place, sweep)
    finally:
        (place.root / "moved.ipynb").rename(place.root / "fit it.ipynb")
    assert found.run.state == "succeeded", found.run.message
    assert found.run.run_uid == killed.run.run_uid
    assert [trial.value for trial in found.trials] == [0.1, 0.3, 0.4, 0.5, 0.6, 0.7]
    counted = Counter(event.number for event in read_run_events(log) if isinstance(event, TrialEnded))
    assert counted == dict.fromkeys(range(1, 7), 1)
    # Only the trial that ran at the time of the kill ran again.
    assert len(lines(seen)) == 7 and max(Counter(lines(seen)).values()) == 2
    assert Counter(lines(seen))[lines(seen)[before - 1]] == 2
    with pytest.raises(Conflict, match="has succeeded already"):
        resume_sweep(place, sweep.run.id)


def test_a_cancelled_sweep_ends_its_trials_and_can_go_on(place: Workspace, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    (tmp_path / "wait").touch()
    sweep = start_sweep(place, request(place, seen, texts={"lr": "0.1,0.3,0.4"}))
    until(lambda: len(lines(seen)) == 2 or None)
    with pytest.raises(Conflict, match="is running"):
        resume_sweep(place, sweep.run.id)
    service.cancel_run(place, sweep.run.id)
    found = ended(place, sweep)
    assert found.run.state == "cancelled"
    assert [trial.state for trial in found.trials] == ["cancelled"] * 2
    (tmp_path / "wait").unlink()
    resume_sweep(place, sweep.run.id)
    again = ended(place, sweep)
    assert again.run.state == "succeeded"
    assert [trial.state for trial in again.trials] == ["succeeded"] * 3


@pytest.mark.long
def test_one_trial_can_be_cancelled_and_the_others_go_on(place: Workspace, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    (tmp_path / "wait").touch()
    sweep = start_sweep(place, request(place, seen, texts={"lr": "0.1,0.3"}))
    until(lambda: len(lines(seen)) == 2 or None)
    service.cancel_run(place, read_sweep(place, sweep.run.id).trials[0].run)
    until(lambda: read_sweep(place, sweep.run.id).trials[0].state == "cancelled" or None)
    (tmp_path / "wait").unlink()
    found = ended(place, sweep)
    assert found.run.state == "succeeded"
    assert [trial.state for trial in found.trials] == ["cancelled", "succeeded"]


def test_a_pipeline_is_swept_and_a_trial_that_a_gate_refuses_is_never_the_best(
    place: Workspace, tmp_path: Path
) -> None:
    asked = request(place, tmp_path / "seen", pipeline="both", texts={"lr": "0.3,0.01"}, metric="auc", direction="min")
    sweep = ended(place, start_sweep(place, asked))
    assert sweep.run.state == "succeeded", sweep.run.message
    assert [trial.state for trial in sweep.trials] == ["succeeded", "refused"]
    assert sweep.best == 1
    assert sweep.run.message.startswith("1 of 2 trials succeeded; 1 refused by a gate; best auc ")
    run = service.read_run(place, sweep.trials[0].run)
    assert [stage.state for stage in run.stages] == ["succeeded", "succeeded"]
    (start,) = records_of(place, records.RunStart, run.run_uid)
    assert (start.parent_uid, start.kind) == (sweep.run.run_uid, "pipeline")


@pytest.mark.long
def test_halving_trains_the_best_longer_and_its_best_has_the_largest_budget(place: Workspace, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    asked = request(
        place, seen, texts={"lr": "0.1,0.2,0.3,0.4"}, method="halving", budget="epochs=1..4", eta=2, metric="auc"
    )
    sweep = ended(place, start_sweep(place, asked))
    assert sweep.run.state == "succeeded", sweep.run.message
    assert [(trial.rung, trial.params["epochs"]) for trial in sweep.trials] == [
        (0, 1), (0, 1), (0, 1), (0, 1), (1, 2), (1, 2), (2, 4),
    ]  # fmt: skip
    assert {trial.params["lr"] for trial in sweep.trials if trial.rung == 1} == {0.3, 0.4}
    assert sweep.trials[sweep.best - 1].params == {"lr": 0.4, "epochs": 4}


def test_a_sampler_of_optuna_and_an_early_stop(place: Workspace, tmp_path: Path) -> None:
    asked = request(
        place, tmp_path / "seen", texts={"lr": "uniform(0.3, 1)"}, method="tpe", metric="auc", runs=30, target=0.3,
        options={"n_startup_trials": 2}, parallel=1,
    )  # fmt: skip
    sweep = ended(place, start_sweep(place, asked))
    assert sweep.run.state == "succeeded", sweep.run.message
    assert len(sweep.trials) == 1 and "the target 0.3 was reached" in sweep.run.message


def test_a_notebook_that_always_fails_ends_its_sweep_with_the_reason(place: Workspace, tmp_path: Path) -> None:
    asked = SweepRequest(notebook=str(place.root / "broken.ipynb"), texts={"n": "1..50"}, parallel=1)
    sweep = ended(place, start_sweep(place, asked))
    assert sweep.run.state == "failed"
    assert "the first 5 trials failed alike" in sweep.run.message and "ZeroDivisionError" in sweep.run.message
    assert len(sweep.trials) == 5
    (end,) = records_of(place, records.RunEnd, sweep.run.run_uid)
    assert end.status == "FAILED" and "ZeroDivisionError" in end.error


@pytest.mark.long
def test_a_metric_that_is_never_logged_ends_a_sweep_with_its_name(place: Workspace, tmp_path: Path) -> None:
    asked = request(place, tmp_path / "seen", texts={"epochs": "1..20"}, metric="acu", direction="max", parallel=1)
    sweep = ended(place, start_sweep(place, asked))
    assert sweep.run.state == "failed"
    assert "there is no metric 'acu' (did you mean 'auc'?)" in sweep.run.message
    assert len(sweep.trials) == 5


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"texts": {"lr": "1,2"}, "money": 3.0}, InvalidInput, "per_hour"),
        ({"texts": {"lr": "1,x"}}, InvalidInput, "x"),
        ({"texts": {}}, InvalidInput, "no parameter is varied"),
        ({"texts": {"lr": "1,2"}, "secrets": {"lr": "RATE"}}, InvalidInput, "elsewhere"),
        ({"texts": {"lr": "1,2"}, "pipeline": "bth"}, NotFound, "both"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(
    place: Workspace, tmp_path: Path, given: dict[str, object], error: type[Exception], says: str
) -> None:
    before = sorted(place.pipeline_runs.iterdir()) if place.pipeline_runs.exists() else []
    with pytest.raises(error) as found:
        start_sweep(place, request(place, tmp_path / "seen", **given))
    assert says in json.dumps(str(found.value))
    assert (sorted(place.pipeline_runs.iterdir()) if place.pipeline_runs.exists() else []) == before

"""How the stages of a run start, are judged, chosen from and tried again: with real kernels."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from notebook_files import write
from stage_plans import Plans, finished, records_of, stage_of, until

from mlops_workbench.core import records
from mlops_workbench.core.errors import SpecError
from mlops_workbench.core.ids import new_id, now_ms
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines import service
from mlops_workbench.pipelines.definition.nouns import ResourceSpec, RetrySpec
from mlops_workbench.pipelines.execution.launch import launch_runner, write_stage
from mlops_workbench.pipelines.runs.events import AttemptFailed, StageStarted, read_run_events
from mlops_workbench.pipelines.runs.folder import RunFolder, write_struct
from mlops_workbench.pipelines.runs.progress import chosen_instances
from mlops_workbench.pipelines.runs.requests import RunRequest

pytestmark = pytest.mark.process

TRAIN = (
    "import mlops_workbench, math, pathlib\n"
    "pathlib.Path(clf).write_text(str(lr))\n"
    "mlops_workbench.log(auc=math.nan if lr == 0.3 else lr, steps=3)"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("stages")
    (root / "workbench.toml").write_text("[pipelines]\ncpu = 4\nmemory_gb = 8\ngpu = 2\n")
    workspace = Workspace.init(root)
    specs = workspace.pipeline_specs
    write(specs / "train.ipynb", TRAIN, parameters="lr = 0.0\nclf = ''")
    write(specs / "use.ipynb", "print('it is', open(clf).read())", parameters="clf = ''")
    write(specs / "nothing.ipynb", "1")
    write(
        specs / "show.ipynb",
        "import os\nprint({name: os.environ.get(name) for name in "
        "('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'CUDA_VISIBLE_DEVICES')})",
    )
    # Each of the two waits for the other.
    write(
        specs / "meet.ipynb",
        "import pathlib, time\npathlib.Path(mine).touch()\nend = time.monotonic() + 100\n"
        "while not pathlib.Path(other).exists():\n    assert time.monotonic() < end\n    time.sleep(0.05)",
        parameters="mine = other = ''",
    )
    return workspace


def matrix(plans: Plans, **spec: object) -> tuple[str, ...]:
    notebook = plans.workspace.pipeline_specs / "train.ipynb"
    for lr in (0.1, 0.2, 0.3):
        plans.stage(f"train@lr={lr}", notebook, params={"lr": lr}, outputs=("clf",), **spec)
    return tuple(stage.name for stage in plans.stages)


def output(plans: Plans, stage: str) -> str:
    notebook = nbformat.read(plans.folder.executed(stage, 1), as_version=4)
    return "".join(part.get("text", "") for cell in notebook.cells for part in cell.get("outputs", []))


def test_stages_that_do_not_need_each_other_run_at_the_same_time(place: Workspace, tmp_path: Path) -> None:
    plans = Plans(place)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    plans.stage("a", place.pipeline_specs / "meet.ipynb", params={"mine": a, "other": b})
    plans.stage("b", place.pipeline_specs / "meet.ipynb", params={"mine": b, "other": a})
    assert plans.run().state == "succeeded"


@pytest.mark.long
def test_the_best_instance_of_a_matrix_is_chosen_and_named(place: Workspace) -> None:
    plans = Plans(place)
    names = matrix(plans, metrics=("auc",))
    plans.stage("use", place.pipeline_specs / "use.ipynb", choose={"clf": ("max auc", "clf", names)})
    run = plans.run()
    assert (run.state, run.message) == ("succeeded", "")
    use = stage_of(run, "use")
    assert use.message == "clf is of train@lr=0.2 (max auc: 0.2)"
    assert "it is 0.2" in output(plans, "use")
    (start,) = records_of(place, records.RunStart, use.run_uid)
    assert start.tags["mlops.input.clf"] == "train@lr=0.2.clf (max auc: 0.2)"
    assert chosen_instances(read_run_events(plans.folder.events)) == {"use": {"clf": "train@lr=0.2"}}


def test_a_stage_that_cannot_choose_fails_and_says_why(place: Workspace) -> None:
    plans = Plans(place)
    names = matrix(plans)
    plans.stage("use", place.pipeline_specs / "use.ipynb", choose={"clf": ("min step", "clf", names)})
    run = plans.run()
    assert run.state == "failed"
    assert "has a metric 'step' (did you mean 'steps'?)" in stage_of(run, "use").message


def test_a_stage_without_a_metric_that_it_must_have_fails(place: Workspace) -> None:
    plans = Plans(place)
    plans.stage(
        "train", place.pipeline_specs / "train.ipynb", params={"lr": 0.5}, outputs=("clf",), metrics=("auc", "step")
    )
    run = plans.run()
    (stage,) = run.stages
    assert (run.state, stage.state) == ("failed", "failed")
    assert stage.message == "train.ipynb: its run has no metric 'step': did you mean 'steps'?"
    assert records_of(place, records.RunEnd, stage.run_uid)[0].status == "FAILED"


@pytest.mark.some(3)
@pytest.mark.parametrize(("champion", "refused"), [({"auc": 0.9}, True), ({"auc": 0.4}, False), (None, False)])
def test_a_gate_that_fails_ends_the_run_as_not_published(
    place: Workspace, champion: dict[str, float] | None, refused: bool
) -> None:
    plans = Plans(place)
    notebook = place.pipeline_specs / "train.ipynb"
    gate = ("auc > 0.3", "auc >= champion.auc - 0.005")
    plans.stage("train", notebook, params={"lr": 0.5}, outputs=("clf",), metrics=("auc",), gate=gate)
    plans.stage("use", place.pipeline_specs / "use.ipynb", inputs={"clf": ("train", "clf")})
    run = plans.run(champion)
    if not refused:
        assert (run.state, [stage.state for stage in run.stages]) == ("succeeded", ["succeeded"] * 2)
        return
    assert (run.state, [stage.state for stage in run.stages]) == ("not_published", ["refused", "skipped"])
    assert run.message == (
        "stage 'train' was refused: gate failed: auc >= champion.auc - 0.005 (0.5 < 0.895); metrics: auc 0.5, steps 3"
    )
    assert run.end_ms and service.read_publish(place, run.id) is None
    ends = [records_of(place, records.RunEnd, uid)[0].status for uid in (run.run_uid, run.stages[0].run_uid)]
    assert ends == ["FINISHED", "FINISHED"]


@pytest.mark.long
def test_a_failed_stage_is_tried_again_after_a_pause_that_doubles(place: Workspace, tmp_path: Path) -> None:
    plans = Plans(place)
    notebook = write(
        place.pipeline_specs / "flaky.ipynb",
        "import pathlib\nmarks = pathlib.Path(folder)\nnumber = len(list(marks.iterdir()))\n"
        "(marks / str(number)).touch()\nassert number == 2",
        parameters="folder = ''",
    )
    plans.stage("flaky", notebook, params={"folder": str(tmp_path)}, retries=RetrySpec(max=3, backoff=0.2))
    run = plans.run()
    assert (run.state, run.stages[0].message) == ("succeeded", "")
    events = read_run_events(plans.folder.events)
    failed = [event for event in events if isinstance(event, AttemptFailed)]
    assert [event.attempt for event in failed] == [1, 2] and "AssertionError" in failed[0].message
    # From the times in the log, which are those of the plan and not of the machine.
    assert [event.retry_ms - event.at_ms for event in failed] == [200, 400]
    starts = [event for event in events if isinstance(event, StageStarted)]
    assert [event.attempt for event in starts] == [1, 2, 3] and starts[2].at_ms >= failed[1].retry_ms


@pytest.mark.long
def test_a_cause_that_is_not_listed_is_not_tried_again(place: Workspace) -> None:
    plans = Plans(place)
    write(place.pipeline_specs / "wrong.ipynb", "1 / 0")
    retries = RetrySpec(max=3, on=("timeout", "process_died"))
    plans.stage("wrong", place.pipeline_specs / "wrong.ipynb", retries=retries)
    run = plans.run()
    assert run.state == "failed" and run.stages[0].message == "wrong.ipynb, cell 2: ZeroDivisionError: division by zero"
    assert not [event for event in read_run_events(plans.folder.events) if isinstance(event, AttemptFailed)]


def test_a_stage_that_pauses_holds_no_resources_and_can_be_cancelled(place: Workspace) -> None:
    plans = Plans(place)
    write(place.pipeline_specs / "wrong.ipynb", "1 / 0")
    all_cores = ResourceSpec(cpu=4)
    retries = RetrySpec(max=1, backoff=600)
    plans.stage("wrong", place.pipeline_specs / "wrong.ipynb", retries=retries, resources=all_cores)
    plans.stage("other", place.pipeline_specs / "nothing.ipynb", resources=all_cores)
    run_id = plans.start()

    def passed() -> bool | None:
        return stage_of(service.read_run(place, run_id), "other").state == "succeeded" or None

    until(passed)
    waits = stage_of(service.read_run(place, run_id), "wrong")
    assert waits.state == "pending" and waits.message.startswith("attempt 1 failed: wrong.ipynb, cell 2: ")
    service.cancel_run(place, run_id)
    run = finished(place, run_id)
    assert run.state == "cancelled" and stage_of(run, "wrong").state == "cancelled"


def test_a_stage_that_asks_for_more_than_there_is_is_refused_before_the_run(place: Workspace) -> None:
    plans = Plans(place)
    plans.stage("huge", place.pipeline_specs / "nothing.ipynb", resources=ResourceSpec(cpu=5, gpu=3))
    with pytest.raises(SpecError, match=r"stage 'huge' asks for more .*: 5 cores of 4, 3 GPUs of 2"):
        plans.start()
    assert not plans.folder.path.exists()


def test_a_stage_gets_the_threads_and_gpus_that_it_asks_for(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    plans = Plans(place)
    notebook = place.pipeline_specs / "show.ipynb"
    plans.stage("three", notebook, resources=ResourceSpec(cpu=3, gpu=1))
    plans.stage("plain", notebook)
    assert plans.run().state == "succeeded"
    assert "{'OMP_NUM_THREADS': '3', 'MKL_NUM_THREADS': '7', 'CUDA_VISIBLE_DEVICES': '0'}" in output(plans, "three")
    assert "{'OMP_NUM_THREADS': None, 'MKL_NUM_THREADS': '7', 'CUDA_VISIBLE_DEVICES': None}" in output(plans, "plain")


def test_a_single_notebook_is_one_run_without_a_parent(place: Workspace, tmp_path: Path) -> None:
    plans = Plans(place)
    notebook = place.pipeline_specs / "train.ipynb"
    folder = RunFolder(place.pipeline_runs / new_id())
    stage = plans.stage("train", notebook, params={"lr": 0.5, "clf": str(tmp_path / "clf")})
    request = RunRequest(
        id=folder.path.name,
        kind="notebook",
        pipeline="pipelines/train.ipynb",
        name="half",
        workspace=str(place.root),
        experiment="single",
        created_ms=now_ms(),
        stages=[write_stage(folder, stage)],
        output=str(tmp_path / "out.ipynb"),
    )
    write_struct(folder.request, request)
    launch_runner(place, folder)
    run = finished(place, folder.path.name)
    assert (run.kind, run.state, run.pipeline) == ("notebook", "succeeded", "pipelines/train.ipynb")
    assert run.run_uid == run.stages[0].run_uid != ""
    (start,) = records_of(place, records.RunStart, run.run_uid)
    assert (start.kind, start.name, start.experiment, start.parent_uid) == ("notebook", "half", "single", "")
    assert start.tags["mlops.pipeline_run"] == run.id and start.tags["mlops.reason"] == "manual"
    assert records_of(place, records.Params, run.run_uid)[0].values["lr"] == 0.5
    assert nbformat.read(tmp_path / "out.ipynb", as_version=4) == nbformat.read(folder.executed("train", 1), 4)
    assert (
        len([one for one in records_of(place, records.RunStart) if one.tags.get("mlops.pipeline_run") == run.id]) == 1
    )

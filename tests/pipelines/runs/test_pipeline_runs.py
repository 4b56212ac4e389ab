"""Complete runs with real papermill and kernels, and the state after a process dies."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import nbformat
import psutil
import pytest
from notebook_files import write
from stage_plans import finished, gone, records_of, until
from stage_plans import stage_of as stage

from mlops_workbench.core import records
from mlops_workbench.core.errors import Conflict, InvalidInput, NotFound, SpecError, StorageError
from mlops_workbench.core.pipelines import PipelineRun
from mlops_workbench.core.settings import PipelineSettings, Settings
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines import service
from mlops_workbench.pipelines.plan.specs import list_pipelines
from mlops_workbench.pipelines.runs.events import read_run_events
from mlops_workbench.pipelines.runs.progress import launched_process

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace whose path would trip up globs, format strings and shells."""
    workspace = Workspace.init(tmp_path_factory.mktemp("runs") / "my {wörk} [space]")
    workspace.pipeline_specs.mkdir()
    yield workspace
    for run in service.list_runs(workspace, 100):
        process = launched_process(read_run_events(service.run_folder(workspace, run.id) / "events.jsonl"))
        if process is not None:
            process.stop()


def executed(workspace: Workspace, uid: str) -> nbformat.NotebookNode:
    artifact = next(a for a in records_of(workspace, records.Artifact, uid) if a.kind == "notebook")
    return nbformat.reads(workspace.blobs.get(artifact.digest).read_text(), as_version=4)


THREE = """\
version: 1
experiment: counting
params:
  months: {type: "list[int]", default: [1]}
  since: {type: date, default: 2026-01-01}
stages:
  evaluate:
    notebook: evaluate.ipynb
    inputs: {model: train.model, test: prepare.test}
    outputs: {report: out/report.txt}
  prepare:
    notebook: prepare.ipynb
    params: [months, since, {ratio: !!float 2}]
    inputs: {raw: ../data/*.csv}
    outputs: {train: train.txt, test: test.txt}
  train:
    notebook: steps/train.ipynb
    inputs: {train: prepare.train}
    outputs: {model: model.txt}
publish: {stage: train, as: counts, alias: champion, gate: ["error < 5"], metrics_from: evaluate}
"""


@pytest.fixture(scope="module")
def three(place: Workspace) -> PipelineRun:
    specs = place.pipeline_specs
    (specs / "three.yaml").write_text(THREE)
    (place.root / "data").mkdir()
    for number in (1, 2):
        (place.root / "data" / f"{number}.csv").write_text(str(number))
    write(
        specs / "prepare.ipynb",
        "from pathlib import Path\n"
        "assert since == datetime.date(2026, 2, 3) and type(since) is datetime.date, since\n"
        "assert months == [1, 2] and type(ratio) is float, (months, ratio)\n"
        "assert Path.cwd().name == 'pipelines'\n"
        "train.write_text(' '.join(Path(file).read_text() for file in raw))",
        "print('ä test', test)\nPath(test).write_text('t')",
        parameters="import datetime\nfrom pathlib import Path\nmonths: list[int] = []\n"
        "since: datetime.date = None\nratio: float = 1.0\n"
        "raw: list[str] = []\ntrain: Path = None\ntest = ''",
    )
    # A module beside the notebook is the notebook's, and must not stand for one that the workbench imports.
    (specs / "steps").mkdir()
    (specs / "steps" / "nbformat.py").write_text("mine = True")
    write(
        specs / "steps" / "train.ipynb",
        "import nbformat, os\nassert nbformat.mine\n"
        "open(model, 'w').write(open(train).read() + os.environ['MLOPS_RUN_UID'] + os.environ['MLOPS_EXPERIMENT'])",
        parameters="train = 'by hand.txt'\nmodel = 'model.txt'",
    )
    write(
        specs / "evaluate.ipynb",
        "import mlops_workbench\nmlops_workbench.log(error=1.5)",
        "assert open(test).read() == 't'\nopen(report, 'w').write(open(model).read())",
        parameters="model = test = report = ''",
    )
    before = {path: path.read_bytes() for path in specs.rglob("*.ipynb")}
    run = service.start_run(place, "three", {"months": "1,2", "since": "2026-02-03"}, reason="alert:7")
    assert run.state in ("pending", "running") and run.pipeline == "three"
    run = finished(place, run.id)
    assert {path: path.read_bytes() for path in specs.rglob("*.ipynb")} == before
    return run


def test_outputs_go_from_stage_to_stage(place: Workspace, three: PipelineRun) -> None:
    assert (three.state, three.message) == ("succeeded", "")
    assert [(s.name, s.state, s.message) for s in three.stages] == [
        (name, "succeeded", "") for name in ("prepare", "train", "evaluate")
    ]
    assert all(s.cells == s.cells_total > 0 and s.end_ms >= s.start_ms > 0 for s in three.stages)
    assert three.reason == "alert:7" and three.end_ms >= three.start_ms > 0
    assert three.params == {"months": "[1, 2]", "since": "2026-02-03"}
    report = service.run_folder(place, three.id) / "stages/evaluate/outputs/out/report.txt"
    assert report.read_text() == "1 2" + stage(three, "train").run_uid + "counting"


def test_the_journal_has_a_run_for_the_pipeline_and_one_for_each_stage(place: Workspace, three: PipelineRun) -> None:
    (parent,) = records_of(place, records.RunStart, three.run_uid)
    assert (parent.kind, parent.name, parent.experiment, parent.parent_uid) == ("pipeline", "three", "counting", "")
    assert parent.tags["mlops.reason"] == "alert:7" and parent.tags["mlops.pipeline_run"] == three.id
    assert records_of(place, records.Params, three.run_uid)[0].values == {"months": "[1, 2]", "since": "2026-02-03"}
    for one in three.stages:
        (start,) = records_of(place, records.RunStart, one.run_uid)
        assert (start.kind, start.name, start.parent_uid) == ("stage", one.name, three.run_uid)
        assert Path(start.notebook).name == Path(one.notebook).name
    prepare = stage(three, "prepare").run_uid
    assert records_of(place, records.Params, prepare)[0].values == {
        "months": "[1, 2]",
        "since": "2026-02-03",
        "ratio": 2.0,
    }
    ends = [records_of(place, records.RunEnd, uid)[0].status for uid in (three.run_uid, prepare)]
    assert ends == ["FINISHED", "FINISHED"]


def test_the_executed_notebook_is_an_artifact_of_the_stages_run(place: Workspace, three: PipelineRun) -> None:
    uid = stage(three, "prepare").run_uid
    (artifact,) = [found for found in records_of(place, records.Artifact, uid) if found.kind == "notebook"]
    assert (artifact.path, artifact.media_type) == ("notebook/prepare.ipynb", "application/x-ipynb+json")
    notebook = executed(place, uid)
    injected = next(cell for cell in notebook.cells if "injected-parameters" in cell.metadata.tags)
    assert "since = _datetime.date(2026, 2, 3)" in injected.source
    assert notebook.cells[-1].outputs[0].text.startswith("ä test")


def test_what_a_notebook_logs_goes_into_the_run_of_its_stage(place: Workspace, three: PipelineRun) -> None:
    found = records_of(place, records.Metrics, stage(three, "evaluate").run_uid)
    assert [metrics.values for metrics in found if metrics.origin == "logged"] == [{"error": 1.5}]


def test_a_succeeded_run_has_a_model_to_publish(place: Workspace, three: PipelineRun) -> None:
    train, evaluate = stage(three, "train").run_uid, stage(three, "evaluate").run_uid
    found = service.read_publish(place, three.id)
    assert found is not None and service.publish_spec(place, three.id) is not None
    assert (found.run_uid, found.name, found.model, found.alias, found.serve) == (
        train,
        "counts",
        "",
        "champion",
        False,
    )
    assert [(gate.conditions, gate.run_uids) for gate in found.gates] == [(["error < 5"], [train, evaluate])]
    assert found.metrics_run_uids == [evaluate]


def test_pipelines_are_listed_with_their_problems(place: Workspace, three: PipelineRun) -> None:
    broken = place.pipeline_specs / "broken.yml"
    broken.write_text("version: 1\nstages:\n  a: {notebook: gone.ipynb}\n")
    try:
        found = {pipeline.name: pipeline for pipeline in list_pipelines(place)}
    finally:
        broken.unlink()
    assert next(iter(found)) == "broken" and "broken.yml:3:17: notebook 'gone.ipynb'" in found["broken"].problem
    assert found["broken"].stages == ["a"]
    assert found["three"].problem == ""
    assert found["three"].path == "pipelines/three.yaml"
    assert [(p.name, p.type, p.default) for p in found["three"].params] == [
        ("months", "list[int]", "[1]"),
        ("since", "date", "2026-01-01"),
    ]


@pytest.mark.parametrize(
    ("name", "params", "error", "message"),
    [
        ("thre", {}, NotFound, "no pipeline 'thre'"),
        ("three", {"month": 1}, InvalidInput, "no parameter 'month'"),
        ("three", {"since": "soon"}, InvalidInput, "'soon' is not a date"),
        ("circle", {}, SpecError, r"circle\.yaml:4.*a -> b -> a"),
    ],
)
def test_errors_are_raised_before_anything_is_started(
    place: Workspace, three: PipelineRun, name: str, params: dict[str, object], error: type, message: str
) -> None:
    circle = place.pipeline_specs / "circle.yaml"
    stages = "  a: {notebook: prepare.ipynb, inputs: {raw: b.y}, outputs: {train: x}}\n"
    circle.write_text(
        "version: 1\nstages:\n" + stages + "  b: {notebook: x.ipynb, inputs: {raw: a.train}, outputs: {y: y}}\n"
    )
    before = service.list_runs(place, 100)
    try:
        with pytest.raises(error, match=message):
            service.start_run(place, name, params)
    finally:
        circle.unlink()
    assert service.list_runs(place, 100) == before
    assert len(before) == len(list(place.pipeline_runs.iterdir()))


FAILING = """\
version: 1
stages:
  breaks: {notebook: breaks.ipynb, outputs: {x: x.txt}}
  after: {notebook: after.ipynb, inputs: {x: breaks.x}}
  dies: {notebook: dies.ipynb}
  flaky: {notebook: flaky.ipynb, retries: 1}
  promises: {notebook: promises.ipynb, outputs: {x: x.txt}}
  slow: {notebook: slow.ipynb, timeout: 2s}
publish: {stage: flaky, as: counts}
"""


@pytest.fixture(scope="module")
def failing(place: Workspace) -> PipelineRun:
    specs = place.pipeline_specs
    (specs / "failing.yaml").write_text(FAILING)
    write(specs / "breaks.ipynb", "print('fine')", "raise ValueError('no such flight: ✈')", "1", parameters="x = ''")
    write(specs / "after.ipynb", "1", parameters="x = ''")
    write(specs / "dies.ipynb", "print('alive')", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "1")
    write(
        specs / "flaky.ipynb",
        "from pathlib import Path\nmark = Path('was here')\nif not mark.exists():\n    mark.touch()\n    raise OSError",
    )
    write(specs / "slow.ipynb", "import time\ntime.sleep(1.2)", "time.sleep(600)")
    write(specs / "promises.ipynb", "1", parameters="x = ''")
    run = service.start_run(place, "failing", {})
    return finished(place, run.id)


def test_a_failing_cell_fails_the_run_and_skips_what_depends_on_it(place: Workspace, failing: PipelineRun) -> None:
    assert failing.state == "failed"
    assert "stage 'breaks' failed: breaks.ipynb, cell 4: ValueError: no such flight: ✈" in failing.message
    breaks, after = stage(failing, "breaks"), stage(failing, "after")
    assert (breaks.state, breaks.cells, breaks.cells_total) == ("failed", 3 + 1, 5)
    assert (after.state, after.message, after.run_uid) == ("skipped", "stage 'breaks' did not succeed", "")
    (end,) = records_of(place, records.RunEnd, breaks.run_uid)
    assert (end.status, end.error) == ("FAILED", "ValueError: no such flight: ✈")
    assert "ValueError" in end.traceback and "\x1b" not in end.traceback
    assert records_of(place, records.RunEnd, failing.run_uid)[0].status == "FAILED"
    notebook = executed(place, breaks.run_uid)
    assert any(output.output_type == "error" for cell in notebook.cells for output in cell.get("outputs", []))
    assert service.read_publish(place, failing.id) is None


def test_a_dead_kernel_fails_the_stage_and_its_notebook_is_kept(place: Workspace, failing: PipelineRun) -> None:
    dies = stage(failing, "dies")
    assert dies.state == "failed"
    assert dies.message.startswith("dies.ipynb, cell 3: the kernel died")
    assert records_of(place, records.RunEnd, dies.run_uid)[0].status == "FAILED"
    cells = [cell for cell in executed(place, dies.run_uid).cells if cell.cell_type == "code"]
    assert [cell.metadata.papermill["status"] for cell in cells] == ["completed", "failed", "pending"]
    assert cells[0].outputs[0].text == "alive\n"
    assert cells[1].outputs[-1].ename == "DeadKernelError"


def test_a_stage_is_tried_again_as_often_as_it_may_be(place: Workspace, failing: PipelineRun) -> None:
    flaky = stage(failing, "flaky")
    assert flaky.state == "succeeded"
    starts = [r for r in records_of(place, records.RunStart) if r.name == "flaky"]
    assert [records_of(place, records.RunEnd, start.run_uid)[0].status for start in starts] == ["FAILED", "FINISHED"]
    assert starts[1].run_uid == flaky.run_uid and starts[1].tags["mlops.attempt"] == "2"


def test_an_output_that_was_promised_and_not_written_fails_the_stage(failing: PipelineRun) -> None:
    promises = stage(failing, "promises")
    assert promises.state == "failed"
    assert promises.message.startswith("promises.ipynb did not write its output 'x' (")


def test_a_stage_that_takes_too_long_is_ended(place: Workspace, failing: PipelineRun) -> None:
    slow = stage(failing, "slow")
    assert slow.state == "failed"
    assert slow.message.endswith("the stage took longer than its timeout of 2 s")
    (end,) = records_of(place, records.RunEnd, slow.run_uid)
    assert end.status == "FAILED"


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    workspace = Workspace.init(tmp_path)
    write(workspace.pipeline_specs / "one.ipynb", "1")
    (workspace.pipeline_specs / "one.yaml").write_text("version: 1\nstages: {one: {notebook: one.ipynb}}")
    workspace.pipeline_runs.write_text("a file where the folder should be")
    with pytest.raises(StorageError):
        service.start_run(workspace, "one", {})


def test_a_kernel_that_is_not_installed_is_an_error_before_the_start(tmp_path: Path) -> None:
    workspace = Workspace.init(tmp_path)
    path = write(workspace.pipeline_specs / "one.ipynb", "1")
    path.write_text(path.read_text().replace('"python3"', '"no-such"'))
    (workspace.pipeline_specs / "one.yaml").write_text("version: 1\nstages: {one: {notebook: one.ipynb}}")
    with pytest.raises(SpecError, match="its kernel 'no-such' is not installed"):
        service.start_run(workspace, "one", {})
    assert service.list_runs(workspace) == []


SLEEPING = """\
version: 1
stages:
  sleeps: {notebook: sleeps.ipynb, outputs: {x: x.txt}}
  later: {notebook: sleeps.ipynb, inputs: {x: sleeps.x}}
"""


def sleeping(workspace: Workspace) -> tuple[PipelineRun, list[psutil.Process]]:
    """A run in the middle of its first stage, and its processes: stage and kernel."""
    (workspace.pipeline_specs / "sleeping.yaml").write_text(SLEEPING)
    write(
        workspace.pipeline_specs / "sleeps.ipynb",
        "print('begun', flush=True)\nopen(x + '.begun', 'w').close()",
        "import time\ntime.sleep(600)",
        parameters="x = ''",
    )
    run = service.start_run(workspace, "sleeping", {})
    folder = service.run_folder(workspace, run.id)

    def begun() -> PipelineRun | None:
        now = service.read_run(workspace, run.id)
        assert now.state in ("pending", "running"), now
        return now if (folder / "stages/sleeps/outputs/x.txt.begun").exists() and now.stages[0].cells == 3 else None

    now = until(begun)
    assert (now.state, now.stages[0].state, now.stages[1].state) == ("running", "running", "pending")
    runner = launched_process(read_run_events(folder / "events.jsonl"))
    assert runner is not None and runner.alive()
    return now, psutil.Process(runner.pid).children(recursive=True)


def test_a_cancelled_run_ends_its_kernel_and_keeps_what_it_did(place: Workspace) -> None:
    run, processes = sleeping(place)
    assert len(processes) >= 2
    service.cancel_run(place, run.id)
    run = finished(place, run.id)
    assert run.state == "cancelled"
    assert [s.state for s in run.stages] == ["cancelled", "cancelled"]
    assert [records_of(place, records.RunEnd, uid)[0].status for uid in (run.run_uid, run.stages[0].run_uid)] == [
        "KILLED",
        "KILLED",
    ]
    cells = [cell for cell in executed(place, run.stages[0].run_uid).cells if cell.cell_type == "code"]
    assert [cell.metadata.papermill["status"] for cell in cells] == ["completed"] * 3 + ["failed"]
    assert cells[2].outputs[0].text == "begun\n"
    until(lambda: gone(processes))
    with pytest.raises(Conflict, match="has cancelled already"):
        service.cancel_run(place, run.id)


def test_a_killed_runner_is_detected_and_leaves_no_process(place: Workspace) -> None:
    run, processes = sleeping(place)
    runner = launched_process(read_run_events(service.run_folder(place, run.id) / "events.jsonl"))
    assert runner is not None
    os.kill(runner.pid, signal.SIGKILL)
    until(lambda: service.is_interrupted(service.read_run(place, run.id)) or None)
    until(lambda: gone(processes))
    never = dataclasses.replace(place, settings=Settings(pipelines=PipelineSettings(resume_hours=0)))
    run = service.read_run(never, run.id)
    assert (run.state, run.message) == ("failed", "runner process died")
    assert [s.state for s in run.stages] == ["failed", "skipped"]
    assert service.read_run(never, run.id) == run == service.list_runs(never, 1)[0]


def test_an_unknown_run_is_not_found(place: Workspace) -> None:
    for name in ("0" * 32, "0" * 5000, "../x", ""):
        with pytest.raises(NotFound):
            service.read_run(place, name)

"""An unchanged stage is reused, one that depends on something changed runs: with real kernels and files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from notebook_files import write
from stage_plans import finished

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.pipelines import PipelineRun
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines import service
from mlops_workbench.pipelines.execution.selection import Selection

pytestmark = pytest.mark.process

SPEC = """\
version: 2
params: {lr: 0.1, day: {type: date, default: 2026-01-01}}
stages:
  prep:
    notebook: prep.ipynb
    params: [day]
    inputs: {raw: data/*.csv}
    outputs: {out: out.txt, parts: parts}
  train:
    notebook: train.ipynb
    params: [lr]
    inputs: {src: prep.out}
    outputs: {clf: clf.txt}
    metrics: [auc]
  judge:
    notebook: judge.ipynb
    inputs: {clf: train.clf}
    gate: [score > 0]
"""
PREP = (
    "import helper, pathlib, os\n"
    "pathlib.Path(out).write_text(pathlib.Path('data/a.csv').read_text() * helper.times + str(day))\n"
    "pathlib.Path(parts).mkdir()\n(pathlib.Path(parts) / '1.txt').write_text(os.environ.get('PREP_MODE', ''))"
)
TRAIN = "import mlops_workbench\nopen(clf, 'w').write(open(src).read() + str(lr))\nmlops_workbench.log(auc=lr)"
JUDGE = "import mlops_workbench\nfrom pathlib import Path\nPath(clf).read_text(), open('side.txt').read()\n"
JUDGE += "try:\n    open('optional.txt')\nexcept FileNotFoundError:\n    pass\n"
JUDGE += "mlops_workbench.log(score=1, odd=float('inf'))"


class Demo:
    """A workspace with a pipeline of three stages."""

    def __init__(self, root: Path) -> None:
        (root / "workbench.toml").write_text("")
        self.root = root
        self.workspace = Workspace.init(root)
        self.specs = self.workspace.pipeline_specs
        write(
            self.specs / "prep.ipynb",
            PREP,
            parameters="import datetime\nraw = out = parts = ''\nday: datetime.date = None",
        )
        write(self.specs / "train.ipynb", TRAIN, parameters="src = clf = ''\nlr = 0.0")
        write(self.specs / "judge.ipynb", JUDGE, parameters="clf = ''")
        (self.specs / "demo.yaml").write_text(SPEC)
        (self.specs / "helper.py").write_text("times = 2\n")
        (self.specs / "data").mkdir()
        (self.specs / "data" / "a.csv").write_text("a\n")
        (self.specs / "side.txt").write_text("side")

    def run(self, selection: Selection = Selection(), **params: object) -> PipelineRun:  # noqa: B008
        started = service.start_run(self.workspace, "demo", params, selection=selection)
        run = finished(self.workspace, started.id)
        assert run.state == "succeeded", run
        return run

    def why(self, **params: object) -> dict[str, list[str]]:
        """The stages that would run, and why."""
        plan = service.plan_run(self.workspace, "demo", params)
        return {stage.name: stage.reasons for stage in plan.stages if not stage.cached}

    def edit(self, name: str, change: Callable[[nbformat.NotebookNode], object]) -> None:
        notebook = nbformat.read(self.specs / name, as_version=4)
        change(notebook)
        nbformat.write(notebook, self.specs / name)


def reused(run: PipelineRun) -> list[str]:
    return [stage.name for stage in run.stages if stage.cached]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A pipeline that has run once."""
    demo = Demo(tmp_path_factory.mktemp("kept"))
    run = demo.run()
    assert reused(run) == []
    return demo


@pytest.fixture
def demo(kept: Demo, tmp_path: Path) -> Demo:
    """A copy of it in another folder, which may be changed."""
    moved = object.__new__(Demo)
    moved.root = tmp_path / "moved"
    shutil.copytree(kept.root, moved.root, symlinks=True)
    moved.workspace = Workspace.open(moved.root)
    moved.specs = moved.workspace.pipeline_specs
    return moved


def test_an_unchanged_pipeline_reuses_all_results_also_in_another_folder(demo: Demo) -> None:
    (first,) = service.list_runs(demo.workspace)
    run = demo.run()
    assert reused(run) == ["prep", "train", "judge"]
    assert [stage.run_uid for stage in run.stages] == [stage.run_uid for stage in first.stages]
    assert {stage.cached_from for stage in run.stages} == {first.id}
    outputs = service.run_folder(demo.workspace, run.id) / "stages"
    assert (outputs / "train" / "outputs" / "clf.txt").read_text() == "a\na\n2026-01-010.1"
    assert (outputs / "prep" / "outputs" / "parts" / "1.txt").exists()
    results = service.read_results(demo.workspace, run.id)
    assert [result.stage for result in results] == ["prep", "train", "judge"]
    for result in results:
        nbformat.validate(nbformat.read(result.notebook, as_version=4))


def renumbered(notebook: nbformat.NotebookNode) -> None:
    for number, cell in enumerate(notebook.cells):
        cell.id = f"renumbered-{number}"
        if cell.cell_type == "code":
            cell.execution_count = number
            cell.outputs = [nbformat.v4.new_output("stream", text="old output")]


def commented(notebook: nbformat.NotebookNode) -> None:
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell("# More words"))
    notebook.cells[-1].source = "# a comment\n\n" + notebook.cells[-1].source.replace(" = ", "  =  ") + "  # the end"


@pytest.mark.parametrize(
    "change",
    [
        lambda demo: demo.edit("train.ipynb", renumbered),
        lambda demo: demo.edit("prep.ipynb", commented),
        lambda demo: (demo.specs / "data" / "a.csv").touch(),
        lambda demo: (demo.specs / "helper.py").touch(),
        lambda demo: (demo.specs / ".ipynb_checkpoints").mkdir(),
        lambda demo: (demo.specs / "other.txt").write_text("not read"),
    ],
)
def test_what_a_stage_does_not_depend_on_changes_nothing(demo: Demo, change: Callable[[Demo], object]) -> None:
    change(demo)
    assert demo.why() == {}


def other_code(notebook: nbformat.NotebookNode) -> None:
    notebook.cells[-1].source += "\nx = 1"


RAW = "input 'raw' has changed"
LATER = {"train": ["stage 'prep' runs"], "judge": ["stage 'train' runs"]}


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (lambda demo: demo.edit("prep.ipynb", other_code), {"prep": ["code cell 2 has changed"], **LATER}),
        (lambda demo: (demo.specs / "helper.py").write_text("times = 3\n"),
         {"prep": ["the module helper.py has changed"], **LATER}),
        (lambda demo: (demo.specs / "data" / "a.csv").write_text("b\n"), {"prep": [RAW], **LATER}),
        (lambda demo: (demo.specs / "data" / "b.csv").write_text("b\n"), {"prep": [RAW], **LATER}),
        (lambda demo: (demo.specs / "side.txt").write_text("sidd"), {"judge": ["side.txt has changed"]}),
        (lambda demo: (demo.specs / "side.txt").unlink(), {"judge": ["side.txt has gone"]}),
        (lambda demo: (demo.specs / "optional.txt").write_text(""), {"judge": ["optional.txt has been added"]}),
    ],
)  # fmt: skip
def test_what_has_changed_is_said_for_each_stage_that_would_run(
    demo: Demo, change: Callable[[Demo], object], reasons: dict[str, list[str]]
) -> None:
    change(demo)
    assert demo.why() == reasons


def test_parameters_count_with_their_exact_values(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    assert demo.why(lr=0.2) == {"train": ["parameter 'lr': 0.1 -> 0.2"], "judge": ["stage 'train' runs"]}
    assert demo.why(lr=0.1) == {}
    assert list(demo.why(lr=0.1 + 2e-17)) == ["train", "judge"]
    monkeypatch.setenv("PREP_MODE", "fast")
    assert demo.why()["prep"] == ["the environment variable PREP_MODE has been added"]


def test_a_changed_stage_runs_and_those_after_it_only_if_its_outputs_are_others(demo: Demo) -> None:
    demo.edit("prep.ipynb", other_code)
    assert reused(demo.run()) == ["train", "judge"]
    (demo.specs / "helper.py").write_text("times = 3\n")
    assert reused(demo.run()) == []
    (demo.specs / "helper.py").write_text("times = 2\n")
    assert reused(demo.run()) == ["prep", "train", "judge"]


@pytest.mark.long
def test_stages_can_be_made_to_run(demo: Demo) -> None:
    assert reused(demo.run(Selection(start="train"))) == ["prep"]
    assert reused(demo.run(Selection(force=("prep", "judge")))) == ["train"]
    assert reused(demo.run(Selection(force=("*",)))) == []
    with pytest.raises(InvalidInput, match="pipeline 'demo' has no stage 'trian'") as caught:
        demo.run(Selection(start="trian"))
    assert caught.value.hint == "did you mean 'train'?"


def test_only_one_stage_runs_on_the_newest_results_of_the_others(demo: Demo) -> None:
    (demo.specs / "data" / "a.csv").write_text("other\n")
    run = demo.run(Selection(only="train"))
    assert [stage.name for stage in run.stages] == ["prep", "train"]
    assert reused(run) == ["prep"]
    assert run.stages[0].message == "input 'raw' has changed"
    shutil.rmtree(demo.workspace.state / "cache")
    with pytest.raises(InvalidInput, match="stage 'prep', whose outputs it needs, has no kept result"):
        demo.run(Selection(only="train"))


def test_an_undeclared_read_is_reported_with_the_line_to_add(kept: Demo) -> None:
    notes = {stage.name: stage.notes for run in service.list_runs(kept.workspace) for stage in run.stages}
    assert notes == {
        "prep": [],
        "train": [],
        "judge": ["stage 'judge' reads side.txt, which is not an input: add 'inputs: {side: side.txt}'"],
    }


@pytest.mark.some(2)
@pytest.mark.parametrize("part", ["output", "notebook"])
@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_missing_or_damaged_blob_makes_the_stage_run_again(demo: Demo, part: str, damage: str) -> None:
    entries = [json.loads(path.read_text()) for path in (demo.workspace.state / "cache").glob("??/*.json")]
    (train,) = [result for entry in entries for result in entry["results"] if "clf" in result["outputs"]]
    blob = demo.workspace.blobs.path(train["outputs"]["clf"][""] if part == "output" else train["notebook"])
    blob.chmod(0o644)
    blob.write_text("damage")
    blob.chmod(0o444)
    if damage == "gone":
        blob.unlink()
    run = demo.run()
    assert reused(run) == ["prep", "judge"]
    text = (service.run_folder(demo.workspace, run.id) / "stages" / "train" / "outputs" / "clf.txt").read_text()
    assert text == "a\na\n2026-01-010.1"


@pytest.mark.some(8)
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import socket\nsocket.socketpair()", ""),
        ("import subprocess\nsubprocess.run(['true'])", "starts another program: true"),
        ("import sys, types\nsys.modules['duckdb'] = types.ModuleType('duckdb')", "duckdb opens files itself"),
        ("import pandas, io\npandas.DataFrame({'x': [1]}).to_parquet(io.BytesIO())", ""),
        ("import pandas, io\nb = io.BytesIO()\npandas.DataFrame({'x': [1]}).to_parquet(b)\npandas.read_parquet(b)",
         "pyarrow opens files itself"),
        ("from mlops_workbench import runs\nruns()", "it asks the workbench, whose answers change"),
        ("open('left.txt', 'w').write('x')", "it writes pipelines/left.txt, which is no output"),
        ("open('data/a.csv').read()\nopen('data/a.csv', 'a').write('x')", "data/a.csv was changed after it was read"),
    ],
)  # fmt: skip
def test_a_stage_whose_result_cannot_be_relied_on_is_not_cached_and_says_so(
    tmp_path: Path, code: str, reason: str
) -> None:
    demo = Demo(tmp_path)
    write(demo.specs / "only.ipynb", code)
    (demo.specs / "demo.yaml").write_text("version: 2\nstages:\n  only: {notebook: only.ipynb}\n")
    (stage,) = demo.run().stages
    assert reason in " ".join(stage.notes)
    (why,) = demo.why().values() if reason else [[]]
    assert why == [f"its last result was not kept: {note.partition(': ')[2]}" for note in stage.notes[:1]]

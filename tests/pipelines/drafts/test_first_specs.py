"""A first spec is written from notebooks: their parameters, and the files that connect them."""

from __future__ import annotations

from pathlib import Path

import notebook_files
import pytest

from mlops_workbench.core.errors import Conflict, InvalidInput, NotFound
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.definition.file import read_spec
from mlops_workbench.pipelines.definition.nouns import InputSpec, OutputSpec, StageParam
from mlops_workbench.pipelines.drafts.write import new_spec
from mlops_workbench.pipelines.plan.files import plan_spec


def write(workspace: Workspace, name: str, *cells: str, parameters: str = "") -> Path:
    return notebook_files.write(workspace.root / "notebooks" / f"{name}.ipynb", *cells, parameters=parameters)


@pytest.fixture
def three(workspace: Workspace) -> list[Path]:
    (workspace.root / "data").mkdir()
    (workspace.root / "data" / "raw.csv").write_text("a\n1\n")
    prepare = write(
        workspace, "prepare", "df = pd.read_csv(raw)", "df.to_parquet(train)",
        parameters="raw = '../data/raw.csv'\ntrain = 'work/train.parquet'\nseed = 1  # of the split",
    )  # fmt: skip
    train = write(
        workspace, "train", "from mlops_workbench import save", "df = pd.read_parquet(train)", "save('clf', model)",
        parameters="train = 'work/train.parquet'\nseed = 1  # of the split\ndepth: int = 3\nodd = compute()",
    )  # fmt: skip
    evaluate = write(
        workspace, "evaluate", "import mlops_workbench as wb\nmodel = wb.load('clf')", parameters="depth: int = 4"
    )
    return [evaluate, train, prepare]


def test_it_has_typed_parameters_and_edges_and_plans(workspace: Workspace, three: list[Path]) -> None:
    written = new_spec(workspace, three, "churn")
    assert written.problems == []
    spec = read_spec(written.path)
    assert list(spec.stages) == ["prepare", "train", "evaluate"]
    prepare, train, evaluate = spec.stages.values()
    assert {name: (str(p.type), p.default, p.help) for name, p in spec.params.items()} == {
        "seed": ("int", 1, "of the split"),
        "depth": ("int", 3, ""),
    }
    assert prepare.inputs == {"raw": InputSpec("file", "../data/raw.csv")}
    assert prepare.outputs == {"train": OutputSpec("train.parquet", "table")}
    assert (train.inputs, train.params) == (
        {"train": InputSpec("stage", "prepare", "train")},
        {"seed": StageParam(), "depth": StageParam()},
    )
    assert train.outputs == {"clf": OutputSpec("clf.skops", "model")}
    assert evaluate.inputs == {"clf": InputSpec("stage", "train", "clf")}
    assert evaluate.params == {"depth": StageParam(4, False)}
    assert "    # keeps its own default of: odd" in written.text
    assert plan_spec(spec, lambda stage: Path("/run") / stage, {}).params == {"seed": 1, "depth": 3}


def test_its_first_line_leads_editors_to_the_schema(workspace: Workspace, three: list[Path]) -> None:
    written = new_spec(workspace, three, "churn")
    first = written.text.splitlines()[0]
    schema = written.path.parent / first.partition("$schema=")[2]
    assert first.startswith("# yaml-language-server: $schema=") and schema.resolve().is_file()


def test_it_is_never_written_over_another(workspace: Workspace, three: list[Path]) -> None:
    path = new_spec(workspace, three, "churn").path
    path.write_text("version: 2\n")
    with pytest.raises(Conflict, match=r"there is a pipeline 'churn' already\n.*--force"):
        new_spec(workspace, three, "churn")
    assert path.read_text() == "version: 2\n"
    new_spec(workspace, three, "churn", force=True)
    assert len(read_spec(path).stages) == 3


def test_what_keeps_it_from_running_is_written_and_returned(workspace: Workspace) -> None:
    notebook = write(workspace, "a", "pd.read_csv(raw)", "pd.read_csv('fixed.csv')", parameters="raw = 'gone.csv'")
    written = new_spec(workspace, [notebook], "a")
    assert "no file matches '../notebooks/gone.csv'" in written.problems[0]
    lines = written.text.splitlines()
    number = int(written.problems[0].split()[1].rstrip(","))
    assert lines[number - 1].strip() == "raw: ../notebooks/gone.csv"
    assert "# It does not run yet:" in lines and f"#   {written.problems[0]}" in lines
    assert any("its code reads fixed.csv: move the path to the parameters cell" in line for line in lines)


def test_a_connection_that_no_edge_can_show_is_pointed_out(workspace: Workspace) -> None:
    first = write(workspace, "a", "df.to_csv('x.csv')")
    second = write(workspace, "b", "pd.read_csv('x.csv')", parameters="n = 1")
    written = new_spec(workspace, [first, second], "ab")
    assert any("it reads x.csv, which 'a' writes" in note for note in written.stages[1].notes)
    assert any("has no cell with the tag 'parameters'" in note for note in written.stages[0].notes)


def test_notebooks_of_one_name_become_different_stages(workspace: Workspace) -> None:
    first = write(workspace, "my notebook (1)")
    second = notebook_files.write(workspace.root / "other" / "my notebook (1).ipynb")
    written = new_spec(workspace, [first, second], "ab")
    assert [stage.name for stage in written.stages] == ["my-notebook-1", "my-notebook-1-2"] and not written.problems


def test_a_missing_notebook_or_a_wrong_name_writes_nothing(workspace: Workspace, three: list[Path]) -> None:
    with pytest.raises(NotFound, match=r"there is no notebook gone\.ipynb"):
        new_spec(workspace, [*three, Path("gone.ipynb")], "churn")
    with pytest.raises(InvalidInput, match="cannot be the name of a pipeline"):
        new_spec(workspace, three, "../churn")
    assert not list(workspace.root.glob("**/*.yaml"))


@pytest.mark.parametrize(
    "line",
    [
        "x = 'yes'", "x = 'a: b # c'", "x = '1'", "x = 1.5", "x = True", "x = [1, 2]", "x: float = 1.0", "x: int",
        "import datetime\nx = datetime.date(2026, 1, 31)", "x = '2026-01-31'", "x = 'ä \\n\"'",
        "x: list[float] = [1.0]",
        "from typing import Literal\nx: Literal['a', 'b'] = 'a'  # a: or b", "x = ''", "x = 1e300", "x = 'null'",
        "x = (1, 2)", "x = {'a': 1}", "x = None", "x = b'1'", "x = float('nan')", "x: str | None = None",
    ],
)  # fmt: skip
def test_every_default_is_written_exactly_or_left_to_the_notebook(workspace: Workspace, line: str) -> None:
    notebook = write(workspace, "a", "print(x)", parameters=line)
    written = new_spec(workspace, [notebook], "a")
    assert written.problems == []
    spec = read_spec(written.path)
    if "x" in spec.params:
        plan_spec(spec, lambda stage: Path("/run") / stage, {"x": 3} if spec.params["x"].required else {})
    else:
        assert "# keeps its own default of: x" in written.text

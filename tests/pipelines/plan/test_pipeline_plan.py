"""A spec is checked against its notebooks before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_workbench.core.errors import InvalidInput, NotFound, SpecError, WorkbenchError
from mlops_workbench.notebooks.parameters.declared import parse_parameters
from mlops_workbench.pipelines.definition.file import read_spec
from mlops_workbench.pipelines.plan.make import make_plan
from mlops_workbench.pipelines.plan.nouns import NotebookFacts, Plan, StagePlan

SPEC = """\
version: 1
params:
  seed: 42
  months: {type: "list[int]", default: [1, 2], max: 12}
  rate: {type: float}
stages:
  evaluate:
    notebook: evaluate.ipynb
    inputs: {model: train.model, test: prepare.test}
  train:
    notebook: train.ipynb
    params: [seed, rate, {depth: 3}]
    inputs: {train: prepare.train}
    outputs: {model: model.txt}
  prepare:
    notebook: prepare.ipynb
    params: [months]
    inputs: {raw: data/*.csv}
    outputs: {train: train.csv, test: test.csv}
publish: {stage: train, as: m, metrics_from: evaluate}
"""
CELLS = {
    "prepare.ipynb": "months: list[int] = []\nraw: list[str] = []\ntrain = None\ntest: Path = None",
    "train.ipynb": "seed: int\nrate = 0.1\ndepth: int = 1\ntrain = ''\nmodel = ''",
    "evaluate.ipynb": "model: str = ''\ntest: str = ''",
}


def plan(tmp_path: Path, text: str = SPEC, given: dict | None = None, **cells: str | WorkbenchError) -> Plan:
    file = tmp_path / "flights.yaml"
    file.write_text(text)
    named = {**CELLS, **{f"{name}.ipynb": cell for name, cell in cells.items()}}
    notebooks = {
        name: cell if isinstance(cell, WorkbenchError) else NotebookFacts(tmp_path / name, parse_parameters(cell))
        for name, cell in named.items()
    }

    def matches(pattern: str) -> tuple[list[str], str]:
        return (["/data/1.csv", "/data/2.csv"] if "*" in pattern else []), f"/spec/{pattern}"

    return make_plan(read_spec(file), notebooks, matches, lambda stage: Path("/run") / stage, given)


def files(stage: StagePlan) -> dict[str, object]:
    return {name: value for name, value in stage.values.items() if name not in stage.params}


def test_stages_follow_what_they_need_and_get_typed_values(tmp_path: Path) -> None:
    found = plan(tmp_path, given={"rate": "0.5", "months": "3,4"})
    assert [stage.spec.name for stage in found.stages] == ["prepare", "train", "evaluate"]
    assert [stage.needs for stage in found.stages] == [(), ("prepare",), ("train", "prepare")]
    assert found.params == {"seed": 42, "months": [3, 4], "rate": 0.5}
    prepare, train, evaluate = found.stages
    assert prepare.params == {"months": [3, 4]}
    assert files(prepare) == {
        "raw": ["/data/1.csv", "/data/2.csv"], "train": "/run/prepare/train.csv", "test": Path("/run/prepare/test.csv"),
    }  # fmt: skip
    assert train.params == {"seed": 42, "rate": 0.5, "depth": 3}
    assert files(evaluate) == {"model": "/run/train/model.txt", "test": "/run/prepare/test.csv"}
    assert {name: entry.path for name, entry in prepare.outputs.items()} == {
        "train": "/run/prepare/train.csv",
        "test": "/run/prepare/test.csv",
    }


def test_a_pattern_stays_a_pattern_for_a_notebook_that_wants_text(tmp_path: Path) -> None:
    cell = "months = []\nraw = ''\ntrain = ''\ntest = ''"
    assert plan(tmp_path, given={"rate": 1}, prepare=cell).stages[0].inputs["raw"].value == "/spec/data/*.csv"


def test_a_cycle_is_named_with_its_path(tmp_path: Path) -> None:
    text = SPEC.replace("raw: data/*.csv", "raw: evaluate.score").replace(
        "test: prepare.test}", "test: prepare.test}\n    outputs: {score: s}"
    )
    with pytest.raises(SpecError, match="evaluate -> train -> prepare -> evaluate") as caught:
        plan(tmp_path, text)
    assert str(caught.value.where).rpartition(":")[0].endswith("flights.yaml:19")


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("[seed, rate,", "[sede, rate,", 12, "takes 'sede', which is not a parameter of the pipeline\n.*'seed'"),
        ("{depth: 3}", "{dept: 3}", 12, "passes 'dept', but notebook 'train.ipynb' has no such.*\n.*'depth'"),
        ("{depth: 3}", "{depth: x}", 12, "does not match notebook 'train.ipynb': depth: 'x' is not an int"),
        ("prepare.train", "prepare.trian", 13, "stage 'prepare' has no output 'trian'.*\n.*'train'"),
        ("prepare.train", "prepar.train", 13, "'prepar.train', and there is no stage 'prepar'.*\n.*'prepare'"),
        ("data/*.csv", "data/all.csv", 18, "no file matches 'data/all.csv'"),
        ("model: model.txt", "modle: model.txt", 9, "stage 'train' has no output 'model'\n.*'modle'"),
        ("[seed, rate, {", "[rate, {", 10, "does not pass 'seed', which notebook 'train.ipynb' needs"),
        ("metrics_from: evaluate", "metrics_from: eval", 20, "names an unknown stage 'eval'\n.*'evaluate'"),
        ("{stage: train,", "{stage: trains,", 20, "names an unknown stage 'trains'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    assert old in SPEC
    with pytest.raises(SpecError, match=message) as caught:
        plan(tmp_path, SPEC.replace(old, new, 1), {"rate": 1})
    assert str(caught.value.where).startswith(f"{tmp_path / 'flights.yaml'}:{line}:")


def test_a_missing_notebook_is_named_with_the_line_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="of stage 'train': there is no notebook") as caught:
        plan(tmp_path, train=NotFound("there is no notebook train.ipynb", where="train.ipynb"))
    assert str(caught.value.where).rpartition(":")[0].endswith(":11")


def test_the_notebooks_own_types_count(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"months: \[1, 2\] is not a date") as caught:
        plan(tmp_path, prepare="months: date = None\nraw=''\ntrain=''\ntest=''")
    assert str(caught.value.where).rpartition(":")[0].endswith(":17")
    with pytest.raises(SpecError, match=r"'/run/prepare/train\.csv' is not an int"):
        plan(tmp_path, train="seed = 1\nrate = 1\ndepth = 1\ntrain: int = 1\nmodel = ''")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rate": 1, "sed": 1}, "has no parameter 'sed'\n.*'seed'"),
        ({}, "needs a value for parameter 'rate'"),
        ({"rate": "fast"}, "parameter 'rate': 'fast' is not a float"),
        ({"rate": 1, "months": [13]}, "parameter 'months': 13 must be at most 12"),
        ({"rate": 1, "months": "a"}, "parameter 'months': 'a' is not an int"),
    ],
)
def test_wrong_values_are_refused(tmp_path: Path, given: dict, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        plan(tmp_path, given=given)


def test_without_values_a_required_parameter_stays_open(tmp_path: Path) -> None:
    found = plan(tmp_path)
    assert found.params == {"seed": 42, "months": [1, 2]}
    assert found.stages[1].params == {"seed": 42, "depth": 3}

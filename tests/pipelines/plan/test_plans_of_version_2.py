"""A spec of version 2 is planned: instances of a matrix, choices, data sets, and variables that nothing declares."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as given_values
from hypothesis import strategies as st

from mlops_workbench.core.errors import InvalidInput, SpecError
from mlops_workbench.notebooks.names.used import used_names
from mlops_workbench.notebooks.parameters.declared import parse_parameters
from mlops_workbench.pipelines.definition.file import parse_spec
from mlops_workbench.pipelines.plan.instances import instance_name
from mlops_workbench.pipelines.plan.make import make_plan
from mlops_workbench.pipelines.plan.nouns import InputPlan, NotebookFacts, Plan

FILE = Path("/spec/churn.yaml")
SPEC = """\
version: 2
params:
  seed: 42
  lr: {type: float, default: 0.1, min: 0, max: 1}
stages:
  prepare:
    notebook: prepare.ipynb
    inputs: {raw: data/*.csv, flights: {dataset: flights@3}}
    outputs: {train: train.parquet}
  train:
    notebook: train.ipynb
    params: [seed, lr, {depth: 3}]
    inputs: {train: prepare.train}
    outputs: {clf: clf.skops}
    metrics: [auc]
    matrix: {lr: [0.05, 0.1], depth: 2..3}
  evaluate:
    notebook: evaluate.ipynb
    inputs: {clf: "train.clf[best auc]", every: train.clf}
publish: {model: evaluate.clf, as: churn}
"""
#: By notebook the cell of the parameters, and the rest.
CELLS = {
    "prepare": ("", "frame = read(raw); frame.to_parquet(train); load('flights')"),
    "train": ("seed = 1\nlr: float = 0.1\ndepth: int = 3", "def fit():\n    return load('train')\nsave('clf', fit())"),
    "evaluate": ("", "model, models = open(clf), [open(path) for path in every]"),
}


def plan(text: str = SPEC, given: dict[str, Any] | None = None, **cells: tuple[str, str]) -> Plan:
    notebooks = {
        f"{name}.ipynb": NotebookFacts(
            Path("/spec") / f"{name}.ipynb", parse_parameters(first), names=used_names([ast.parse(rest)])
        )
        for name, (first, rest) in {**CELLS, **cells}.items()
    }

    def matches(path: str) -> tuple[list[str], str]:
        return (["/data/1.csv", "/data/2.csv"] if "*" in path else []), f"/spec/{path}"

    return make_plan(parse_spec(text, FILE), notebooks, matches, lambda stage: Path("/run") / stage / "outputs", given)


NAMES = ["train@lr=0.05,depth=2", "train@lr=0.05,depth=3", "train@lr=0.1,depth=2", "train@lr=0.1,depth=3"]


def test_a_matrix_makes_instances_each_with_its_values() -> None:
    found = plan(given={})
    assert [stage.name for stage in found.stages] == ["prepare", *NAMES, "evaluate"]
    train = [stage for stage in found.stages if stage.spec.name == "train"]
    assert [stage.params for stage in train] == [
        {"seed": 42, "lr": lr, "depth": depth} for lr in (0.05, 0.1) for depth in (2, 3)
    ]
    assert train[0].matrix == {"lr": 0.05, "depth": 2}
    assert [stage.needs for stage in train] == [("prepare",)] * 4
    assert train[3].values["clf"] == "/run/train@lr=0.1,depth=3/outputs/clf.skops"


def test_a_later_stage_gets_all_instances_or_chooses_one() -> None:
    evaluate = plan(given={}).stages[-1]
    paths = [f"/run/{name}/outputs/clf.skops" for name in NAMES]
    assert evaluate.needs == tuple(NAMES)
    assert evaluate.inputs["every"].value == paths and evaluate.inputs["every"].files == tuple(paths)
    clf = evaluate.inputs["clf"]
    assert clf == InputPlan(clf.spec, candidates=dict(zip(NAMES, [(path, path) for path in paths], strict=True)))
    assert clf.spec.choose == "max auc"
    assert "clf" not in evaluate.values and evaluate.values["every"] == paths


def test_a_choice_has_the_type_that_the_notebook_declares() -> None:
    cell = "from pathlib import Path\nclf: Path = Path('x')\nevery: list[Path] = []"
    evaluate = plan(given={}, evaluate=(cell, "")).stages[-1]
    path = Path("/run") / NAMES[0] / "outputs" / "clf.skops"
    assert evaluate.inputs["clf"].candidates[NAMES[0]] == (str(path), path)
    assert evaluate.inputs["every"].value == [Path("/run") / name / "outputs" / "clf.skops" for name in NAMES]
    with pytest.raises(SpecError, match=r"every: \[.*is not a str"):
        plan(evaluate=("every: str = ''", "clf"))


def test_inputs_arrive_as_text_or_as_a_list_where_nothing_is_declared() -> None:
    prepare = plan(given={}).stages[0]
    assert prepare.values == {
        "raw": ["/data/1.csv", "/data/2.csv"],
        "flights": "/run/prepare/inputs/flights.parquet",
        "train": "/run/prepare/outputs/train.parquet",
    }
    assert plan(given={}, prepare=("raw = ''", "flights, train")).stages[0].values["raw"] == "/spec/data/*.csv"


@pytest.mark.parametrize(
    ("old", "new", "cells", "message"),
    [
        ("outputs: {train: train", "outputs: {trian: train", {}, None),
        ("x", "x", {"train": ("lr = 1\nseed = 1", "load('train'); save('clf', 1)")}, "'depth'.*has no such parameter"),
        ("x", "x", {"train": (CELLS["train"][0], "train = 1; use(train, clf)")}, "'train', but .* does not use it"),
        ("x", "x", {"evaluate": ("", "use(clf, evry)")}, "'every', but notebook .* does not use it\n.*'evry'"),
        ("lr: [0.05, 0.1]", "lr: [0.05, 3]", {}, "matrix of stage 'train': parameter 'lr': 3.0 must be at most 1"),
        ("lr: [0.05, 0.1]", "lr: [0.05, slow]", {}, "parameter 'lr': 'slow' is not a float"),
        ("depth: 2..3", "depth: [2, '2']", {}, "has the same values twice: train@lr=0.05,depth=2"),
        ("depth: 2..3", "depth: [2, b]", {}, "depth: 'b' is not an int"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_notebooks_is_refused(
    old: str, new: str, cells: dict[str, Any], message: str | None
) -> None:
    with pytest.raises(SpecError, match=message or "has no output 'train'\n.*'trian'"):
        plan(SPEC.replace(old, new), {}, **cells)


def test_the_errors_of_all_stages_are_reported_together() -> None:
    with pytest.raises(SpecError) as caught:
        plan(prepare=("", "raw, train"), train=("seed = 1\nlr: int = 1", "load('train')"), evaluate=("", "clf"))
    lines = [line for line in str(caught.value).splitlines() if line.startswith("/spec")]
    assert [line.split(" ")[0] for line in lines] == [
        f"{FILE}:{place}:" for place in ("8:40", "12:32", "14:20", "16:13", "19:49")
    ]


def test_a_secret_is_planned_by_the_name_of_its_variable() -> None:
    spec = parse_spec(SPEC.replace("seed: 42", "seed: 42\n  token: x").replace("[seed,", "[seed, token,"), FILE)
    secret = dataclasses.replace(spec.params["token"], secret="API_TOKEN")
    spec = dataclasses.replace(spec, params={**spec.params, "token": secret})
    cells = {**CELLS, "train": (CELLS["train"][0] + "\ntoken: str = ''", CELLS["train"][1])}
    notebooks = {
        f"{name}.ipynb": NotebookFacts(Path(name), parse_parameters(first), names=used_names([ast.parse(rest)]))
        for name, (first, rest) in cells.items()
    }

    def make(given: dict[str, Any]) -> Plan:
        return make_plan(spec, notebooks, lambda path: ([path], path), lambda stage: Path("/run") / stage, given)

    train = make({}).stages[1]
    assert train.secrets == {"token": "API_TOKEN"} and "token" not in train.values
    assert "token" not in make({}).params
    with pytest.raises(InvalidInput, match=r"is a secret, and cannot be given\n.*API_TOKEN"):
        make({"token": "abc"})


def test_a_chain_of_thousands_of_stages_is_planned() -> None:
    stages = ["  s0: {notebook: prepare.ipynb, outputs: {train: t}}"]
    stages += [
        f"  s{n}: {{notebook: prepare.ipynb, inputs: {{raw: s{n - 1}.train}}, outputs: {{train: t}}}}"
        for n in range(1, 2000)
    ]
    found = plan("version: 2\nstages:\n" + "\n".join(reversed(stages)), {}, prepare=("", "raw, train"))
    assert [stage.name for stage in found.stages] == [f"s{n}" for n in range(2000)]


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.dates(), st.lists(st.integers(), max_size=3)
)


@given_values(st.dictionaries(st.sampled_from(["lr", "depth", "x" * 90]), VALUES, min_size=1), st.data())
def test_the_name_of_an_instance_is_safe_bounded_and_different_for_different_values(
    matrix: dict[str, Any], data: st.DataObject
) -> None:
    name = instance_name("train", matrix)
    assert name.startswith("train@") and len(name.encode()) <= 128 and name.isprintable()
    assert not set(name) & set("/\\\0 \n:*?\"<>|'$`;&") and name.isascii()
    key = data.draw(st.sampled_from(list(matrix)))
    other = data.draw(VALUES)
    if (type(other), repr(other)) != (type(matrix[key]), repr(matrix[key])):
        assert instance_name("train", {**matrix, key: other}) != name


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.1, "0.1"), (1e-5, "1e-05"), (-3, "-3"), (True, "true"), (None, "null"), ("adam", "adam"), ("1", "%221%22"),
        ("a/b", "a%2Fb"), ("../x", "..%2Fx"), ("true", "%22true%22"), ("ä", "%C3%A4"), ("", "%22%22"),
    ],
)  # fmt: skip
def test_usual_values_are_readable_in_a_name(value: object, shown: str) -> None:
    assert instance_name("train", {"x": value}) == f"train@x={shown}"

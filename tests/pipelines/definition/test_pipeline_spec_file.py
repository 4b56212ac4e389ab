"""Specs of version 1 are read, and errors in them have file, line and column."""

from __future__ import annotations

import datetime
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.core.errors import SpecError
from mlops_workbench.core.gates import check_conditions
from mlops_workbench.pipelines.definition.file import read_spec
from mlops_workbench.pipelines.definition.nouns import InputSpec, OutputSpec, PipelineSpec, PublishSpec, StageParam

GOOD = """\
version: 1
description: flights, "all" of them
experiment: flight delays
params:
  seed: 42
  since: 2026-01-01
  months: {type: "list[int]", default: [1, 2, 3], help: months to train on, min: 1, max: 12}
  rate: {type: float, default: 1, min: 0}
  model: {type: choice, choices: [trees, linear], default: trees}
  folder: {type: path}
stages:
  prepare:
    notebook: prepare.ipynb
    params: [months, {share: 0.2}]
    inputs: {raw: ../data/*.csv}
    outputs:
      train: train.parquet
      test: parts/test.parquet
    timeout: 1h30m
    retries: 2
  train:
    notebook: train.ipynb
    params: {depth: 3}
    inputs: {data: prepare.train}
publish:
  stage: train
  as: flight-delays
  alias: champion
  gate: ["mae < baseline_mae", mae < 25]
"""


def spec(tmp_path: Path, text: str) -> PipelineSpec:
    file = tmp_path / "flights.yaml"
    file.write_text(dedent(text), encoding="utf-8")
    return read_spec(file)


def test_a_spec_is_read_with_types_defaults_and_lines(tmp_path: Path) -> None:
    found = spec(tmp_path, GOOD)
    assert (found.name, found.experiment) == ("flights", "flight delays")
    assert {name: (str(p.type), p.default) for name, p in found.params.items()} == {
        "seed": ("int", 42),
        "since": ("date", datetime.date(2026, 1, 1)),
        "months": ("list[int]", [1, 2, 3]),
        "rate": ("float", 1.0),
        "model": ("one of 'trees', 'linear'", "trees"),
        "folder": ("path", None),
    }
    assert found.params["folder"].required and not found.params["seed"].required
    assert type(found.params["rate"].default) is float
    prepare = found.stages["prepare"]
    assert prepare.params == {"months": StageParam(), "share": StageParam(0.2, False)}
    assert prepare.inputs == {"raw": InputSpec("file", "../data/*.csv")}
    assert prepare.outputs == {
        "train": OutputSpec("train.parquet", "table"),
        "test": OutputSpec("parts/test.parquet", "table"),
    }
    assert (prepare.timeout, prepare.retries.max) == (5400.0, 2)
    assert (prepare.place, prepare.at("notebook"), prepare.at("gate")) == ((12, 3), (13, 15), (12, 3))
    assert [param.place for param in prepare.params.values()] == [(14, 14), (14, 30)]
    assert [prepare.inputs["raw"].place, prepare.outputs["test"].place] == [(15, 19), (18, 13)]
    assert found.stages["train"].params == {"depth": StageParam(3, False)}
    publish = PublishSpec(
        "train",
        "flight-delays",
        alias="champion",
        gate=("mae < baseline_mae", "mae < 25"),
        metrics_from="train",
    )
    assert found.publish == publish


def test_experiment_is_the_name_of_the_pipeline_unless_given(tmp_path: Path) -> None:
    assert spec(tmp_path, "version: 1\nstages: {a: {notebook: a.ipynb}}").experiment == "flights"


@pytest.mark.parametrize(
    "text", ["mae < 0.9 * champion.mae and `val/r2` >= -1", 'metrics["val mae"] <= baseline["mae"]']
)
def test_a_condition_of_the_registry_is_one_here_too(tmp_path: Path, text: str) -> None:
    check_conditions([text])
    found = spec(tmp_path, STAGE + f"publish:\n  stage: a\n  as: m\n  gate:\n    - {text}")
    assert found.publish is not None and found.publish.gate == (text,)


STAGE = "version: 1\nstages:\n  a:\n    notebook: a.ipynb\n"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "is empty"),
        ("- a", 1, "must be a mapping, not a list"),
        ("version: 1\nstages: {a: [", 2, "not valid YAML"),
        ("version: 1\n\tstages: 1", 2, "not valid YAML"),
        ("stages: {a: {notebook: a.ipynb}}", 1, "lacks 'version'"),
        ("version: 3\nstages: {a: {notebook: a.ipynb}}", 1, "version must be 1 or 2"),
        ("version: 1", 1, "lacks 'stages'"),
        ("version: 1\nstages: {}", 2, "has no stage"),
        ("version: 1\nstages: 3", 2, "must be a mapping, not a whole number"),
        ("version: 1\nstage: {}\nstages: {a: {notebook: a.ipynb}}", 2, "unknown key 'stage'.*\n.*'stages'"),
        (STAGE + "    input: {}", 5, "unknown key 'input' in stage 'a'.*\n.*'inputs'"),
        (STAGE + "    cache: true", 5, "unknown key 'cache' in stage 'a'"),
        (STAGE + "    notebook: b.ipynb", 5, "'notebook' is given twice.*\n.*first on line 4"),
        (STAGE + "  b: {}", 5, "stage 'b' lacks 'notebook'"),
        (STAGE + "  b: {notebook: [1]}", 5, "notebook must be text, not a list"),
        (STAGE + "  b c: {notebook: b.ipynb}", 5, "'b c' cannot be the name of a stage"),
        (STAGE + "  3: {notebook: b.ipynb}", 5, "must be text, not a whole number"),
        (STAGE + "    timeout: soon", 5, "'soon' is not a duration"),
        (STAGE + "    timeout: -3", 5, "-3 is not a duration"),
        (STAGE + "    timeout: true", 5, "True is not a duration"),
        (STAGE + "    retries: many", 5, "retries must be a whole number"),
        (STAGE + "    params:\n      - seed\n      - seed", 7, "'seed' is given twice"),
        (STAGE + "    params:\n      - seed\n      - {seed: 1}", 7, "'seed' is given twice"),
        (STAGE + "    params: seed", 5, "must be a list, not text"),
        (STAGE + "    inputs: {lambda: x.csv}", 5, "'lambda' cannot be the name of one of the inputs"),
        (STAGE + "    params: [x]\n    inputs: {x: x.csv}", 6, "has 'x' in params and in inputs"),
        (STAGE + "    outputs:\n      m: ../m.txt", 6, "must be inside the stage's output folder"),
        (STAGE + "    outputs:\n      m: /m.txt", 6, "must be inside the stage's output folder"),
        (STAGE + "    outputs:\n      m: m.txt\n      n: ./m.txt", 7, "'m' and 'n' of stage 'a' are the same file"),
        (STAGE + "params: {x: {help: a}}", 5, "neither type nor default"),
        (STAGE + "params: {x: {type: integer}}", 5, "unknown type 'integer'"),
        (STAGE + "params: {x: {type: 'list[Frame]'}}", 5, "unknown type 'list.Frame.'"),
        (STAGE + "params: {x: {type: choice}}", 5, "lacks 'choices'"),
        (STAGE + "params:\n  x:\n    type: int\n    default: a", 8, "default of parameter 'x': 'a' is not an int"),
        (STAGE + "params:\n  x:\n    default: 5\n    max: 4", 7, "5 must be at most 4"),
        (STAGE + "params:\n  x:\n    default: a\n    max: 4", 8, "type str cannot have bounds"),
        (STAGE + "params:\n  x:\n    default: 5\n    max: b", 8, "a bound of type int cannot be text"),
        (STAGE + "params:\n  x: 2026-13-01", 6, "cannot be read: month must be in"),
        (STAGE + "params:\n  x: !!python/name:os.system", 6, "cannot be read"),
        (STAGE + "params:\n  not a name: 1", 6, "cannot be the name of a parameter"),
        (STAGE + "publish: {stage: a}", 5, "'publish' lacks 'as'"),
        (STAGE + "publish:\n  stage: a\n  as: my model", 7, "'my model' cannot be the name of a model"),
        (STAGE + "publish:\n  stage: a\n  as: m\n  gate: [mae]", 8, "'mae' is not a condition"),
        (STAGE + "publish:\n  stage: a\n  as: m\n  gate:\n    - mae <", 9, "'mae <' is not a condition"),
        (STAGE + "publish:\n  stage: a\n  as: m\n  gate:\n    - open('x') < 3", 9, "is not a condition"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        spec(tmp_path, text)
    assert str(caught.value.where).startswith(f"{tmp_path / 'flights.yaml'}:{line}:")


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nstages: " + "[" * 5000 + "]" * 5000,
        "\n".join(" " * level + "a:" for level in range(2000)),
        "- " * 3000,
        "version: 1\nstages: {a: {notebook: a.ipynb}}\n"
        "publish: {stage: a, as: m, gate: ['" + "-" * 50_000 + "mae < 1']}",
    ],
)
def test_endless_nesting_is_refused_with_a_short_message(tmp_path: Path, text: str) -> None:
    file = tmp_path / "deep.yaml"
    file.write_text(text)
    with pytest.raises(SpecError, match=r"nested|condition") as raised:
        read_spec(file)
    assert str(file) in str(raised.value.where)
    assert len(str(raised.value.message)) < 200


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError):
        read_spec(file)


@given(st.integers(0, len(GOOD)), st.integers(0, 40), st.text("-:{}[]'\"!&*#\n\t a1", max_size=6))
def test_any_damage_to_a_spec_is_read_or_refused_with_a_place(start: int, length: int, text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        try:
            spec(Path(folder), GOOD[:start] + text + GOOD[start + length :])
        except SpecError as error:
            assert error.where and "flights.yaml" in error.where

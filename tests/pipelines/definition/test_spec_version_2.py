"""Specs of version 2 are read whole, and what is wrong in them is named with its place and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.core.errors import SpecError
from mlops_workbench.pipelines.definition.file import parse_spec
from mlops_workbench.pipelines.definition.nouns import (
    CacheSpec,
    InputSpec,
    OutputSpec,
    PipelineSpec,
    PublishSpec,
    ResourceSpec,
    RetrySpec,
    StageParam,
    TriggerSpec,
)

FILE = Path("/specs/flights.yaml")
GOOD = """\
version: 2
description: churn of customers
params:
  seed: 42
  lr: {type: float, default: 0.1, min: 0, max: 1}
stages:
  prepare:
    notebook: prepare.ipynb
    inputs:
      raw: data/*.csv
      remote: s3://bucket/x.parquet
      flights: {dataset: flights@3}
      orders: {sql: "SELECT 1", connection: "secret:DB_URL"}
      local: {sql: "SELECT 2", connection: "sqlite:///data/orders.db"}
    outputs: {train: train.parquet, test: {path: test.bin, type: table}, plot: plot.svg, other: notes.txt}
  train:
    notebook: train.ipynb
    params: [seed, lr, {depth: 3}]
    inputs: {train: prepare.train}
    outputs: {clf: clf.skops}
    metrics: [auc, logloss]
    matrix: {lr: [0.05, 0.1], depth: 2..4}
    timeout: 1h30m
    retries: {max: 2, on: [timeout, kernel_died], backoff: 10s}
    resources: {cpu: 2, memory: 4GB, gpu: 0.5}
    cache: {ttl: 7d, ignore: [packages]}
  evaluate:
    notebook: evaluate.py
    inputs: {clf: "train.clf[best auc]", all: train.clf, least: "train.clf[min logloss]"}
    retries: 3
    cache: false
    gate: [auc >= 0.85, auc >= champion.auc - 0.005]
publish: {model: evaluate.clf, as: churn, alias: challenger, serve: true}
on:
  schedule:
    - {cron: "0 6  * * mon", timezone: Europe/Paris, catchup: false}
    - {cron: "*/5 * * * *"}
  change: data/raw/*.csv
  dataset: [a, b]
  pipeline: other
  webhook: {secret: HOOK_TOKEN}
  drift: {monitor: churn, metric: psi, above: 0.2, windows: 3, cooldown: 24h}
  metric: {monitor: churn, when: "auc < 0.80", over: 7d, cooldown: 0}
max_active: 2
"""


def read(text: str) -> PipelineSpec:
    return parse_spec(text, FILE)


def test_everything_that_a_spec_may_say_is_read() -> None:
    found = read(GOOD)
    assert (found.name, found.version, found.max_active, found.description) == ("flights", 2, 2, "churn of customers")
    prepare, train, evaluate = found.stages.values()
    assert prepare.inputs == {
        "raw": InputSpec("file", "data/*.csv"),
        "remote": InputSpec("url", "s3://bucket/x.parquet"),
        "flights": InputSpec("dataset", "flights@3"),
        "orders": InputSpec("sql", "SELECT 1", connection="secret:DB_URL"),
        "local": InputSpec("sql", "SELECT 2", connection="sqlite:///data/orders.db"),
    }
    assert prepare.outputs == {
        "train": OutputSpec("train.parquet", "table"),
        "test": OutputSpec("test.bin", "table"),
        "plot": OutputSpec("plot.svg", "figure"),
        "other": OutputSpec("notes.txt", "file"),
    }
    assert train.params == {"seed": StageParam(), "lr": StageParam(), "depth": StageParam(3, False)}
    assert train.matrix == {"lr": (0.05, 0.1), "depth": (2, 3, 4)}
    assert (train.metrics, train.timeout) == (("auc", "logloss"), 5400.0)
    assert train.retries == RetrySpec(2, ("kernel_died", "timeout"), 10.0)
    assert train.resources == ResourceSpec(2, 4_000_000_000, 0.5)
    assert train.cache == CacheSpec(True, 604800.0, ("packages",))
    assert train.outputs["clf"].type == "model"
    assert evaluate.inputs == {
        "clf": InputSpec("stage", "train", "clf", "max auc"),
        "all": InputSpec("stage", "train", "clf"),
        "least": InputSpec("stage", "train", "clf", "min logloss"),
    }
    assert (evaluate.retries.max, evaluate.cache.enabled) == (3, False)
    assert evaluate.gate == ("auc >= 0.85", "auc >= champion.auc - 0.005")
    assert found.publish == PublishSpec(
        "evaluate", "churn", model="clf", alias="challenger", serve=True, metrics_from="evaluate"
    )
    paris = {"cron": "0 6 * * mon", "timezone": "Europe/Paris", "catchup": "skip"}
    assert found.triggers == (
        TriggerSpec("schedule", paris),
        TriggerSpec("schedule", {"cron": "*/5 * * * *", "timezone": "UTC", "catchup": "skip"}),
        TriggerSpec("change", {"paths": ("data/raw/*.csv",)}),
        TriggerSpec("dataset", {"names": ("a", "b")}),
        TriggerSpec("pipeline", {"name": "other", "state": "succeeded"}),
        TriggerSpec("webhook", {"secret": "HOOK_TOKEN"}),
        TriggerSpec("drift", {"monitor": "churn", "metric": "psi", "above": 0.2, "windows": 3, "cooldown": 86400.0}),
        TriggerSpec("metric", {"monitor": "churn", "when": "auc < 0.80", "over": 604800.0, "cooldown": 0.0}),
    )


STAGE = "version: 2\nstages:\n  a:\n    notebook: a.ipynb\n"
TWO = """\
version: 2
stages:
  a: {notebook: a.ipynb, outputs: {m: m.skops, t: t.csv}, metrics: [auc]%s}
  b:
    notebook: b.ipynb
"""
MATRIX = TWO % ", params: {x: 1}, matrix: {x: [1, 2]}"


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (STAGE + "    metric: [auc]", "5:5", "unknown key 'metric' in stage 'a'\n.*'metrics'"),
        (STAGE + "    timeout:   soon", "5:16", "'soon' is not a duration\n.*write 90s"),
        (STAGE + "    timeout: ''", "5:14", "'' is not a duration"),
        (STAGE + "    matrix: {x: [1]}", "5:13", "has 'x', which is not one of its params"),
        (STAGE + "    params: {x: 1}\n    matrix: {x: 4..2}", "6:17", "the range 4..2 is empty\n.*2..4"),
        (STAGE + "    params: {x: 1}\n    matrix: {x: 1}", "6:17", "a list or a range, not a whole number"),
        (STAGE + "    params: {x: 1}\n    matrix: {x: []}", "6:17", "has no value"),
        (STAGE + "    params: {x: 1}\n    matrix: {x: [1, 2, 1]}", "6:24", "1 is given twice"),
        (STAGE + "    params: {x: 1}\n    matrix: {x: 1..20000}", "6:17", "20,000 values, more than 10,000"),
        (STAGE + "    params: {x: 1, y: 1}\n    matrix: {x: 1..101, y: 1..100}", "6:13", "10,100 instances"),
        (STAGE + "    metrics: [auc, auc]", "5:20", "'auc' is given twice"),
        (STAGE + "    retries: 11", "5:14", "a whole number from 0 to 10"),
        (STAGE + "    retries: {on: [timeout]}", "5:14", "lacks 'max'"),
        (STAGE + "    retries: {max: 1, on: [time_out]}", "5:28", "cannot be 'time_out'\n.*'timeout'"),
        (STAGE + "    retries: {max: 1, on: []}", "5:27", "names no cause"),
        (STAGE + "    resources: {memory: much}", "5:25", "'much' is not a size"),
        (STAGE + "    resources: {cpu: 0}", "5:22", "cpu must be above 0"),
        (STAGE + "    cache: {ignore: [code]}", "5:22", "cannot be 'code'\n.*known: packages, python"),
        (STAGE + "    cache: sometimes", "5:12", "cache must be true or false, not text"),
        (STAGE + "    gate: auc > 1", "5:11", "gate must be a list, not text"),
        (STAGE + "    gate: [auc]", "5:12", "'auc' is not a condition: each part must be a comparison"),
        (STAGE + "    gate: [auc > 1, open('x') > 1]", "5:21", "is not a condition"),
        (STAGE + "    metrics: [auc]\n    gate: [acu > 1]", "6:12", "'acu', which is not one of its metrics\n.*'auc'"),
        (STAGE + "    gate: [auc > champion.auc]", "5:12", "names the champion, but the pipeline publishes no model"),
        (STAGE + "    gate: [auc > baseline.auc]", "5:12", "names a baseline"),
        (STAGE + "    inputs: {x: {data: flights}}", "5:18", "unknown key 'data' in input 'x'\n.*'dataset'"),
        (STAGE + "    inputs: {x: {dataset: a@b@c}}", "5:27", "is not a data set"),
        (STAGE + "    inputs: {x: {sql: SELECT 1}}", "5:17", "lacks 'connection'"),
        (STAGE + "    inputs: {x: {sql: SELECT 1, connection: db}}", "5:45", "'db' is not a connection"),
        (STAGE + "    inputs: {x: {sql: S, connection: 'secret:A B'}}", "5:38", "name of an environment variable"),
        (STAGE + "    inputs: {x: {sql: S, connection: 'pg://me:pw@host/db'}}", "5:38", "a password\n.*secret:"),
        (STAGE + "    outputs: {x: {path: a.txt, type: tabel}}", "5:38", "type cannot be 'tabel'\n.*'table'"),
        (STAGE + "    outputs: {x: {path: ../a}}", "5:25", "inside the stage's output folder"),
        (TWO % "" + "    inputs: {x: 'a.m[max auc]'}", "6:17", "'a' has no matrix, so there is nothing to choose"),
        (MATRIX + "    inputs: {x: 'a.m[max acu]'}", "6:17", "has no metric 'acu' to choose by\n.*'auc'"),
        (MATRIX + "    inputs: {x: 'a.m[most auc]'}", "6:17", "'most' does not choose"),
        (MATRIX + "    inputs: {x: 'a.m[auc]'}", "6:17", "does not choose an instance of stage 'a'"),
        (MATRIX + "    inputs: {x: a.mm}", "6:17", "stage 'a' has no output 'mm'\n.*'m'"),
        (MATRIX + "publish: {model: a, as: m}", "6:18", "which has several because of its matrix"),
        (MATRIX + "publish: {model: a.m, as: m}", "6:18", "has a matrix, and so several models"),
        (MATRIX + "    inputs: {x: a.m}\npublish: {model: b.x, as: m}", "7:18", "the models of all instances of 'a'"),
        (TWO % "" + "publish: {model: a.t, as: m}", "6:18", "output 't' of stage 'a' is a table, not a model"),
        (TWO % "" + "publish: {model: a.n, as: m}", "6:18", "'a' has no input or output 'n'"),
        (TWO % "" + "publish: {model: c, as: m}", "6:18", "names an unknown stage 'c'"),
        (TWO % "" + "publish: {stage: a, as: m}", "6:10", "lacks 'model'.*(\n.*)*unknown key 'stage' in 'publish'"),
        (TWO % "" + "publish: {model: a, as: m, alias: latest}", "6:35", "'latest' cannot be an alias"),
        (STAGE + "on: {shedule: {}}", "5:6", "unknown key 'shedule' in 'on'\n.*'schedule'"),
        (STAGE + "on: {schedule: {cron: daily}}", "5:23", "does not have five parts"),
        (STAGE + "on: {schedule: {cron: 61 * * * *}}", "5:23", "not valid: Bad minute"),
        (STAGE + "on: {schedule: {cron: 0 0 30 2 *}}", "5:23", "not valid"),
        (STAGE + "on: {schedule: {cron: 0 0 * * *, timezone: Europe/Pariss}}", "5:44", "no time.*\n.*'Europe/Paris'"),
        (STAGE + "on: {schedule: {cron: 0 0 * * *, timezone: Europe}}", "5:44", "no time zone"),
        (STAGE + "on: {schedule: {cron: 0 0 * * *, catchup: always}}", "5:43", "catchup cannot be 'always'"),
        (STAGE + "on: {change: s3://b/x}", "5:14", "is not a path or pattern"),
        (STAGE + "on: {change: []}", "5:14", "is an empty list"),
        (STAGE + "on: {pipeline: flights}", "5:16", "start itself again and again"),
        (STAGE + "on: {webhook: {secret: 1A}}", "5:24", "name of an environment variable"),
        (STAGE + "on: {metric: {monitor: m, when: auc, over: 1d}}", "5:33", "is not a condition"),
        (STAGE + "max_active: 0", "5:13", "a whole number from 1"),
        (STAGE + "    params: [x]", "5:14", "takes 'x', which is not a parameter of the pipeline\n.*declare it"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_line_column_and_remedy(text: str, place: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        read(text)
    assert caught.value.where == f"{FILE}:{place}"


def test_all_errors_of_a_file_are_reported_in_its_order() -> None:
    text = STAGE + "    metric: [auc]\n    timeouts: 3\n  b: {notebook: [1], timeout: soon}\nmax_active: x\n"
    with pytest.raises(SpecError) as caught:
        read(text)
    lines = str(caught.value).splitlines()
    assert [line.partition(" ")[0] for line in lines if line.startswith("/")] == [
        f"{FILE}:{place}:" for place in ("5:5", "6:5", "7:17", "7:31", "8:13")
    ]
    assert lines[1] == "  hint: did you mean 'metrics'?" and lines[-1].startswith(
        "/specs/flights.yaml:8:13: max_active"
    )
    assert caught.value.where == f"{FILE}:5:5"


def test_the_word_on_is_a_key_wherever_it_stands() -> None:
    found = read(STAGE + "    retries: {max: 1, on: [timeout]}\non: {change: a.csv}\n")
    assert found.stages["a"].retries.on == ("timeout",) and found.triggers[0].kind == "change"


def test_equal_specs_are_equal_wherever_they_stand() -> None:
    moved = GOOD.replace("stages:", "\n# a comment\nstages:").replace("seed: 42", "seed:   42")
    first, second = read(GOOD), read(moved)
    assert first.stages == second.stages and first.triggers == second.triggers


@given(st.integers(0, len(GOOD)), st.integers(0, 40), st.text("-:{}[]'\"!&*#\n\t a1.<", max_size=6))
def test_any_damage_to_a_spec_is_read_or_refused_with_a_place(start: int, length: int, text: str) -> None:
    try:
        read(GOOD[:start] + text + GOOD[start + length :])
    except SpecError as error:
        assert error.where and "flights.yaml" in error.where

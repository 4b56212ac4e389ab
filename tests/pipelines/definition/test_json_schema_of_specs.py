"""The JSON Schema of specs says the same as the reader."""

from __future__ import annotations

import copy
import datetime
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mlops_workbench.core.errors import SpecError
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.definition.file import ROOT_KEYS, parse_spec
from mlops_workbench.pipelines.definition.schema import json_schema, write_schema
from mlops_workbench.pipelines.definition.stages import STAGE_KEYS
from mlops_workbench.pipelines.definition.triggers import TRIGGER_KINDS

SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)

FULL: dict[str, Any] = yaml.safe_load(
    """
version: 2
description: all that a spec may say
experiment: flights
params:
  seed: 42
  lr: {type: float, default: 0.1, min: 0, max: 1, help: learning rate}
  depth: 3
  since: 2026-01-01
  kind: {choices: [a, b], default: a}
stages:
  prepare:
    notebook: prepare.ipynb
    outputs: {train: train.parquet, test: {path: test.bin, type: table}}
  train:
    notebook: train.ipynb
    params: [seed, lr, {depth: 3}]
    inputs:
      train: prepare.train
      raw: data/*.csv
      remote: s3://bucket/x.parquet
      flights: {dataset: flights@3}
      orders: {sql: SELECT 1, connection: "secret:DB_URL"}
    outputs: {clf: {path: clf.skops, type: model}}
    metrics: [auc, logloss]
    matrix: {lr: [0.05, 0.1, 0.2], depth: 2..4}
    timeout: 30m
    retries: {max: 2, "on": [kernel_died, timeout], backoff: 10s}
    resources: {cpu: 2, memory: 4GB, gpu: 0}
    cache: {ttl: 7d, ignore: [packages]}
  evaluate:
    notebook: evaluate.ipynb
    params: {a: 1}
    inputs: {clf: "train.clf[max auc]"}
    retries: 2
    cache: false
    gate: [auc >= 0.85, auc >= champion.auc - 0.005]
publish: {model: evaluate.clf, as: churn, alias: challenger, serve: false}
"on":
  schedule: {cron: "0 6 * * 1", timezone: Europe/Paris, catchup: false}
  change: [data/raw/*.csv]
  dataset: flights
  pipeline: {name: other, state: succeeded}
  webhook: {secret: HOOK_TOKEN}
  drift: {monitor: churn, metric: psi, above: 0.2, windows: 3, cooldown: 24h}
  metric: {monitor: churn, when: auc < 0.80, over: 7d, cooldown: 24h}
  limits: {cooldown: 10m, per_day: 24}
max_active: 1
"""
)


def accepted(document: object) -> bool:
    try:
        parse_spec(yaml.safe_dump(document, allow_unicode=True), Path("/specs/flights.yaml"))
    except SpecError:
        return False
    return True


def valid(document: object) -> bool:
    # An editor reads a date as text.
    return bool(VALIDATOR.is_valid(json.loads(json.dumps(document, default=str))))


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += places(item, (*path, key))
    return found


def test_it_is_a_schema_and_takes_a_spec_with_everything() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert accepted(FULL) and valid(FULL)


def test_it_has_the_keys_of_the_reader_each_with_a_description() -> None:
    assert set(SCHEMA["properties"]) == set(ROOT_KEYS)
    stage = SCHEMA["definitions"]["stage"]
    assert set(stage["properties"]) == set(STAGE_KEYS)
    assert set(SCHEMA["properties"]["on"]["properties"]) == {*TRIGGER_KINDS, "limits"}
    for name, entry in [*SCHEMA["properties"].items(), *stage["properties"].items()]:
        assert entry.get("description") or name == "stages", name


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 20_000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.dates(datetime.date(2000, 1, 1), datetime.date(2100, 1, 1)),
    st.sampled_from(
        ["", "a", "train", "prepare.train", "auc < 1", "auc", "2..4", "4..2", "x y", "30m", "1h 2m", "4GB", "4 GB",
         "1e3", "0 6 * * 1", "secret:X", "secret:", "model", "all", "on", "http://x", "lambda", "1a", "a-b", "ä"]
    ),
    st.text(max_size=4),
    st.just([]), st.just({}), st.just([1]), st.just(["a"]), st.just([None]), st.just({"a": 1}), st.just({"on": 1}),
    st.just({"max": 1}), st.just({"dataset": "x"}), st.just({"type": "int"}), st.just({"path": "a"}), st.just([["a"]]),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_the_reader_accepts_is_valid_and_what_is_invalid_is_refused(data: st.DataObject) -> None:
    document = copy.deepcopy(FULL)
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(places(document)[1:]))
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        match data.draw(st.sampled_from(["replace", "replace", "remove", "add"])):
            case "replace":
                parent[path[-1]] = copy.deepcopy(data.draw(ODD))
            case "remove":
                del parent[path[-1]]
            case _ if isinstance(parent, dict):
                keys = st.sampled_from(
                    ["on", "path", "x", "type", "default", "max", "metrics", "state", "a b", "ä", "1"]
                )
                parent[data.draw(keys)] = copy.deepcopy(data.draw(ODD))
            case _:
                parent.append(copy.deepcopy(data.draw(ODD)))
        assume(isinstance(document, dict) and document)
    if accepted(document):
        assert valid(document), list(VALIDATOR.iter_errors(json.loads(json.dumps(document, default=str))))


@pytest.mark.parametrize("path", [path for path in places(FULL) if path], ids=str)
def test_wrong_values_are_refused_by_both(path: tuple[Any, ...]) -> None:
    document = copy.deepcopy(FULL)
    parent: Any = document
    for key in path[:-1]:
        parent = parent[key]
    if path[0] == "params" or path[-1] in ("a", "depth") or "matrix" in path:
        return  # values of any kind are allowed
    parent[path[-1]] = [[{"no": "such"}]]
    assert not accepted(document) and not valid(document)


def test_it_is_written_into_the_workspace(workspace: Workspace) -> None:
    assert json.loads(write_schema(workspace).read_text()) == SCHEMA

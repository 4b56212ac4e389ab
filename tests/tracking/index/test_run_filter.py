"""Filters in MLflow's language select the runs that MLflow selects, and an error names its place."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from recorder import Recorder

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.records import Column, Dataset, Metrics, Params
from mlops_workbench.core.wire.json_numbers import real_number
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest, ReadIndex
from mlops_workbench.tracking.index.filter import Condition, parse_filter
from mlops_workbench.tracking.mapping.values import finite

START = 1_700_000_000_000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> Iterator[tuple[ReadIndex, MlflowClient]]:
    """Forty runs of all sorts, in the index and in MLflow."""
    workspace = Workspace.init(tmp_path_factory.mktemp("fi lter"))
    shutil.copyfile(mlflow_database, workspace.state / "mlflow.db")
    recorder = Recorder(workspace)
    for number in range(40):
        tags = {"team": ["ann", "Ann", "bob", "bob's"][number % 4]} if number % 5 else {}
        if number % 7 == 0:
            tags["data/set name"] = f"v{number}"
        uid = recorder.start(
            ["boosted", "Boosted", "forest", "f_rest%"][number % 4], "a", start_ms=START + number * 1000, tags=tags
        )
        params = {"depth": number % 8, "rate": 0.1 * (number % 3), "model": "tree" if number % 2 else "6"}
        if number % 6 == 0:
            params["only some"] = "x"
        recorder.put(Params(uid, params))
        auc = {3: math.nan, 4: math.inf, 5: -math.inf}.get(number, number / 40)
        recorder.put(Metrics(uid, START, 0, {"auc": auc, "f1/weighted": number % 10 / 10}))
        if number % 3:
            recorder.put(Metrics(uid, START, number, {"late": float(number)}))
        if number % 4 == 0:
            recorder.put(
                Dataset(
                    uid,
                    f"flights {number % 3}",
                    "training" if number % 8 else "test",
                    f"d{number}" * 4,
                    10,
                    [Column("x", "double")],
                )
            )
        if number % 9:
            recorder.end(uid, ["FINISHED", "FAILED", "KILLED"][number % 3])
    recorder.close()
    with Ingest(workspace) as ingest:
        ingest.drain(timeout=120)
        yield ingest.index, MlflowClient(ingest.store.uri, ingest.store.uri)


def _both(store: tuple[ReadIndex, MlflowClient], text: str) -> tuple[set[str], set[str]]:
    index, client = store
    experiment = client.get_experiment_by_name("a")
    theirs = {run.info.run_id for run in client.search_runs([experiment.experiment_id], text, max_results=1000)}
    return {run.uid for run in index.runs("a", filter=text, limit=1000)}, theirs


FILTERS = [
    "metrics.auc > 0.5",
    "metrics.auc >= 0.5 and metrics.auc <= 0.75",
    "metric.auc < 0.2",
    "metrics.auc = 0.25",
    "metrics.auc != 0.25",
    "metrics.auc = 0",
    "metrics.auc > 1e300",
    "metrics.auc < -1e300",
    "metrics.auc > -.5",
    "metrics.`f1/weighted` > 0.4",
    'metrics."f1/weighted" > 0.4',
    "metrics.missing > 0",
    "params.depth = '6'",
    'param.depth != "6"',
    "params.model = 'tree' AND metrics.auc > 0.3",
    "parameters.model LIKE 'tr%'",
    "params.model LIKE 'TR%'",
    "params.model ILIKE 'TR%'",
    "params.`only some` = 'x'",
    "params.`only some` IS NULL",
    "params.`only some` is not null",
    "tags.team = 'ann'",
    "tags.team != 'ann'",
    "tag.team ILIKE 'ANN'",
    "tags.team = \"bob's\"",
    "tags.`data/set name` LIKE 'v%'",
    "tags.team IS NULL",
    "tags.mlflow.user = 'ann'",
    "tags.`mlflow.runName` = 'forest'",
    "tags.`mlops.kind` = 'run'",
    "attributes.status = 'FINISHED'",
    "status != 'FINISHED'",
    "status LIKE 'F%'",
    "attributes.run_name = 'boosted'",
    "run_name LIKE '%oosted'",
    "attr.run_name ILIKE 'BOOST%'",
    "attributes.`run name` = 'forest'",
    "run_name LIKE 'f_rest%'",
    f"attributes.start_time > {START + 20_000}",
    f"start_time <= {START + 20_000} and end_time > 0",
    f"attributes.created = {START + 3000}",
    "user_id = 'ann'",
    "datasets.name = 'flights 1'",
    "dataset.name LIKE 'flights%'",
    "datasets.context = 'test'",
    "datasets.name IN ('flights 0', 'flights 2')",
    "dataset.digest = 'd8d8d8d8'",
    "  metrics.auc>0.5   and\n params.model='tree'  ",
    "",
]  # fmt: skip


@pytest.mark.parametrize("text", FILTERS)
def test_a_filter_gives_the_same_runs_as_in_mlflow(store: tuple[ReadIndex, MlflowClient], text: str) -> None:
    ours, theirs = _both(store, text)
    assert ours == theirs


def test_the_filters_of_the_table_select_different_runs(store: tuple[ReadIndex, MlflowClient]) -> None:
    sizes = [len(store[0].runs("a", filter=text, limit=1000)) for text in FILTERS]
    assert sum(0 < size < 40 for size in sizes) > 35


@given(
    st.lists(
        st.one_of(
            st.builds(
                "metrics.{} {} {}".format,
                st.sampled_from(["auc", "late", "`f1/weighted`"]),
                st.sampled_from([">", ">=", "<", "<=", "=", "!="]),
                st.one_of(st.integers(-1, 40), st.floats(-1, 40, allow_nan=False).map(lambda x: f"{x:.3f}")),
            ),
            st.builds(
                "{} {} '{}'".format,
                st.sampled_from(["params.depth", "params.model", "params.rate", "tags.team", "run_name", "status"]),
                st.sampled_from(["=", "!=", "LIKE", "ILIKE"]),
                st.sampled_from(["6", "tree", "ann", "%ANN%", "b%", "Boosted", "f_rest%", "FINISHED", "0.1", "", "_%"]),
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_any_conjunction_gives_the_same_runs_as_in_mlflow(
    store: tuple[ReadIndex, MlflowClient], conditions: list[str]
) -> None:
    ours, theirs = _both(store, " AND ".join(conditions))
    assert ours == theirs


@pytest.mark.parametrize("name", ["metrics.auc", "metrics.late", "metrics.missing", "attributes.start_time"])
@pytest.mark.parametrize("descending", [True, False])
def test_runs_come_in_the_order_of_mlflow(store: tuple[ReadIndex, MlflowClient], name: str, descending: bool) -> None:
    index, client = store
    experiment = client.get_experiment_by_name("a")
    theirs = client.search_runs([experiment.experiment_id], order_by=[f"{name} {'DESC' if descending else 'ASC'}"])
    key = name.partition(".")[2]

    def values(found: list[tuple[dict[str, float], str]]) -> list[object]:
        # Those without a value (NaN has none here) are all last, in whatever order.
        if name == "attributes.start_time":
            return [uid for _, uid in found]
        return [metrics[key] if key in metrics and not math.isnan(metrics[key] or 0) else None for metrics, _ in found]

    ours = [
        ({k: finite(real_number(v or 0)) for k, v in run.metrics.items()}, run.uid)
        for run in index.runs("a", order_by=name, descending=descending, limit=1000)
    ]
    assert values(ours) == values([(run.data.metrics, run.info.run_id) for run in theirs])
    # Pages join without a gap, wherever they are cut.
    whole = [uid for _, uid in ours]
    for size in (7, 39):
        pages = [
            run.uid
            for start in range(0, 40, size)
            for run in index.runs("a", order_by=name, descending=descending, limit=size, offset=start)
        ]
        assert pages == whole


def test_numbers_compare_with_parameters_as_numbers(store: tuple[ReadIndex, MlflowClient]) -> None:
    index, _ = store

    def depths(text: str) -> list[str]:
        return sorted({run.params["depth"] for run in index.runs("a", filter=text, limit=1000)})

    assert depths("params.depth = 6") == depths("params.depth = 6.0") == ["6"]
    assert depths("params.depth >= 6") == ["6", "7"]
    assert depths("params.depth != 6") == ["0", "1", "2", "3", "4", "5", "7"]
    assert depths("params.depth IN (1, 2.0)") == ["1", "2"]
    assert depths("params.depth NOT IN (1, 2, 3, 4, 5, 6)") == ["0", "7"]
    # Text is no number, and is not equal to one.
    assert {run.params["model"] for run in index.runs("a", filter="params.model = 6", limit=1000)} == {"6"}
    assert {run.params["model"] for run in index.runs("a", filter="params.model != 6", limit=1000)} == {"tree"}
    assert {run.status for run in index.runs("a", filter="status IN ('FAILED', 'KILLED')")} == {"FAILED", "KILLED"}
    assert index.runs("a", filter="experiment = 'a' and duration >= 0 and params.depth = 3 and kind = 'run'")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("metrics.auc", "operator after 'metrics.auc' is missing", "LIKE"),
        ("metrics.auc >", "value after > is missing", "number"),
        ("metrics.auc > 'high'", "is text", "without quotes"),
        ("metrics.auc LIKE 'a'", "has no LIKE", ">="),
        ("params.model = tree", "'tree' is not a value", "'tree'"),
        ("params.model > 'tree'", "has no >", "number"),
        ("tags.fold > 3", "has no >", "LIKE"),
        ("metric.auc > 1 or metric.auc < 0", "'or' is not expected", "AND"),
        ("statsu = 'FINISHED'", "no attribute 'statsu'", "status"),
        ("metrcs.auc > 1", "runs have no 'metrcs'", "metrics"),
        ("status = FINISHED", "not a value", "'FINISHED'"),
        ("tags.team = 'ann", "not closed", "close"),
        ("datasets.size = 'a'", "no 'size'", "name"),
        ("params.x IN ('a' 'b')", "not expected in a list", ","),
        ("params.x IN 'a'", "does not begin a list", "IN ('a', 'b')"),
        ("= 3", "is not a name", "metrics.NAME"),
        ("start_time > 'yesterday'", "is text", "number"),
        ("metrics.auc > 0.8; drop table runs", "is not allowed here", "backquotes"),
    ],
)
def test_an_error_has_its_place_and_what_to_write(text: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_filter(text)
    assert message in caught.value.message
    assert caught.value.where is not None and "character" in caught.value.where
    assert hint in (caught.value.hint or "")


@given(st.text(max_size=60))
@settings(max_examples=300)
def test_any_text_is_a_filter_or_an_error(text: str) -> None:
    try:
        found = parse_filter(text)
    except InvalidInput:
        return
    assert all(isinstance(condition, Condition) for condition in found)


def test_an_invalid_order_is_refused(store: tuple[ReadIndex, MlflowClient]) -> None:
    with pytest.raises(InvalidInput, match="cannot be ordered by 'accuracy'"):
        store[0].runs(order_by="accuracy")
    with pytest.raises(InvalidInput, match="data sets"):
        store[0].runs(order_by="datasets.name")

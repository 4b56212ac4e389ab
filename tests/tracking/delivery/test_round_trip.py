"""Plain MLflow reads everything that is journalled."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from recorder import Recorder, flights

from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Column, Dataset, Metrics, Params, Tags, big_int
from mlops_workbench.tracking import Ingest


@pytest.fixture
def client(ingest: Ingest) -> MlflowClient:
    return MlflowClient(ingest.store.uri, ingest.store.uri)


def test_plain_mlflow_reads_a_whole_run(ingest: Ingest, client: MlflowClient, tmp_path: Path) -> None:
    recorder = Recorder(ingest.workspace)
    at = now_ms()
    uid = recorder.start("boosted", "flüge", source="x = 1\n", notebook="a.ipynb", cell_id="c1", tags={"team": "ä"})
    recorder.put(
        Params(uid, {"max_depth": 6, "loss": "squared_error", "grid": [1, 2], "none": None, "on": True}),
        *(Metrics(uid, at + step, step, {"mae": 10.0 - step}) for step in range(5)),
        Tags(uid, {"note": "a **good** one"}),
        Dataset(uid, "train", "training", "ab" * 32, 1000, [Column("x", "double")], "flights.parquet"),
    )
    recorder.artifact(uid, "plots/roc curve.png", b"png")
    recorder.end(uid, output="done\n")
    ingest.drain(uid)

    experiment = client.get_experiment_by_name("flüge")
    found = client.search_runs([experiment.experiment_id])
    assert len(found) == 1
    run = found[0]
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "boosted"
    assert run.data.params == {
        "max_depth": "6", "loss": "squared_error", "grid": "[1, 2]", "none": "None", "on": "True",
    }  # fmt: skip
    assert run.data.metrics == {"mae": 6.0}
    history = client.get_metric_history(run.info.run_id, "mae")
    assert [(m.step, m.value, m.timestamp) for m in history] == [(s, 10.0 - s, at + s) for s in range(5)]
    tags = run.data.tags
    assert tags["mlops.run_uid"] == uid
    assert tags["team"] == "ä"
    assert tags["mlflow.note.content"] == "a **good** one"
    assert (tags["mlflow.source.type"], tags["mlflow.source.name"], tags["mlflow.user"]) == (
        "NOTEBOOK",
        "a.ipynb",
        "ann",
    )
    dataset = run.inputs.dataset_inputs[0]
    assert (dataset.dataset.name, dataset.dataset.digest, dataset.tags[0].value) == (
        "train",
        ("ab" * 32)[:36],
        "training",
    )
    for path, text in {"code/cell.py": "x = 1\n", "logs/output.txt": "done\n", "plots/roc curve.png": "png"}.items():
        assert Path(client.download_artifacts(run.info.run_id, path, str(tmp_path))).read_text() == text

    seen = ingest.index.find("boosted")
    assert (seen.uid, seen.run_id, seen.params["max_depth"], seen.metrics) == (uid, run.info.run_id, "6", {"mae": 6.0})
    detail = ingest.index.detail(uid)
    assert [(p.step, p.value) for p in detail.history["mae"]] == [(s, 10.0 - s) for s in range(5)]
    assert detail.source == "x = 1\n"
    assert [a.path for a in detail.artifacts] == ["plots/roc curve.png"]


def test_values_that_mlflow_refuses_lose_nothing_and_block_nothing(ingest: Ingest, client: MlflowClient) -> None:
    recorder = Recorder(ingest.workspace)
    uid = recorder.start()
    long = "x" * 7000
    recorder.put(
        Params(uid, {"depth": 3, "long": long, "odd(name)": 1, "nul": "a\x00b"}),
        Params(uid, {"depth": 4}),
        Params(uid, {"depth": 5}),
        Metrics(uid, 1, 0, {"nan": math.nan, "inf": math.inf, "f1@k": 0.5, "../up": 1.0, "good": 2.0, "": 7.0}),
        Metrics(uid, -5, 7, {"good": 3.0}),
        Tags(uid, {"odd<tag>": "kept", "long": long * 2}),
    )
    recorder.end(uid)
    ingest.drain(uid)

    run = client.get_run(ingest.index.find(uid).run_id)
    params, metrics, tags = run.data.params, run.data.metrics, run.data.tags
    names = {value: key.removeprefix("mlops.name.") for key, value in tags.items() if key.startswith("mlops.name.")}
    assert params["depth"] == "3"
    assert (tags["mlops.param.depth.2"], tags["mlops.param.depth.3"]) == ("4", "5")
    assert params[names["odd(name)"]] == "1"
    assert params["nul"] == "a\\x00b"
    assert math.isnan(metrics["nan"])
    assert metrics["inf"] > 1e308
    assert tags["mlops.metric.inf"] == "inf"
    assert (metrics[names["f1@k"]], metrics[names["../up"]], metrics[names[""]]) == (0.5, 1.0, 7.0)
    assert metrics["good"] == 3.0
    assert tags[names["odd<tag>"]] == "kept"
    for path, size in {"mlops/params/long.txt": 7000, "mlops/tags/long.txt": 14000}.items():
        assert Path(client.download_artifacts(run.info.run_id, path)).read_text() == long * (size // 7000)
    assert run.info.status == "FINISHED"
    assert ingest.refused() == []


def test_numbers_out_of_range_of_a_database_are_recorded_and_block_nothing(
    ingest: Ingest, client: MlflowClient
) -> None:
    recorder = Recorder(ingest.workspace)
    uid = recorder.start()
    huge, astronomic = big_int(-(10**400)), big_int(10**5000)
    recorder.put(
        Metrics(uid, 1, 2**64 - 1, {"huge": huge, "good": 1.0}),
        Params(uid, {"seed": astronomic, "seeds": [astronomic]}),
    )
    recorder.end(uid)
    ingest.drain(uid)

    seen = ingest.index.find(uid)
    data = client.get_run(seen.run_id).data
    assert (data.metrics["huge"], data.metrics["good"]) == (-sys.float_info.max, 1.0)
    assert int(data.tags["mlops.metric.huge"]) == -(10**400)
    assert int(data.params["seed"], 16) == 10**5000
    assert seen.metrics["good"] == 1.0
    assert ingest.refused() == []


def test_a_record_that_no_one_can_use_is_noted_and_the_rest_arrives(ingest: Ingest, client: MlflowClient) -> None:
    recorder = Recorder(ingest.workspace)
    uid = recorder.start()
    recorder.put(Metrics(uid, 1, 0, {"odd": "no number"}), Metrics(uid, 1, 0, {"good": 1.0}))
    recorder.end(uid)
    ingest.drain(uid)

    seen = ingest.index.find(uid)
    assert (seen.status, seen.metrics) == ("FINISHED", {"good": 1.0})
    assert client.get_run(seen.run_id).data.metrics == {"good": 1.0}
    assert [(run, what.partition(" ")[0]) for run, what, _ in ingest.refused()] == [(uid, "Metrics")]


def test_an_artifact_without_its_bytes_is_noted_and_the_rest_arrives(ingest: Ingest, client: MlflowClient) -> None:
    recorder = Recorder(ingest.workspace)
    uid = recorder.start()
    recorder.artifact(uid, "gone.txt", b"gone")
    ingest.workspace.blobs.path(ingest.workspace.blobs.put_bytes(b"gone")).unlink()
    recorder.artifact(uid, "there.txt", b"there")
    recorder.end(uid)
    ingest.drain(uid)
    run_id = ingest.index.find(uid).run_id
    assert client.get_run(run_id).info.status == "FINISHED"
    assert "there.txt" in {item.path for item in client.list_artifacts(run_id)}
    assert [(u, what) for u, what, _ in ingest.refused()] == [(uid, "artifact gone.txt")]


def test_a_run_deleted_in_mlflow_stays_deleted_and_blocks_nothing(ingest: Ingest, client: MlflowClient) -> None:
    recorder = Recorder(ingest.workspace)
    uid, other = recorder.start("deleted"), recorder.start("other")
    ingest.drain()
    client.delete_run(ingest.index.find(uid).run_id)
    recorder.put(*(Metrics(u, now_ms(), 1, {"mae": 1.0}) for u in (uid, other)))
    recorder.end(other)
    ingest.drain()
    assert client.get_run(ingest.index.find(other).run_id).data.metrics == {"mae": 1.0}
    assert client.get_run(ingest.index.find(uid).run_id).info.lifecycle_stage == "deleted"


def test_parents_and_children_meet_whatever_order_their_files_are_read_in(ingest: Ingest, client: MlflowClient) -> None:
    kernel, runner = Recorder(ingest.workspace), Recorder(ingest.workspace)
    parent = runner.start("pipeline", kind="pipeline")
    stage = runner.start("train", kind="stage", parent_uid=parent)
    # The kernel's file sorts first, and it knows of the run only by its uid.
    kernel.put(Metrics(stage, now_ms(), 0, {"mae": 1.0}))
    own = kernel.start("own", parent_uid=parent)
    kernel.end(own)
    kernel.close()
    runner.end(stage)
    runner.end(parent)
    ingest.drain()
    runs = {name: client.get_run(ingest.index.find(name).run_id) for name in ("pipeline", "train", "own")}
    for child in ("train", "own"):
        assert runs[child].data.tags["mlflow.parentRunId"] == runs["pipeline"].info.run_id
    assert runs["train"].data.metrics == {"mae": 1.0}
    assert {run.name for run in ingest.index.detail(parent).children} == {"train", "own"}


def _estimators() -> dict[str, tuple[object, bool, str]]:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    def encoder() -> object:
        return ColumnTransformer(
            [("text", OneHotEncoder(handle_unknown="ignore"), ["carrier"])], remainder=SimpleImputer()
        )

    return {
        "forest": (RandomForestRegressor(5, random_state=0), False, "skops"),
        "boosting": (HistGradientBoostingRegressor(max_iter=5), False, "skops"),
        "pipeline": (make_pipeline(encoder(), RandomForestRegressor(5, random_state=0)), True, "skops"),
        "classifier": (make_pipeline(encoder(), LogisticRegression()), True, "skops"),
        "pickled": (RandomForestRegressor(5, random_state=0), False, "cloudpickle"),
    }


@pytest.mark.parametrize("kind", list(_estimators()))
def test_plain_mlflow_loads_the_model_and_it_answers_as_the_fitted_one(
    kind: str, ingest: Ingest, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimator, strings, format = _estimators()[kind]
    frame = flights() if strings else flights()[["distance", "delay"]].fillna(0.0)
    target = flights()["distance"].to_numpy() * 3
    labels = np.where(target > 0, "late", "on time") if kind == "classifier" else target
    estimator.fit(frame, labels)  # type: ignore[attr-defined]
    expected = estimator.predict(frame)  # type: ignore[attr-defined]

    recorder = Recorder(ingest.workspace)
    uid = recorder.start()
    recorder.put(Params(uid, {"kind": kind}), Metrics(uid, now_ms(), 0, {"mae": 1.5}))
    recorder.model(uid, estimator, frame, "my.model", format)
    recorder.end(uid)
    ingest.drain(uid)
    assert ingest.refused() == []

    run = ingest.index.find(uid)
    logged = ingest.index.model(uid)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", ingest.store.uri)
    mlflow.set_tracking_uri(ingest.store.uri)
    try:
        for uri in (f"models:/{logged.model_id}", f"runs:/{run.run_id}/my_model"):
            assert (mlflow.sklearn.load_model(uri).predict(frame) == expected).all()
        served = mlflow.pyfunc.load_model(f"models:/{logged.model_id}")
        assert (np.asarray(served.predict(frame)) == expected).all()
        assert [c.name for c in served.metadata.get_input_schema()] == list(frame.columns)
        assert served.metadata.load_input_example(f"models:/{logged.model_id}").shape == (3, frame.shape[1])
    finally:
        mlflow.set_tracking_uri(None)
    model = client.get_logged_model(logged.model_id)
    assert (model.status, model.source_run_id, model.params["kind"]) == ("READY", run.run_id, kind)
    assert [(m.key, m.value) for m in model.metrics] == [("mae", 1.5)]
    assert [o.model_id for o in client.get_run(run.run_id).outputs.model_outputs] == [logged.model_id]

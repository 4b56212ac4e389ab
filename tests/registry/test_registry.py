"""Versions, gates and export on a real MLflow store."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from recorder import Recorder
from sklearn.tree import DecisionTreeRegressor

from mlops_workbench.core.errors import InvalidInput, NotFound, StorageError, Unavailable
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.manifest import read_manifest
from mlops_workbench.core.models import GateResult
from mlops_workbench.core.records import Metrics, Params
from mlops_workbench.core.runs import Run
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.registry import Registry
from mlops_workbench.tracking import Ingest, ReadIndex
from mlops_workbench.tracking.mlflow.registry import RegistryStore

X = pd.DataFrame({"distance": np.arange(40.0), "hour": np.arange(40) % 24})


@dataclass
class House:
    """A workspace with a registry and runs to register."""

    ingest: Ingest
    registry: Registry
    recorder: Recorder

    def run(self, name: str, mae: float, depth: int = 2) -> Run:
        uid = self.recorder.start(name)
        self.recorder.put(Params(uid, {"depth": depth}), Metrics(uid, now_ms(), 0, {"mae": mae}))
        self.recorder.model(uid, DecisionTreeRegressor(max_depth=depth).fit(X, X["distance"]), X)
        self.recorder.end(uid)
        self.ingest.drain(uid)
        return self.ingest.index.find(uid)


@pytest.fixture
def house(stored_workspace: Workspace) -> Iterator[House]:
    with Ingest(stored_workspace) as ingest:
        yield House(ingest, Registry(ingest.store, ingest.index, stored_workspace), Recorder(stored_workspace))


def test_a_run_becomes_a_version_that_plain_mlflow_serves(house: House) -> None:
    run = house.run("tree", 1.5, depth=3)
    made = house.registry.register(run, "flight-delays")
    house.registry.store.set_alias("flight-delays", "champion", made.version)
    version = house.registry.version("flight-delays", 1)
    assert (version.version, version.run_uid, version.run_id, version.aliases) == (1, run.uid, run.run_id, ["champion"])
    assert (version.metrics, version.params) == ({"mae": 1.5}, {"depth": "3"})
    assert [(c.name, c.dtype, c.required) for c in version.inputs] == [
        ("distance", "double", True),
        ("hour", "long", True),
    ]
    assert [c.dtype for c in version.outputs] == ["double"]
    assert (version.estimator, version.format) == ("DecisionTreeRegressor", "skops")
    assert [(m.name, m.latest, m.aliases) for m in house.registry.models()] == [("flight-delays", 1, {"champion": 1})]

    mlflow.set_tracking_uri(house.ingest.store.uri)
    try:
        loaded = mlflow.sklearn.load_model("models:/flight-delays@champion")
        served = mlflow.pyfunc.load_model("models:/flight-delays/1")
    finally:
        mlflow.set_tracking_uri(None)
    expected = DecisionTreeRegressor(max_depth=3).fit(X, X["distance"]).predict(X)
    assert (loaded.predict(X) == expected).all()
    assert (served.predict(X) == expected).all()


def test_the_same_model_is_registered_once(house: House) -> None:
    first, second = house.run("a", 2.0), house.run("b", 1.0)
    assert house.registry.register(first, "m").version == 1
    assert house.registry.register(second, "m").version == 2
    assert house.registry.register(first, "m").version == 1
    assert [version.version for version in house.registry.versions("m")] == [2, 1]
    assert house.registry.register(first, "other").version == 1


def test_a_refused_registration_says_what_to_do(house: House) -> None:
    uid = house.recorder.start("bare")
    house.recorder.end(uid)
    house.ingest.drain(uid)
    bare = house.ingest.index.find(uid)
    with pytest.raises(NotFound, match="log_model"):
        house.registry.register(bare, "m")
    with pytest.raises(InvalidInput, match="for example 'a-b'"):
        house.registry.register(bare, "a/b")
    run = house.run("tree", 1.0)
    with pytest.raises(NotFound, match="did you mean 'model'"):
        house.registry.register(run, "m", "modle")
    assert house.registry.models() == []


def test_a_model_that_is_not_delivered_yet_can_be_tried_later(house: House) -> None:
    uid = house.recorder.start("early")
    house.recorder.model(uid, DecisionTreeRegressor().fit(X, X["hour"]), X)
    house.ingest._index_step()
    index = ReadIndex(house.ingest.workspace.index)
    with pytest.raises(Unavailable, match="not in MLflow yet"):
        house.registry.register(index.find(uid), "m")
    house.ingest.drain(uid)
    assert house.registry.register(index.find(uid), "m").version == 1


def test_references_resolve_or_name_the_nearest(house: House) -> None:
    run, better = house.run("a", 2.0), house.run("b", 1.0)
    for some in (run, better):
        house.registry.register(some, "flights")
    resolve = house.registry.resolve
    assert resolve("flights") == ("flights", 2)
    house.registry.store.set_alias("flights", "champion", 1)
    assert resolve("flights") == resolve("flights@champion") == resolve("flights/1") == ("flights", 1)
    assert resolve("models:/flights/2") == ("flights", 2)
    for ref, told in {
        "flihgts": "did you mean 'flights'", "flights@champ": "did you mean 'champion'",
        "flights/9": "newest version is 2",
    }.items():  # fmt: skip
        with pytest.raises(NotFound, match=told):
            resolve(ref)
    for wrong in ("flights/x", "flights/" + "9" * 5000):
        with pytest.raises(InvalidInput, match="name/3"):
            resolve(wrong)
    for version in (0, -1, 10**20):
        with pytest.raises(NotFound, match="newest version is 2"):
            house.registry.version("flights", version)


def test_a_gate_is_kept_with_the_version(house: House) -> None:
    first, second = house.run("a", 2.0), house.run("b", 1.0)
    for run in (first, second):
        house.registry.register(run, "m")
    conditions = ["mae < 0.9 * baseline.mae", "mae <= champion.mae"]
    result, champion = house.registry.evaluate_gate("m", 1, conditions, baseline={"mae": 3.0})
    assert champion == 0
    assert result.passed
    assert [check.detail for check in result.checks] == ["2 < 2.7", "no champion yet"]
    house.registry.store.set_alias("m", "champion", 1)
    assert house.registry.version("m", 1).gate == result
    better, champion = house.registry.evaluate_gate("m", 2, ["mae <= champion.mae"])
    assert (better.passed, champion) == (True, 1)
    measured, _ = house.registry.evaluate_gate(
        "m", 2, ["rmse > 7", "mae < champion.mae"], metrics={"mae": 5.0, "rmse": 8.0}
    )
    assert [check.passed for check in measured.checks] == [True, False]
    version = house.registry.version("m", 2)
    assert (version.gate, version.metrics) == (measured, {"mae": 5.0, "rmse": 8.0})
    assert isinstance(version.gate, GateResult)
    with pytest.raises(InvalidInput):
        house.registry.evaluate_gate("m", 1, ["open('x')"])


def test_an_export_is_complete_verified_and_repaired(house: House) -> None:
    run = house.run("tree", 1.0)
    house.registry.register(run, "m")
    folder = house.registry.export("m", 1)
    assert folder.parent == house.ingest.workspace.models / "m" and folder.name.startswith("1-")
    manifest = json.loads((folder / "mlops" / "manifest.json").read_text())["files"]
    assert {"MLmodel", "model.skops", "input_example.json", "requirements.txt", "conda.yaml"} <= set(manifest)
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == {
        *manifest,
        "mlops/manifest.json",
        "model.sig",
    }
    stamp = folder.stat().st_ino
    assert house.registry.export("m", 1).stat().st_ino == stamp

    (folder / "model.skops").write_bytes(b"broken")
    house.registry.export("m", 1)
    assert (folder / "model.skops").stat().st_size == manifest["model.skops"]["size"]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_model_that_is_registered_again_is_exported_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    registry, client = house.registry, MlflowClient(house.ingest.store.uri)
    registry.register(house.run("tree", 1.0), "m")
    first = registry.export("m", 1)
    client.delete_registered_model("m")
    registry.register(house.run("deeper", 2.0, depth=7), "m")
    second = registry.export("m", 1)
    assert second != first
    assert read_manifest(second).digest != read_manifest(first).digest
    # Without the registry, the newest copy is the version of that number.

    for error in (Unavailable("MLflow does not answer"), StorageError("its database is damaged")):

        def away(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(RegistryStore, "model", away)
        assert registry.export("m", 1) == second
        with pytest.raises(type(error)):
            registry.export("m", 2)


def test_a_model_changed_in_the_store_is_not_exported(house: House) -> None:
    run = house.run("tree", 1.0)
    house.registry.register(run, "m")
    stored = next(house.ingest.workspace.artifacts.rglob("model.skops"))
    stored.write_bytes(stored.read_bytes() + b"x")
    with pytest.raises(StorageError, match="not the file that was registered"):
        house.registry.export("m", 1)
    assert list(house.ingest.workspace.models.glob("m/1*")) == []
    stored.unlink()
    with pytest.raises(StorageError, match="cannot be read"):
        house.registry.export("m", 1)


def test_versions_made_by_plain_mlflow_are_shown_and_exported(house: House) -> None:
    store = house.ingest.store
    store.ping()
    mlflow.set_tracking_uri(store.uri)
    try:
        mlflow.set_experiment(experiment_id=store.experiment_id("plain"))
        with mlflow.start_run() as run:
            estimator = DecisionTreeRegressor().fit(X, X["hour"])
            logged = mlflow.sklearn.log_model(
                estimator,
                name="model",
                pip_requirements=["scikit-learn"],
                skops_trusted_types=["sklearn.tree._tree.Tree"],
            )
        mlflow.register_model(logged.model_uri, "plain")
    finally:
        mlflow.set_tracking_uri(None)
    version = house.registry.version("plain", 1)
    assert (version.run_id, version.run_uid, version.metrics, version.gate) == (run.info.run_id, "", {}, None)
    folder = house.registry.export("plain", 1)
    assert (folder / "model.skops").is_file()
    assert (folder / "mlops" / "manifest.json").is_file()


def test_lists_read_no_model_files(house: House) -> None:
    run = house.run("tree", 1.0)
    house.registry.register(run, "m")
    shutil.rmtree(house.ingest.workspace.artifacts)
    assert [version.metrics for version in house.registry.versions("m")] == [{"mae": 1.0}]
    assert MlflowClient(house.ingest.store.uri).get_registered_model("m").name == "m"

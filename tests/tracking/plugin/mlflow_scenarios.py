"""Typical uses of MLflow, as functions that record their results, which must be the same through ``mlops://``."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException

_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
_PLACE = re.compile(r"(file://)?[^\s'\"]*/(artifacts|mlruns)/\w+(?=/)")
_NOW = re.compile(r"(?<![\d.])\d{13}(?!\d)")


class Seen:
    """Takes down what a scenario sees, without what differs from run to run: ids, folders, the time of day.

    Before a server (`served`) places are the server's, and errors come with their code and its words.
    """

    def __init__(self, *, served: bool = False) -> None:
        self.served = served
        self.lines: list[str] = []
        self._ids: dict[str, str] = {}

    def __call__(self, what: str, value: Any) -> None:
        value = plain(value)
        if self.served:
            value = without_places(value)
        text = json.dumps(value, sort_keys=True, default=str)
        self.lines.append(f"{what}: {self._anonymous(text)}")

    @contextmanager
    def error(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            code = error.error_code if isinstance(error, MlflowException) else ""
            self(what, code if self.served and code else [type(error).__name__, code, str(error)])
        else:
            self(what, "no error")

    def _anonymous(self, text: str) -> str:
        text = _ID.sub(lambda found: self._ids.setdefault(found[0], f"<id {len(self._ids)}>"), text)
        return _NOW.sub("<now>", _PLACE.sub("<place>", text))


def plain(value: Any) -> Any:
    if isinstance(value, Run):
        return run_facts(value)
    if isinstance(value, Metric):
        return [value.key, number(value.value), value.timestamp if value.timestamp < 10**12 else "now", value.step]
    if isinstance(value, float):
        return number(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return value


def without_places(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_places(item) for key, item in value.items() if key != "artifacts"}
    return [without_places(item) for item in value] if isinstance(value, list) else value


def number(value: float) -> Any:
    return str(value) if not math.isfinite(value) else value


def run_facts(run: Run) -> dict[str, Any]:
    info, data = run.info, run.data
    inputs, outputs = run.inputs, run.outputs
    return {
        "id": info.run_id,
        "experiment": info.experiment_id,
        "name": info.run_name if not info.run_name or "-" not in info.run_name else "<random>",
        "status": info.status,
        "stage": info.lifecycle_stage,
        "user": info.user_id,
        "ended": info.end_time is not None,
        "times": [info.start_time if info.start_time < 10**12 else "now",
                  info.end_time if (info.end_time or 10**13) < 10**12 else "now"],
        "in order": info.end_time is None or info.end_time >= info.start_time,
        "artifacts": info.artifact_uri,
        "params": data.params,
        "metrics": {key: plain(metric) for key, metric in sorted((m.key, m) for m in data._metric_objs)},
        "tags": {
            key: value if key != "mlflow.runName" or "-" not in value else "<random>"
            for key, value in data.tags.items()
            if key != "mlflow.log-model.history"
        },
        "data": sorted(
            [dict(item.dataset), sorted((tag.key, tag.value) for tag in item.tags)]
            for item in (inputs.dataset_inputs if inputs else [])
        ) if inputs and len(inputs.dataset_inputs) < 2 else sorted(
            json.dumps([dict(item.dataset), sorted((tag.key, tag.value) for tag in item.tags)], sort_keys=True)
            for item in inputs.dataset_inputs
        ) if inputs else [],
        "models in": len(inputs.model_inputs) if inputs else 0,
        "models out": [output.step for output in (outputs.model_outputs if outputs else [])],
    }  # fmt: skip


def files(run_id: str, path: str | None = None) -> list[str]:
    """Paths of all files of a run."""
    found = []
    for item in MlflowClient().list_artifacts(run_id, path):
        found += files(run_id, item.path) if item.is_dir else [item.path]
    return sorted(found)


# Scenarios --------------------------------------------------------------------------------------------------------


def plain_run(seen: Seen, folder: Path) -> None:
    with mlflow.start_run(run_name="first", tags={"team": "ops"}, description="what it is") as run:
        seen("active", mlflow.active_run().info.run_id == run.info.run_id)
        mlflow.log_param("depth", 6)
        mlflow.log_params({"rate": 0.1, "kind": "tree", "many": [1, 2], "none": None})
        for step in range(5):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metrics({"auc": 0.9, "f1": 0.8}, step=3)
        mlflow.set_tag("stage", "draft")
        mlflow.set_tags({"a": 1, "b": "ü"})
        seen("while it runs", mlflow.get_run(run.info.run_id))
        seen("history", MlflowClient().get_metric_history(run.info.run_id, "loss"))
    seen("ended", mlflow.get_run(run.info.run_id))
    seen("last", mlflow.last_active_run())
    seen("no such metric", MlflowClient().get_metric_history(run.info.run_id, "nothing"))


def every_read(seen: Seen, folder: Path) -> None:
    """All that can be read of the same objects, from the first moment and after each change."""
    from sklearn.linear_model import LinearRegression

    client = MlflowClient()
    experiment = client.create_experiment("  with spaces", tags={"team": "ops"})

    def read(when: str, run_id: str) -> None:
        seen(f"{when}: run", client.get_run(run_id))
        seen(f"{when}: search", client.search_runs([experiment]))
        seen(f"{when}: filter", [run.info.run_id for run in client.search_runs([experiment], "tags.note = 'mine'")])
        frame = mlflow.search_runs([experiment])
        seen(f"{when}: columns", sorted(name for name in frame.columns if "log-model" not in name))
        seen(f"{when}: files", files(run_id))
        for found in (client.get_experiment(experiment), client.get_experiment_by_name("  with spaces"),
                      *sorted(client.search_experiments(), key=lambda item: item.name)):  # fmt: skip
            seen(f"{when}: experiment", [found.experiment_id, found.name, found.tags])

    run_id = client.create_run(experiment).info.run_id
    client.update_run(run_id, name="without tags")
    read("created", run_id)
    client.log_metric(run_id, "m", 1, timestamp=1)
    client.set_tag(run_id, "note", "mine")
    read("logged", run_id)
    client.set_terminated(run_id)
    read("ended", run_id)
    with mlflow.start_run(experiment_id=experiment, run_name="fluent", description="about it") as run:
        read("active", run.info.run_id)
        info = mlflow.sklearn.log_model(
            LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0]), name="m", pip_requirements=[],
            registered_model_name="every", signature=None,
        )  # fmt: skip
        print("said")
    read("left", run.info.run_id)
    with seen.error("it fails"), mlflow.start_run(experiment_id=experiment, run_name="failed") as run:
        raise ValueError("x" * 10_000)
    read("failed", run.info.run_id)
    for model in (mlflow.get_logged_model(info.model_id), *client.search_logged_models([experiment])):
        seen("model", [model.name, sorted(set(model.tags) - {"mlflow.user", "mlflow.source.git.commit"}), model.params])
    for version in (client.get_model_version("every", "1"), *client.search_model_versions("name = 'every'")):
        seen("version", [str(version.version), version.run_id, version.tags])
    for model in (client.get_registered_model("every"), *client.search_registered_models()):
        seen("registered", [model.name, model.tags, [version.tags for version in model.latest_versions]])
    # Other scenarios list the models of the same server.
    client.delete_registered_model("every")


def own_times(seen: Seen, folder: Path) -> None:
    client = MlflowClient()
    run = client.create_run("0", start_time=1_000, tags={"mlflow.user": "ann", "x": "1"}, run_name="old")
    client.log_metric(run.info.run_id, "m", 1.0, timestamp=2_000, step=0)
    client.log_metric(run.info.run_id, "m", 3.0, timestamp=1_500, step=2)
    client.log_metric(run.info.run_id, "m", 2.0, timestamp=2_500, step=1)
    client.log_metric(run.info.run_id, "m", 2.0, timestamp=2_500, step=1)
    client.log_metric(run.info.run_id, "same", 1.0, timestamp=5, step=0)
    client.log_metric(run.info.run_id, "same", 4.0, timestamp=5, step=0)
    client.log_metric(run.info.run_id, "same", 2.0, timestamp=5, step=0)
    client.log_metric(run.info.run_id, "negative", 2.0, timestamp=5, step=-3)
    seen("running", client.get_run(run.info.run_id))
    seen("history", client.get_metric_history(run.info.run_id, "m"))
    client.set_terminated(run.info.run_id, "FAILED", end_time=9_000)
    seen("ended", client.get_run(run.info.run_id))
    seen("history again", client.get_metric_history(run.info.run_id, "m"))


def odd_values(seen: Seen, folder: Path) -> None:
    with mlflow.start_run(run_name="odd") as run:
        for name, value in {"nan": math.nan, "inf": math.inf, "minus": -math.inf, "big": 1e308, "int": 7}.items():
            mlflow.log_metric(name, value, timestamp=10)
        mlflow.log_metric("nan", 0.0, timestamp=10)
        mlflow.log_metric("nan", -1.0, timestamp=10)
        mlflow.log_metric("numpy", np.float32(0.5), timestamp=10)
        mlflow.log_metric("array", np.array([2.5]), timestamp=10)
        mlflow.log_metric("bool", True, timestamp=10)
        mlflow.log_metric("a/b c.d-e_f:g", 1.0, timestamp=10)
        mlflow.log_param("long", "x" * 7000)
        mlflow.set_tag("long", "y" * 9000)
        mlflow.log_param("empty", "")
        seen("running", mlflow.get_run(run.info.run_id))
    for name in ("nan", "inf", "int"):
        seen(name, MlflowClient().get_metric_history(run.info.run_id, name))


def refused(seen: Seen, folder: Path) -> None:
    client = MlflowClient()
    with mlflow.start_run(run_name="refused") as run:
        uid = run.info.run_id
        mlflow.log_param("a", 1)
        mlflow.log_param("a", 1)
        with seen.error("changed parameter"):
            mlflow.log_param("a", 2)
        with seen.error("changed parameters"):
            mlflow.log_params({"a": 3, "b": 1})
        with seen.error("changed by batch"):
            client.log_batch(uid, metrics=[Metric("never", 1.0, 1, 0)], params=[Param("a", "4"), Param("c", "1")])
        with seen.error("twice in a batch"):
            client.log_batch(uid, params=[Param("d", "4"), Param("d", "5")])
        with seen.error("name of a metric"):
            mlflow.log_metric("a$b", 1)
        with seen.error("name of a parameter"):
            mlflow.log_param("../a", 1)
        with seen.error("long name"):
            mlflow.log_metric("m" * 300, 1)
        with seen.error("name of a tag"):
            mlflow.set_tag("a|b", 1)
        with seen.error("text as a metric"):
            mlflow.log_metric("text", "abc")
        with seen.error("none as a metric"):
            client.log_batch(uid, metrics=[Metric("none", None, 1, 0)])
        with seen.error("time below zero"):
            mlflow.log_metric("early", 1, timestamp=-5)
        with seen.error("no step"):
            client.log_batch(uid, metrics=[Metric("step", 1.0, 1, "x")])
        with seen.error("too many tags"):
            client._tracking_client.store.log_batch(uid, [], [], [RunTag(f"t{i}", "1") for i in range(101)])
        with seen.error("unknown tag"):
            client.delete_tag(uid, "unknown")
        with seen.error("second run"):
            mlflow.start_run()
        seen("running", mlflow.get_run(uid))
    for name, call in {
        "unknown run": lambda: mlflow.get_run("0" * 32),
        "no run id": lambda: mlflow.get_run("../x"),
        "metric of an unknown run": lambda: client.log_metric("1" * 32, "a", 1),
        "parameter of an unknown run": lambda: client.log_param("1" * 32, "a", 1),
        "tag of an unknown run": lambda: client.set_tag("1" * 32, "a", 1),
        "end of an unknown run": lambda: client.set_terminated("1" * 32),
        "history of an unknown run": lambda: client.get_metric_history("1" * 32, "a"),
        "unknown experiment": lambda: client.create_run("987"),
        "two names": lambda: client.create_run("0", tags={"mlflow.runName": "x"}, run_name="y"),
        "parent unknown": lambda: mlflow.start_run(parent_run_id="2" * 32),
    }.items():
        with seen.error(name):
            call()


def nested_runs(seen: Seen, folder: Path) -> None:
    experiment = mlflow.create_experiment("nested")
    with mlflow.start_run(run_name="parent", experiment_id=experiment) as parent:
        for depth in (3, 5):
            with mlflow.start_run(run_name=f"child{depth}", nested=True) as child:
                mlflow.log_param("depth", depth)
                mlflow.log_metric("score", depth / 10)
                seen("parent of child", mlflow.get_parent_run(child.info.run_id).info.run_id == parent.info.run_id)
        seen("back", mlflow.active_run().info.run_id == parent.info.run_id)
    with mlflow.start_run(run_name="later", parent_run_id=parent.info.run_id):
        pass
    found = MlflowClient().search_runs(
        [experiment], f"tags.mlflow.parentRunId = '{parent.info.run_id}'", order_by=["attributes.run_name"]
    )
    seen("children", found)


def failing(seen: Seen, folder: Path) -> None:
    with seen.error("it goes on its way"), mlflow.start_run(run_name="fails") as run:
        mlflow.log_metric("before", 1, timestamp=1)
        raise ValueError("no")
    seen("failed", mlflow.get_run(run.info.run_id))
    mlflow.start_run(run_name="killed")
    uid = mlflow.active_run().info.run_id
    mlflow.end_run("KILLED")
    seen("killed", mlflow.get_run(uid))
    mlflow.end_run()


def searching(seen: Seen, folder: Path) -> None:
    mlflow.set_experiment("searched")
    for i in range(6):
        with mlflow.start_run(run_name=f"run{i}"):
            mlflow.log_param("depth", i % 3)
            mlflow.log_metric("auc", i / 10)
            mlflow.set_tag("even", i % 2 == 0)
    with mlflow.start_run(run_name="open"):
        mlflow.log_metric("auc", 0.95)
        for text in ("", "metrics.auc > 0.25", "params.depth = '1' and metrics.auc >= 0.1", "tags.even = 'True'",
                     "attributes.status = 'RUNNING'", "attributes.run_name LIKE 'run%'"):  # fmt: skip
            found = mlflow.search_runs(filter_string=text, order_by=["metrics.auc DESC"], output_format="list")
            seen(text, [run.info.run_name for run in found])
    client = MlflowClient()
    experiment = client.get_experiment_by_name("searched").experiment_id
    page = client.search_runs([experiment], max_results=4, order_by=["attributes.run_name ASC"])
    rest = client.search_runs([experiment], max_results=4, order_by=["attributes.run_name ASC"], page_token=page.token)
    seen("pages", [[run.info.run_name for run in part] for part in (page, rest)])
    frame = mlflow.search_runs(order_by=["metrics.auc ASC"])
    seen("frame", frame[["metrics.auc", "params.depth", "status"]].fillna("").values.tolist())
    with seen.error("not the language"):
        mlflow.search_runs(filter_string="auc > 3")
    with seen.error("no experiment"):
        mlflow.search_runs(experiment_names=["unknown"])


def deleting(seen: Seen, folder: Path) -> None:
    client = MlflowClient()
    experiment = mlflow.create_experiment("deleted")
    with mlflow.start_run(experiment_id=experiment, run_name="gone") as run:
        mlflow.log_metric("a", 1, timestamp=1)
        mlflow.set_tag("x", 1)
    uid = run.info.run_id
    mlflow.delete_tag if False else client.delete_tag(uid, "x")
    seen("without its tag", mlflow.get_run(uid))
    mlflow.delete_run(uid)
    seen("deleted", mlflow.get_run(uid))
    with seen.error("metric"):
        client.log_metric(uid, "a", 2)
    with seen.error("parameter"):
        client.log_param(uid, "a", 2)
    with seen.error("tag"):
        client.set_tag(uid, "a", 2)
    with seen.error("end"):
        client.set_terminated(uid)
    with seen.error("resume"):
        mlflow.start_run(run_id=uid)
    seen("active ones", client.search_runs([experiment]))
    seen("all", client.search_runs([experiment], run_view_type=ViewType.ALL))
    client.restore_run(uid)
    client.log_metric(uid, "a", 2, timestamp=2, step=1)
    seen("restored", mlflow.get_run(uid))
    seen("history", client.get_metric_history(uid, "a"))
    with mlflow.start_run(experiment_id=experiment, run_name="open"):
        mlflow.delete_experiment(experiment)
        with seen.error("metric in a deleted experiment"):
            mlflow.log_metric("a", 1)
        mlflow.MlflowClient().restore_experiment(experiment)
        mlflow.log_metric("a", 3, timestamp=3)
    client.rename_experiment(experiment, "renamed")
    with mlflow.start_run(experiment_id=experiment, run_name="later"):
        pass
    seen("renamed", [run.info.run_name for run in client.search_runs([experiment])])
    client.delete_experiment(experiment)
    with seen.error("run in a deleted experiment"):
        client.create_run(experiment)


def resuming(seen: Seen, folder: Path) -> None:
    client = MlflowClient()
    with mlflow.start_run(run_name="resumed") as run:
        mlflow.log_param("a", 1)
        mlflow.log_metric("m", 1.0, timestamp=1, step=0)
    uid = run.info.run_id
    seen("ended", client.get_run(uid))
    with mlflow.start_run(run_id=uid, tags={"again": "yes"}):
        seen("resumed", client.get_run(uid))
        with seen.error("its parameter"):
            mlflow.log_param("a", 2)
        mlflow.log_metric("m", 2.0, timestamp=2, step=1)
        mlflow.log_param("b", 2)
        seen("more", client.get_run(uid))
        seen("history", client.get_metric_history(uid, "m"))
    seen("ended again", client.get_run(uid))
    client.log_metric(uid, "m", 3.0, timestamp=3, step=2)
    client.set_tag(uid, "after", "end")
    seen("after the end", client.get_run(uid))
    client.update_run(uid, name="another")
    seen("renamed", client.get_run(uid))
    client.update_run(uid, status="FAILED")
    seen("another status", client.get_run(uid))
    seen("history at last", client.get_metric_history(uid, "m"))
    mlflow.log_metric("elsewhere", 1.0, run_id=uid, timestamp=1)
    seen("by id", client.get_run(uid))


def batches(seen: Seen, folder: Path) -> None:
    client = MlflowClient()
    run = client.create_run("0", run_name="batch")
    uid = run.info.run_id
    client.log_batch(
        uid,
        metrics=[Metric(f"m{i % 7}", i / 3, 1000 + i, i // 7) for i in range(2500)],
        params=[Param(f"p{i}", str(i)) for i in range(150)],
        tags=[RunTag(f"t{i}", str(i)) for i in range(120)],
    )
    client.log_batch(uid, metrics=[Metric("m0", 5.0, 1, 0), Metric("m0", 5.0, 1, 0), Metric("m0", 6.0, 1, 0)])
    client.log_batch(uid, tags=[RunTag("t1", "one"), RunTag("t1", "uno"), RunTag("mlflow.runName", "renamed")])
    seen("running", client.get_run(uid))
    seen("history", client.get_metric_history(uid, "m0"))
    waiting = mlflow.log_metric("async", 1.0, synchronous=False, run_id=uid, timestamp=1)
    waiting.wait()
    client.log_param(uid, "later", 1, synchronous=False).wait()
    with seen.error("a change, told when waited for"):
        client.log_param(uid, "later", 2, synchronous=False).wait()
    client.set_terminated(uid)
    seen("ended", client.get_run(uid))


def artifacts(seen: Seen, folder: Path) -> None:
    import matplotlib.pyplot as plt

    file = folder / "a file.txt"
    file.write_text("content", encoding="utf-8")
    (folder / "many" / "sub").mkdir(parents=True, exist_ok=True)
    (folder / "many" / "one.txt").write_text("1")
    (folder / "many" / "sub" / "two.txt").write_text("2")
    with mlflow.start_run(run_name="artifacts") as run:
        seen("place", mlflow.get_artifact_uri().endswith("/artifacts"))
        mlflow.log_artifact(str(file))
        mlflow.log_artifacts(str(folder / "many"), "folder")
        mlflow.log_text("text", "notes/text.md")
        mlflow.log_dict({"a": [1, 2]}, "d.json")
        figure, axes = plt.subplots()
        axes.plot([1, 2])
        mlflow.log_figure(figure, "plot.png")
        plt.close(figure)
        mlflow.log_image(np.zeros((4, 4, 3), dtype=np.uint8), "image.png")
        mlflow.log_table({"q": ["a", "b"], "n": [1, 2]}, "table.json")
        mlflow.log_table(pd.DataFrame({"q": ["c"], "n": [3]}), "table.json")
        uid = run.info.run_id
    seen("table", mlflow.load_table("table.json", run_ids=[uid])[["q", "n"]].values.tolist())
    seen("dict", mlflow.artifacts.load_dict(f"runs:/{uid}/d.json"))
    seen("text", mlflow.artifacts.load_text(f"runs:/{uid}/notes/text.md"))
    client = MlflowClient()
    seen("files", files(uid))
    seen("downloaded", Path(client.download_artifacts(uid, "folder/sub/two.txt")).read_text())
    seen("run", client.get_run(uid))


def data(seen: Seen, folder: Path) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0], "s": ["a", "b"]})
    training = mlflow.data.from_pandas(frame, source="https://example.com/data.csv", name="train", targets="s")
    array = mlflow.data.from_numpy(np.zeros((3, 2)), name="numbers")
    with mlflow.start_run(run_name="data") as run:
        mlflow.log_input(training, context="training", tags={"v": "1"})
        mlflow.log_input(training, context="training")
        mlflow.log_inputs([array], ["test"], [None])
        mlflow.log_metric("rmse", 1.0, dataset=training, timestamp=1)
        seen("running", mlflow.get_run(run.info.run_id))
    seen("ended", mlflow.get_run(run.info.run_id))
    found = mlflow.search_runs(filter_string="dataset.name = 'train'", output_format="list")
    seen("found", [item.info.run_name for item in found])
    source = mlflow.data.get_source(mlflow.get_run(run.info.run_id).inputs.dataset_inputs[0].dataset)
    seen("source", type(source).__name__)


def models(seen: Seen, folder: Path) -> None:
    from sklearn.linear_model import LinearRegression

    X = np.arange(10.0).reshape(-1, 1)
    model = LinearRegression().fit(X, 2 * X[:, 0])
    client = MlflowClient()
    with mlflow.start_run(run_name="model") as run:
        mlflow.log_param("kind", "linear")
        info = mlflow.sklearn.log_model(
            model, name="model", pip_requirements=[], registered_model_name="lines", signature=None
        )
        mlflow.log_metric("r2", 1.0, model_id=info.model_id, timestamp=1)
        mlflow.log_metrics({"a": 1.0, "b": 2.0}, model_id=info.model_id, timestamp=2)
        seen("running", mlflow.get_run(run.info.run_id))
    for uri in (info.model_uri, f"runs:/{run.info.run_id}/model", "models:/lines/1"):
        seen("loaded", round(float(mlflow.sklearn.load_model(uri).predict([[3.0]])[0]), 6))
    logged = mlflow.get_logged_model(info.model_id)
    seen("logged", [logged.name, str(logged.status), logged.params, logged.source_run_id,
                    sorted([m.key, m.value, m.step, m.run_id] for m in logged.metrics or [])])  # fmt: skip
    found = mlflow.search_logged_models(
        experiment_ids=[run.info.experiment_id], filter_string="metrics.a = 1", output_format="list"
    )
    seen("found", [item.name for item in found])
    second = mlflow.register_model(info.model_uri, "lines")
    third = mlflow.register_model(f"runs:/{run.info.run_id}/model", "lines")
    client.set_registered_model_alias("lines", "champion", second.version)
    client.set_model_version_tag("lines", second.version, "ok", "yes")
    seen("versions", [[str(item.version), item.run_id, dict(item.tags)] for item in (second, third)])
    seen("champion", round(float(mlflow.pyfunc.load_model("models:/lines@champion").predict(X)[2]), 6))
    by_alias = client.get_model_version_by_alias("lines", "champion")
    seen("by alias", [str(by_alias.version), by_alias.run_id])
    seen("searched", sorted(str(v.version) for v in client.search_model_versions("name='lines'")))
    seen("registered", [model.name for model in client.search_registered_models()])
    copied = client.copy_model_version("models:/lines@champion", "copies")
    seen("copied", [copied.name, str(copied.version)])
    client.delete_registered_model_alias("lines", "champion")
    client.delete_model_version("lines", str(third.version))
    with seen.error("no alias"):
        client.get_model_version_by_alias("lines", "champion")
    seen("ended", client.get_run(run.info.run_id))


def autologging(seen: Seen, folder: Path) -> None:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score
    from sklearn.model_selection import GridSearchCV

    X, y = load_iris(return_X_y=True, as_frame=True)
    mlflow.set_experiment("autologged")
    mlflow.sklearn.autolog(silent=True, log_models=False)
    try:
        model = LogisticRegression(max_iter=300).fit(X, y)
        accuracy_score(y, model.predict(X))
        GridSearchCV(LogisticRegression(max_iter=300), {"C": [0.1, 1.0]}, cv=2).fit(X, y)
        with mlflow.start_run(run_name="mine"):
            LogisticRegression(max_iter=200).fit(X, y)
    finally:
        mlflow.sklearn.autolog(disable=True)
    runs = mlflow.search_runs(output_format="list")
    facts = [run_facts(run) for run in runs]
    for fact in facts:
        fact["metrics"] = sorted(fact["metrics"])
        fact["tags"] = {key: value for key, value in fact["tags"].items() if key != "mlflow.parentRunId"}
        fact["id"] = fact["artifacts"] = fact["experiment"] = ""
    seen("runs", sorted(json.dumps(fact, sort_keys=True, default=str) for fact in facts))
    seen("last", mlflow.last_active_run().data.params.get("max_iter"))


def evaluating(seen: Seen, folder: Path) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "y": [1.0, 2.0, 3.0, 5.0]})
    with mlflow.start_run(run_name="evaluated") as run:
        frame["prediction"] = frame["x"]
        result = mlflow.models.evaluate(
            data=frame, targets="y", predictions="prediction", model_type="regressor",
            evaluator_config={"log_explainer": False},
        )  # fmt: skip
        seen("metrics", {name: round(float(value), 6) for name, value in sorted(result.metrics.items())})
    seen("stored", sorted(run_facts(mlflow.get_run(run.info.run_id))["metrics"]))


SCENARIOS: list[Callable[[Seen, Path], None]] = [
    plain_run, every_read, own_times, odd_values, refused, nested_runs, failing, searching, deleting, resuming, batches,
    artifacts, data, models, autologging, evaluating,
]  # fmt: skip

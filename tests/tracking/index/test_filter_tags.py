"""MLflow's own tags can be searched as in MLflow for all runs, and are not shown."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from recorder import Recorder

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.records import Tags
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest, ReadIndex


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> Iterator[tuple[ReadIndex, MlflowClient]]:
    """Runs of tracked cells, of MLflow code that logs here, and of MLflow code that logs to the same MLflow."""
    workspace = Workspace.init(tmp_path_factory.mktemp("ta gs"))
    shutil.copyfile(mlflow_database, workspace.state / "mlflow.db")
    recorder = Recorder(workspace)
    recorder.start("cell", "a", notebook="ordner ü/buch.ipynb", tags={"mlflow.source.git.commit": "c0ffee"})
    noted = recorder.start("noted", "a")
    recorder.put(Tags(noted, {"note": "a description, kept"}))
    described = {
        "mlflow.note.content": "another description",
        "mlflow.source.type": "JOB",
        "mlflow.source.name": "train.py",
        "mlflow.user": "bob",
    }
    parent = recorder.start("described", "a", tags=described)
    recorder.start("child", "a", parent_uid=parent)
    recorder.close()
    with Ingest(workspace) as ingest:
        ingest.drain(timeout=120)
        client = MlflowClient(ingest.store.uri, ingest.store.uri)
        experiment = client.get_experiment_by_name("a").experiment_id
        theirs = client.create_run(
            experiment,
            run_name="theirs",
            tags={
                **described,
                "mlflow.source.git.commit": "f00d",
                "mlflow.source.type": "PROJECT",
                "mlops.currency": "CHF",
                "team": "b",
            },
        )
        client.create_run(experiment, run_name="plain", tags={"mlflow.parentRunId": theirs.info.run_id})
        while ingest.follow():
            pass
        yield ingest.index, client


FILTERS = [
    ("tags.mlflow.note.content LIKE '%desc%'", 3),
    ("tags.mlflow.note.content = 'another description'", 2),
    ("tags.mlflow.note.content != 'another description'", 1),
    ("tags.mlflow.note.content IS NULL", 3),
    ("tags.note LIKE '%desc%'", 1),
    ("tags.mlflow.source.git.commit = 'f00d'", 1),
    ("tags.mlflow.source.git.commit LIKE '%0%'", 2),
    ("tags.mlflow.source.git.commit IS NOT NULL", 2),
    ("tags.mlflow.source.type = 'JOB'", 1),
    ("tags.mlflow.source.type = 'PROJECT'", 1),
    ("tags.mlflow.source.type = 'NOTEBOOK'", 1),
    ("tags.mlflow.source.type = 'LOCAL'", 2),
    ("tags.mlflow.source.type IS NULL", 1),
    ("tags.mlflow.source.name = 'train.py'", 2),
    ("tags.mlflow.source.name LIKE '%ü/buch.ipynb'", 1),
    ("tags.mlflow.source.name IS NOT NULL", 3),
    ("tags.mlflow.user = 'bob'", 2),
    ("tags.mlflow.parentRunId IS NOT NULL", 2),
    ("tags.mlops.currency = 'CHF'", 1),
    ("tags.mlflow.runName LIKE 'the%'", 1),
]


@pytest.mark.parametrize(("text", "number"), FILTERS)
def test_tags_of_mlflow_are_found_as_in_mlflow(store: tuple[ReadIndex, MlflowClient], text: str, number: int) -> None:
    index, client = store
    experiment = client.get_experiment_by_name("a").experiment_id
    theirs = {run.info.run_name for run in client.search_runs([experiment], text)}
    ours = {run.name for run in index.runs("a", filter=text)}
    assert (ours, len(ours)) == (theirs, number)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("tag", ["mlflow.source.type", "mlflow.source.name", "mlflow.note.content", "mlflow.user"])
def test_tags_of_mlflow_order_runs_as_in_mlflow(
    store: tuple[ReadIndex, MlflowClient], tag: str, descending: bool
) -> None:
    index, client = store
    experiment = client.get_experiment_by_name("a").experiment_id
    order = [f"tags.`{tag}` {'DESC' if descending else 'ASC'}", "start_time DESC" if descending else "start_time"]
    theirs = [run.data.tags.get(tag) for run in client.search_runs([experiment], order_by=order)]
    found = index.runs("a", order_by=f"tags.{tag}", descending=descending)
    assert [client.get_run(run.run_id).data.tags.get(tag) for run in found] == theirs
    assert len(set(theirs)) > 2 or tag == "mlflow.user"
    everywhere = index.runs(order_by=f"tags.{tag}", descending=descending)
    assert [run.uid for run in everywhere] == [run.uid for run in found]


def test_tags_of_mlflow_are_not_shown_with_the_runs_of_others(store: tuple[ReadIndex, MlflowClient]) -> None:
    index, _ = store
    theirs = index.find("theirs")
    assert theirs.origin == "mlflow"
    assert theirs.tags == {"team": "b", "note": "another description"}
    assert index.detail(theirs.uid).run.tags == theirs.tags
    assert index.find("plain").tags == {}


def test_a_filter_by_artifact_uri_is_refused_with_an_alternative(store: tuple[ReadIndex, MlflowClient]) -> None:
    with pytest.raises(InvalidInput, match="cannot be filtered by artifact_uri") as refused:
        store[0].runs(filter="attributes.artifact_uri LIKE '%/a/%'")
    assert "run_id" in str(refused.value.hint)

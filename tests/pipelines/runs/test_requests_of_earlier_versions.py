"""Runs of released versions can still be listed and shown."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines import service
from mlops_workbench.pipelines.definition.nouns import RetrySpec
from mlops_workbench.pipelines.runs.earlier import upgraded
from mlops_workbench.pipelines.runs.folder import RunFolder
from mlops_workbench.pipelines.runs.requests import InputRequest, OutputRequest, RunRequest, StageRequest

ARCHIVE = Path(__file__).parents[2] / "workspaces" / "fixtures" / "workspace-0.1.0.tar.xz"


@pytest.fixture(scope="module")
def workspace_0_1(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    place = tmp_path_factory.mktemp("earlier")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(place, filter="data")
    return Workspace.open(place / "iris")


def test_a_run_of_version_0_1_is_read(workspace_0_1: Workspace) -> None:
    (run,) = service.list_runs(workspace_0_1)
    assert (run.pipeline, run.state, run.message, run.params) == ("iris", "succeeded", "", {"C": 0.5})
    assert [(stage.name, stage.state, stage.cells) for stage in run.stages] == [
        ("prepare", "succeeded", 3),
        ("train", "succeeded", 3),
    ]
    assert run.kind == "pipeline" and service.read_run(workspace_0_1, run.id) == run


def test_its_request_has_the_present_form(workspace_0_1: Workspace) -> None:
    (path,) = workspace_0_1.pipeline_runs.iterdir()
    request = RunFolder(path).read_request()
    prepare, train = request.stages
    assert (prepare.stage, prepare.outputs["flowers"].type, prepare.retries) == ("prepare", "file", RetrySpec())
    assert prepare.outputs["flowers"].path.endswith("flowers.csv")
    assert train.inputs == {"flowers": InputRequest("stage", "prepare.flowers")}


def test_retries_and_kinds_of_inputs_are_told_apart() -> None:
    stage = {
        "name": "a",
        "notebook": "a.ipynb",
        "source": "/a.ipynb",
        "needs": ["b"],
        "inputs": {"x": "b.x", "y": "data/*.csv", "z": "s3://bucket/z"},
        "retries": 3,
    }
    body = {"id": "1", "pipeline": "p", "workspace": "/", "experiment": "e", "created_ms": 1, "stages": [stage]}
    (read,) = msgspec.convert(upgraded(json.loads(json.dumps(body))), RunRequest).stages
    assert [read.inputs[name].kind for name in "xyz"] == ["stage", "file", "url"]
    assert read.retries.max == 3


REQUESTS = st.builds(
    RunRequest,
    id=st.text(),
    pipeline=st.text(),
    workspace=st.text(),
    experiment=st.text(),
    created_ms=st.integers(0, 2**60),
    champion=st.none() | st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False) | st.just("NaN")),
    stages=st.lists(
        st.builds(
            StageRequest,
            name=st.text(),
            stage=st.text(),
            notebook=st.text(),
            source=st.text(),
            inputs=st.dictionaries(
                st.text(),
                st.builds(
                    InputRequest,
                    kind=st.sampled_from(["file", "stage", "sql"]),
                    source=st.text(),
                    candidates=st.dictionaries(st.text(), st.tuples(st.text(), st.text()), max_size=2),
                ),
                max_size=2,
            ),
            outputs=st.dictionaries(st.text(), st.builds(OutputRequest, path=st.text()), max_size=2),
            retries=st.builds(RetrySpec, max=st.integers(0, 9)),
        ),
        max_size=2,
    ),
)


@given(REQUESTS)
def test_a_request_of_the_present_form_is_read_as_it_was_written(request: RunRequest) -> None:
    body = msgspec.json.decode(msgspec.json.encode(request))
    assert msgspec.convert(upgraded(body), RunRequest) == request
    assert upgraded(upgraded(body)) == upgraded(body) == body


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["stages", "inputs", "name", "needs"]), x),
    )
)
def test_json_that_is_no_request_is_left_to_the_reader(body: object) -> None:
    upgraded(body)

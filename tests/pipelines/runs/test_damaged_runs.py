"""A pipeline run whose files are damaged is listed, says so, and takes no other run away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.ids import new_id, now_ms
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines import service
from mlops_workbench.pipelines.runs import events
from mlops_workbench.pipelines.runs.events import RunEnded, StageEnded, StageStarted, append_event, read_run_events
from mlops_workbench.pipelines.runs.folder import RunFolder, write_struct
from mlops_workbench.pipelines.runs.requests import RunRequest, StageRequest


def ended_run(workspace: Workspace) -> RunFolder:
    """A run that has succeeded, with the folder of its stage's attempt."""
    folder = RunFolder(workspace.pipeline_runs / new_id())
    stage = StageRequest(name="train", stage="train", notebook="train.ipynb", source="train.ipynb", cells=1)
    request = RunRequest(
        id=folder.path.name,
        pipeline="retrain",
        workspace=str(workspace.root),
        experiment="x",
        created_ms=now_ms(),
        stages=[stage],
    )
    write_struct(folder.request, request)
    folder.attempt("train", 1).mkdir(parents=True)
    for event in (
        StageStarted(now_ms(), "train", 1, "1" * 32),
        StageEnded(now_ms(), "train", "succeeded"),
        RunEnded(now_ms(), "succeeded"),
    ):
        append_event(folder.events, event)
    return folder


def test_a_disk_that_takes_half_an_event_leaves_the_log_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, write = tmp_path / "events.jsonl", os.write
    first, last = RunEnded(1, "failed"), RunEnded(3, "succeeded")
    append_event(log, first)
    with monkeypatch.context() as patch, pytest.raises(StorageError, match="No space left"):
        patch.setattr(events.os, "write", lambda descriptor, data: write(descriptor, data[:7]))
        append_event(log, RunEnded(2, "failed"))
    append_event(log, last)
    assert read_run_events(log) == [first, last]


@pytest.mark.parametrize("run_id", ["\0", "..", "a/b", "x" * 5000, "", "unknown"])
def test_what_cannot_be_an_id_has_no_log(workspace: Workspace, run_id: str) -> None:
    ended_run(workspace)
    assert service.log_size(workspace, run_id) == 0


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def garbage(file: Path) -> None:
    file.write_bytes(bytes(byte ^ 0x55 for byte in file.read_bytes()))


def replaced_by_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("name", ["events.jsonl", "request.json"])
@pytest.mark.parametrize("harm", [emptied, cut, garbage, replaced_by_a_folder])
def test_a_damaged_run_is_listed_as_failed_and_says_so(workspace: Workspace, name: str, harm) -> None:
    whole, damaged = ended_run(workspace), ended_run(workspace)
    harm(damaged.path / name)
    listed = {run.id: run for run in service.list_runs(workspace)}
    assert listed[whole.path.name].state == "succeeded"
    run = listed[damaged.path.name]
    assert run.state == "failed"
    assert "damaged" in run.message or "cannot read" in run.message

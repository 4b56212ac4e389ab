"""Old files are removed by the rule; what a kept run or a registered version refers to is never lost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgresql import LONG_WITH_POSTGRESQL
from recorder import Recorder, dead_process
from sklearn.dummy import DummyRegressor
from small_disk import mounted

from mlops_workbench.client.bodies import RegisterRequest
from mlops_workbench.commands.clean import report_view
from mlops_workbench.control.plane import ControlPlane
from mlops_workbench.core.errors import NotFound, Unavailable
from mlops_workbench.core.ids import new_id, now_ms
from mlops_workbench.core.monitors import MonitorSpec
from mlops_workbench.core.records import Dataset, RunEnd
from mlops_workbench.core.retention import RetentionPart, RetentionReport
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.cache.entries import CacheEntries, StageKey, StageReads, StageResult
from mlops_workbench.pipelines.runs.events import RunEnded, RunStarted, StageEnded, StageStarted, append_event
from mlops_workbench.pipelines.runs.folder import RunFolder, write_struct
from mlops_workbench.pipelines.runs.requests import RunRequest, StageRequest
from mlops_workbench.tracking.ingest import stored_files
from mlops_workbench.tracking.journals.files import journal_files
from mlops_workbench.tracking.journals.retention import expire_journals

DAY = 86_400_000

pytestmark = pytest.mark.usefixtures("database_url")


@pytest.fixture
def plane(stored_workspace: Workspace) -> Iterator[ControlPlane]:
    """A control plane whose jobs run when a test says so."""
    made = ControlPlane(stored_workspace, on_shutdown=lambda: None)
    yield made
    made._database.close()
    made.ingest.close()


@pytest.fixture
def recorder(plane: ControlPlane) -> Iterator[Recorder]:
    made = Recorder(plane.workspace)
    yield made
    made.close()


def rule(workspace: Workspace, text: str) -> None:
    (workspace.root / "workbench.toml").write_text(f"[retention]\n{text}\n")


def ended(recorder: Recorder, name: str, days: float, data: bytes = b"", **more: str) -> str:
    """A run that ended days ago, with a file."""
    at = now_ms() - int(days * DAY)
    uid = recorder.start(name, start_ms=at - 1000, **more)
    recorder.artifact(uid, "notes.txt", data or name.encode())
    recorder.put(RunEnd(uid, at, "FINISHED"))
    return uid


def deliver(plane: ControlPlane) -> None:
    plane.ingest.drain()
    while plane.ingest.follow():
        pass
    plane.ingest.follow()


def make_old(workspace: Workspace) -> None:
    past = time.time() - 30 * 86_400
    for file in (workspace.state / "store").rglob("*"):
        os.utime(file, (past, past))


def files(plane: ControlPlane) -> set[str]:
    return {plane.workspace.blobs.get(digest).read_bytes().decode() for digest, _ in plane.workspace.blobs.blobs()}


def of(report: RetentionReport, kind: str) -> RetentionPart:
    return next(part for part in report.parts if part.kind == kind)


def test_nothing_that_a_run_has_is_removed_without_a_rule(plane: ControlPlane, recorder: Recorder) -> None:
    ended(recorder, "ancient", 4000)
    deliver(plane)
    make_old(plane.workspace)
    report = plane.retention.apply()
    assert files(plane) == {"ancient"} and not report.rule_is_set
    assert [part.count for part in report.parts] == [0] * len(report.parts)


def test_the_rule_removes_files_of_old_runs_and_says_why_others_stay(plane: ControlPlane, recorder: Recorder) -> None:
    old = ended(recorder, "old", 20)
    ended(recorder, "young", 2)
    ended(recorder, "shared by old", 20, b"same")
    ended(recorder, "shared by young", 2, b"same")
    parent = ended(recorder, "kept", 20)
    ended(recorder, "part of kept", 20, parent_uid=parent)
    active = recorder.start("active")
    recorder.artifact(active, "a.txt", b"active")
    deliver(plane)
    make_old(plane.workspace)
    rule(plane.workspace, "runs_days = 10")
    plane.retention.keep("kept", kept=True)

    preview = plane.retention.preview()
    assert not preview.removed and "old" in files(plane)
    shown = report_view(preview).text(width=200)
    assert "1 item would be removed: 3 B" in shown and "of a kept run: 2 (16 B)" in shown
    assert [one.title[:3] for one in of(preview, "files of runs and results").examples] == ["old"]
    plane.retention.apply()
    assert files(plane) == {"young", "same", "kept", "part of kept", "active"}
    staying = {one.reason: one.count for one in of(preview, "files of runs and results").staying}
    assert staying == {"of a kept run": 2, "younger than the rule": 2, "of an active run": 1}
    with pytest.raises(NotFound, match="not on this machine any more") as missing:
        plane.runs.artifact(old, "notes.txt")
    assert plane.runs.find(old).run_id in missing.value.hint

    plane.retention.keep(parent, kept=False)
    plane.retention.apply()
    assert files(plane) == {"young", "same", "active"}


def test_a_tag_of_mlflow_keeps_a_run(plane: ControlPlane, recorder: Recorder) -> None:
    ended(recorder, "tagged", 20, tags={"mlops.keep": "true"})
    ended(recorder, "other", 20)
    deliver(plane)
    make_old(plane.workspace)
    rule(plane.workspace, "runs_days = 10")
    plane.retention.apply()
    assert files(plane) == {"tagged"}


def test_a_registered_version_keeps_the_files_of_its_run(plane: ControlPlane, recorder: Recorder) -> None:
    import pandas as pd

    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0]})
    for name in ("registered", "other"):
        uid = recorder.start(name, start_ms=now_ms() - 30 * DAY)
        recorder.model(uid, DummyRegressor().fit(frame, [float(len(name)), 2.0, 3.0]), frame)
        recorder.put(RunEnd(uid, now_ms() - 20 * DAY, "FINISHED"))
    deliver(plane)
    plane.models.register("sizes", RegisterRequest("registered"))
    make_old(plane.workspace)
    rule(plane.workspace, "runs_days = 10")
    before = {digest for digest, _ in plane.workspace.blobs.blobs()}
    report = plane.retention.apply()
    left = {digest for digest, _ in plane.workspace.blobs.blobs()}
    # Both models have the same example.
    assert len(before) == 3 and len(left) == 2
    assert {one.reason for one in of(report, "files of runs and results").staying} == {"of a registered version"}


def test_what_is_not_in_mlflow_yet_stays(stored_workspace: Workspace) -> None:
    plane = ControlPlane(stored_workspace, on_shutdown=lambda: None)
    recorder = Recorder(stored_workspace)
    try:
        deliver(plane)
        ended(recorder, "waiting", 20)
        make_old(plane.workspace)
        rule(plane.workspace, "runs_days = 10")
        report = plane.retention.apply()
        assert files(plane) == {"waiting"}
        assert [one.reason for one in of(report, "files of runs and results").staying] == ["not in MLflow yet"]
    finally:
        recorder.close()
        plane._database.close()
        plane.ingest.close()


def test_nothing_is_removed_before_all_runs_are_known(
    plane: ControlPlane, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(recorder, "old", 20)
    plane.ingest.catch_up()
    make_old(plane.workspace)
    rule(plane.workspace, "runs_days = 10")

    def fail() -> None:
        raise Unavailable("MLflow does not answer", where="here", hint="try again")

    with monkeypatch.context() as patch:
        patch.setattr(plane.ingest, "follow", fail)
        with pytest.raises(Unavailable, match="MLflow does not answer"):
            plane.retention.apply()
        patch.setattr(plane.ingest, "follow", lambda: True)
        patch.setattr(stored_files, "_CATCH_UP_SECONDS", 0.05)
        with pytest.raises(Unavailable, match="not all runs are read"):
            plane.retention.apply()
    assert files(plane) == {"old"}
    # As in the first moments of a control plane: the background job has read nothing yet.
    plane.retention.apply()
    assert files(plane) == {"old"}
    deliver(plane)
    plane.retention.apply()
    assert files(plane) == set()


def test_a_kept_run_keeps_its_files_after_its_journal_and_the_index_are_gone(plane: ControlPlane) -> None:
    # Nothing is added to the journal of a process that has ended.
    recorder = Recorder(plane.workspace, dead_process())
    ended(recorder, "kept", 20)
    ended(recorder, "other", 20)
    recorder.close()
    deliver(plane)
    while plane.ingest.step():
        pass
    plane.retention.keep("kept", kept=True)
    journals = journal_files(plane.workspace.journal)
    for journal in journals:
        os.utime(journal.path, (1, 1))
    read, sent = plane.ingest.index.cursors(), plane.ingest.log.cursors()
    assert expire_journals(journals, read, sent, 30, plane.workspace.references) == journals
    plane.ingest.index.close()
    for file in plane.workspace.state.glob("index.db*"):
        file.unlink()
    deliver(plane)
    make_old(plane.workspace)
    rule(plane.workspace, "runs_days = 10")
    plane.retention.apply()
    assert files(plane) == {"kept"}
    assert list(plane.workspace.references.iterdir())
    plane.retention.keep("kept", kept=False)
    plane.retention.apply()
    assert files(plane) == set() and not list(plane.workspace.references.iterdir())


@pytest.mark.parametrize("source", ["{dataset: flights}", "{dataset: flights@1}", "[not a spec"])
def test_data_that_a_pipeline_reads_stay(plane: ControlPlane, recorder: Recorder, source: str) -> None:
    digest = "5" * 64
    uid = ended(recorder, "old", 20)
    snapshot = plane.workspace.blobs.put_bytes(b"rows")
    recorder.put(Dataset(uid, "flights", "training", digest, 3, snapshot=snapshot))
    deliver(plane)
    make_old(plane.workspace)
    rule(plane.workspace, "runs_days = 10")
    plane.workspace.pipeline_specs.mkdir()
    spec = plane.workspace.pipeline_specs / "daily.yaml"
    spec.write_text(f"version: 2\nstages:\n  train:\n    notebook: train.ipynb\n    inputs: {{table: {source}}}\n")
    plane.retention.apply()
    assert files(plane) == {"rows"}
    spec.unlink()
    plane.retention.apply()
    assert files(plane) == set()


def test_files_that_nothing_refers_to_go_on_request_and_those_of_the_cache_stay(plane: ControlPlane) -> None:
    deliver(plane)
    blobs = plane.workspace.blobs
    blobs.put_bytes(b"stray")
    cached = blobs.put_bytes(b"cached")
    make_old(plane.workspace)
    blobs.put_bytes(b"new")
    keep_result(plane.workspace, cached)
    plane.retention.apply()
    assert files(plane) == {"cached", "new"}


def keep_result(workspace: Workspace, digest: str, days: float = 0) -> Path:
    """Keep a result of a stage with this file, last used some days ago."""
    key = StageKey([digest], {}, {}, {}, {}, {}, "", "")
    result = StageResult(StageReads(), {"table": {"": digest}}, {}, "1" * 32, "2" * 32, digest, 1, 0.0)
    CacheEntries(workspace.state / "cache").add(key, result, ("daily", "train"))
    path = workspace.state / "cache" / key.digest[:2] / f"{key.digest}.json"
    used = now_ms() / 1000 - days * 86_400
    os.utime(path, (used, used))
    return path


@pytest.mark.parametrize("limits", ["runs_days = 7", "store_gb = 0.000000006"])
def test_results_of_stages_go_by_their_last_use(plane: ControlPlane, limits: str) -> None:
    deliver(plane)
    blobs = plane.workspace.blobs
    used, unused = blobs.put_bytes(b"used"), blobs.put_bytes(b"unused")
    make_old(plane.workspace)
    kept, dropped = keep_result(plane.workspace, used, days=3), keep_result(plane.workspace, unused, days=8)
    rule(plane.workspace, limits)
    plane.retention.apply()
    plane.retention.apply()
    assert files(plane) == {"used"}
    assert kept.exists() and not dropped.exists()


def pipeline_run(workspace: Workspace, days: float, *, state: str = "succeeded", uid: str = "") -> RunFolder:
    at = now_ms() - int(days * DAY)
    folder = RunFolder(workspace.pipeline_runs / new_id())
    folder.attempt("train", 1).mkdir(parents=True)
    folder.outputs("train").mkdir()
    (folder.outputs("train") / "table.parquet").write_bytes(b"table")
    folder.executed("train", 1).write_text("{}")
    folder.attempt_events("train", 1).write_text("")
    stage = StageRequest(
        name="train", stage="train", notebook="train.ipynb", source=str(workspace.root / "train.ipynb")
    )
    write_struct(
        folder.request,
        RunRequest(
            id=folder.path.name,
            pipeline="daily",
            workspace=str(workspace.root),
            experiment="flights",
            created_ms=at,
            stages=[stage],
        ),
    )
    for event in (
        RunStarted(at, uid or new_id()),
        StageStarted(at, "train", 1, new_id()),
        StageEnded(at, "train", state),
        RunEnded(at, state),
    ):
        append_event(folder.events, event)
    return folder


def test_notebooks_and_outputs_of_old_pipeline_runs_go_and_the_history_stays(
    plane: ControlPlane, recorder: Recorder
) -> None:
    kept = ended(recorder, "pipeline kept", 20)
    deliver(plane)
    plane.retention.keep(kept, kept=True)
    workspace = plane.workspace
    old, failed, young = (
        pipeline_run(workspace, 20),
        pipeline_run(workspace, 5, state="failed"),
        pipeline_run(workspace, 5),
    )
    of_kept = pipeline_run(workspace, 20, uid=kept)
    outside = workspace.root / "mine.txt"
    outside.write_text("mine")
    (old.outputs("train") / "link").symlink_to(outside)
    (old.outputs("train") / "folder").symlink_to(workspace.root)
    plane.pipelines.step()
    before = plane.pipelines.run(old.path.name)
    rule(workspace, "runs_days = 10\nfailed_days = 3")
    report = plane.retention.apply()

    assert of(report, "notebooks and outputs of pipeline runs").count == 2
    assert plane.pipelines.run(old.path.name) == before
    for gone in (old, failed):
        assert not gone.outputs("train").exists() and not gone.executed("train", 1).exists()
        assert gone.request.exists() and gone.attempt_events("train", 1).exists()
    for stays in (young, of_kept):
        assert (stays.outputs("train") / "table.parquet").exists() and stays.executed("train", 1).exists()
    assert outside.read_text() == "mine"
    assert of(plane.retention.preview(), "notebooks and outputs of pipeline runs").size == 0


def log_file(folder: Path, endpoint: str, days: float, day: str = "date=2013-01-01") -> Path:
    path = folder / f"endpoint={endpoint}" / day / f"{new_id()}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"rows")
    past = time.time() - days * 86_400
    os.utime(path, (past, past))
    return path


def test_old_predictions_and_outcomes_go_unless_a_monitor_counts_them(plane: ControlPlane) -> None:
    deliver(plane)
    plane.monitors._store(MonitorSpec("counted", window="500"), replace=True)
    workspace = plane.workspace
    gone = [log_file(workspace.predictions, "daily", 40), log_file(workspace.feedback, "daily", 40, "")]
    stays = [
        log_file(workspace.predictions, "daily", 3, "date=2013-01-02"),
        log_file(workspace.feedback, "daily", 3, ""),
        log_file(workspace.predictions, "counted", 40),
    ]
    rule(workspace, "predictions_days = 30")
    report = plane.retention.apply()
    assert not any(path.exists() for path in gone) and not gone[0].parent.exists()
    assert all(path.exists() for path in stays)
    assert (of(report, "predictions").count, of(report, "feedback").count) == (1, 1)


def test_the_job_applies_the_rule_only_when_one_is_set(plane: ControlPlane, recorder: Recorder) -> None:
    ended(recorder, "old", 20)
    deliver(plane)
    make_old(plane.workspace)
    plane.retention._due = 0.0
    plane.retention.step()
    assert files(plane) == {"old"}
    rule(plane.workspace, "runs_days = 10")
    plane.retention.step()
    assert files(plane) == set()


_APPLY = """
import sys
from pathlib import Path
from mlops_workbench.control.plane import ControlPlane
from mlops_workbench.core.workspace import Workspace
plane = ControlPlane(Workspace.open(Path(sys.argv[1])), on_shutdown=lambda: None)
print("ready", flush=True)
plane.retention.apply()
"""


@pytest.mark.process
@LONG_WITH_POSTGRESQL
def test_a_kill_while_the_rule_is_applied_loses_nothing_that_is_kept(stored_workspace: Workspace) -> None:
    plane = ControlPlane(stored_workspace, on_shutdown=lambda: None)
    recorder = Recorder(stored_workspace)
    for number in range(60):
        ended(recorder, f"old {number}", 20)
    kept = ended(recorder, "kept", 20)
    for number in range(20):
        ended(recorder, f"part of kept {number}", 20, parent_uid=kept)
    deliver(plane)
    plane.retention.keep(kept, kept=True)
    rule(stored_workspace, "runs_days = 10")
    for trial in range(3):
        make_old(stored_workspace)
        plane._database.close()
        plane.ingest.close()
        process = subprocess.Popen([sys.executable, "-c", _APPLY, str(stored_workspace.root)], stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        # Within the removals: after some of them, not at a time.
        while process.poll() is None and len(list(stored_workspace.blobs.blobs())) > 80 - 16 * trial:
            pass
        process.kill()
        process.wait()
        process.stdout.close()
        plane = ControlPlane(stored_workspace, on_shutdown=lambda: None)
        for uid in [
            run.uid for run in plane.runs.runs(None, limit=1000) if run.name.endswith("kept") or run.parent_uid
        ]:
            assert plane.runs.artifact(uid, "notes.txt")[1].exists()
    plane.retention.apply()
    assert len(files(plane)) == 21
    recorder.close()
    plane._database.close()
    plane.ingest.close()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", megabytes=8) as folder:
        yield folder


def test_files_are_removed_from_a_full_disk(plane: ControlPlane, recorder: Recorder, full_disk: Path) -> None:
    store = plane.workspace.state / "store"
    store.symlink_to(full_disk)
    ended(recorder, "old", 20, b"x" * 1_000_000)
    deliver(plane)
    make_old(plane.workspace)
    rule(plane.workspace, "runs_days = 10")
    with pytest.raises(OSError, match="No space"), open(full_disk / "filler", "wb") as filler:
        while True:
            filler.write(b"x" * 4096)
            filler.flush()
    report = plane.retention.apply()
    assert files(plane) == set() and report.problems == []

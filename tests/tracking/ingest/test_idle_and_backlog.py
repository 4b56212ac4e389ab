"""An idle ingest reads nothing, reads the next record at once, and reports the backlog."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from recorder import Recorder, dead_process

from mlops_workbench.core.errors import Unavailable
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Metrics, Params
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest, TrackingStore
from mlops_workbench.tracking.journals import files as journal_files
from mlops_workbench.tracking.journals import watch as journal_watch
from mlops_workbench.tracking.journals.watch import JournalFolder, JournalWatch


def _until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def _at_rest(ingest: Ingest) -> None:
    while ingest.step():
        pass


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is looked at whole but for a reason."""
    monkeypatch.setattr(journal_watch, "_WHOLE", 3600.0)


def test_at_rest_no_journal_is_read_and_the_next_record_is_seen(
    ingest: Ingest, patient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(ingest.workspace)
    uid = recorder.start()
    ingest.drain()
    _at_rest(ingest)
    opened: list[Any] = []
    original = journal_files.read_frames

    def read_frames(path: Any, *args: Any, **kwargs: Any) -> Any:
        opened.append(path)
        return original(path, *args, **kwargs)

    monkeypatch.setattr(journal_files, "read_frames", read_frames)
    for _ in range(20):
        ingest.catch_up()
    assert opened == []
    # In the file that is open, and in one of another session.
    recorder.put(Metrics(uid, now_ms(), 0, {"mae": 1.0}))
    ingest.catch_up()
    assert opened
    assert ingest.index.find(uid).metrics == {"mae": 1.0}
    _at_rest(ingest)
    other = Recorder(ingest.workspace).start("other")
    ingest.catch_up()
    assert ingest.index.find(other).name == "other"


def test_only_new_files_and_frames_make_a_reader_read(workspace: Workspace, patient: None) -> None:
    folder = JournalFolder(workspace.journal)
    watch = JournalWatch(folder)
    assert not watch.unchanged()
    watch.mark_read({})
    assert watch.unchanged()
    recorder = Recorder(workspace)
    assert not watch.unchanged()
    file = folder.files()[0]
    end = journal_files.read_batch(file.path, journal_files.Cursor()).cursor
    watch.mark_read({file.name: end})
    assert watch.unchanged()
    recorder.start()
    assert not watch.unchanged()
    watch.mark_read({file.name: journal_files.read_batch(file.path, end).cursor})
    # A closed file is cut to its length.
    recorder.writer.close()
    assert watch.unchanged()
    file.path.unlink()
    assert not watch.unchanged()


@pytest.mark.process
def test_a_process_that_dies_at_rest_is_noticed(ingest: Ingest) -> None:
    uid = Recorder(ingest.workspace, identity=dead_process()).start()
    _until(lambda: (ingest.catch_up(), ingest.index.find(uid).status == "KILLED")[1])


def test_an_idle_ingest_uses_next_to_nothing(stored_workspace: Workspace) -> None:
    recorder = Recorder(stored_workspace)
    recorder.start()
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        stop = threading.Event()
        worker = threading.Thread(target=ingest.run_forever, args=(stop,))
        worker.start()
        try:
            ingest.drain()
            # In CPU time, which other processes on the machine do not lengthen.
            before, began = time.process_time(), time.monotonic()
            time.sleep(4)
            used = (time.process_time() - before) / (time.monotonic() - began)
        finally:
            stop.set()
            worker.join()
    assert used < 0.05


def test_the_backlog_counts_what_mlflow_does_not_have(
    stored_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(stored_workspace, segment_bytes=4096)
    uid = recorder.start("first", start_ms=now_ms() - 60_000)
    with Ingest(stored_workspace) as ingest:
        with monkeypatch.context() as patch:
            patch.setattr(TrackingStore, "experiment_id", _away)
            ingest.step()
            # The session's start, the run's start.
            waiting = ingest.status()
            assert (waiting.backlog_records, waiting.refused) == (2, 0)
            recorder.put(*(Metrics(uid, now_ms(), step, {"mae": 1.0}) for step in range(200)))
            while ingest.step():
                pass
            waiting = ingest.status()
            assert waiting.files > 2
            assert waiting.backlog_records == 202
            assert waiting.backlog_bytes > 202 * 24
            assert waiting.lag_seconds >= 0
            assert "gone fishing" in waiting.problem
        ingest.drain()
        told = ingest.status()
        assert (told.backlog_records, told.backlog_bytes, told.lag_seconds, told.problem) == (0, 0, 0.0, "")
        recorder.put(Params(uid, {"p": os.urandom(2)}))
        ingest.log.note_problem(uid, "param p", "refused")
        assert ingest.status().refused == 1


def _away(*_: object) -> str:
    raise Unavailable("gone fishing")

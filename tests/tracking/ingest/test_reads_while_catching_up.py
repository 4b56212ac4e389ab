"""Readers wait a limited time for the index, and learn whether it has everything."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from recorder import Recorder

from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Metrics, Params
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest


@contextmanager
def used_by_another_thread(ingest: Ingest) -> Iterator[None]:
    """The writer of the index is in use for as long as the block lasts."""
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with ingest._ownership.writer():
            entered.set()
            leave.wait(60)

    ingest.open_index()
    thread = threading.Thread(target=hold)
    thread.start()
    assert entered.wait(60)
    try:
        yield
    finally:
        leave.set()
        thread.join()


def test_a_reader_sees_what_was_just_written(ingest: Ingest) -> None:
    recorder = Recorder(ingest.workspace)
    for number in range(5):
        uid = recorder.start(f"run{number}")
        assert ingest.catch_up()
        assert ingest.index.find(uid).name == f"run{number}"


def test_a_reader_does_not_wait_for_another_that_uses_the_index(ingest: Ingest) -> None:
    recorder = Recorder(ingest.workspace)
    before = recorder.start("before")
    assert ingest.catch_up()
    with used_by_another_thread(ingest):
        assert ingest.catch_up()
        after = recorder.start("after")
        assert not ingest.catch_up()
        assert [run.uid for run in ingest.index.runs()] == [before]
        assert ingest.status().catching_up
    assert ingest.catch_up()
    assert [run.uid for run in ingest.index.runs()] == [after, before]
    assert not ingest.status().catching_up


def test_the_status_does_not_wait_for_a_delivery(ingest: Ingest) -> None:
    Recorder(ingest.workspace).start("waiting")
    ingest.catch_up()
    answered: list[int] = []
    with ingest.log.transaction():
        reader = threading.Thread(target=lambda: answered.append(ingest.status().backlog_records))
        reader.start()
        reader.join(60)
        assert answered == [2]


def test_thousands_of_runs_are_read_in_parts(ingest: Ingest) -> None:
    for _ in range(20):
        recorder = Recorder(ingest.workspace)
        for number in range(200):
            uid = recorder.start(f"run{number}")
            recorder.put(Params(uid, {"a": number}), Metrics(uid, now_ms(), 0, {"m": 1.0}))
            recorder.end(uid)
        recorder.close()
    assert not ingest.catch_up(0.0)
    seen = []
    while not ingest.catch_up(0.05):
        seen.append(ingest.index.counts()["runs"])
    assert seen == sorted(seen)
    assert len([count for count in seen if 0 < count < 4000]) > 1
    assert ingest.index.counts()["runs"] == 4000
    assert {run.status for run in ingest.index.runs(limit=4000)} == {"FINISHED"}


def test_a_process_that_does_not_feed_the_index_waits_for_the_one_that_does(stored_workspace: Workspace) -> None:
    with Ingest(stored_workspace) as feeding, Ingest(stored_workspace) as reading:
        feeding.open_index()
        uid = Recorder(stored_workspace).start("elsewhere")
        assert not reading.catch_up()
        feeding.step()
        assert reading.catch_up()
        assert reading.index.find(uid).name == "elsewhere"

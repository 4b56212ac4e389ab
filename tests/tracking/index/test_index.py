"""The read index is fast, and can be deleted."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace

import pytest
from recorder import Recorder

from mlops_workbench.core.errors import InvalidInput, NotFound, StorageError
from mlops_workbench.core.ids import now_ms, short_id
from mlops_workbench.core.records import Metrics, Params, Tags
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest, ReadIndex


@pytest.fixture
def filled(ingest: Ingest) -> Ingest:
    recorder = Recorder(ingest.workspace)
    for number, (name, mae, depth) in enumerate([("a", 3.0, 2), ("b", 1.0, 10), ("c", math.nan, 9), ("d", 2.0, None)]):
        experiment, kind = "one" if number < 3 else "two", "stage" if name == "b" else "run"
        uid = recorder.start(name, experiment, kind=kind, start_ms=now_ms() - 1000 + number)
        recorder.put(Metrics(uid, now_ms(), 0, {"mae": mae}), Tags(uid, {"team": "x"}))
        if depth is not None:
            recorder.put(Params(uid, {"depth": depth}))
        recorder.end(uid, "FAILED" if name == "c" else "FINISHED", error="ValueError: no")
    ingest.step()
    return ingest


def _names(index: ReadIndex, *args: str, **kwargs: object) -> str:
    return "".join(run.name for run in index.runs(*args, **kwargs))  # type: ignore[arg-type]


def test_runs_are_filtered_ordered_and_paged(filled: Ingest) -> None:
    index = filled.index
    assert _names(index) == "dcba"
    assert _names(index, "one", descending=False) == "abc"
    assert _names(index, status="FAILED") == "c"
    assert _names(index, kind="stage") == "b"
    assert _names(index, order_by="metrics.mae", descending=False) == "bdac"
    assert _names(index, order_by="metrics.mae") == "adbc"
    assert _names(index, order_by="params.depth", descending=False)[:3] == "acb"
    assert _names(index, limit=2, offset=1) == "cb"
    assert _names(index, offset=10**20) == ""
    assert index.runs(order_by="metrics.mae")[-1].metrics == {"mae": "NaN"}
    assert [(e.name, e.runs) for e in index.experiments()] == [("two", 1), ("one", 3)]
    assert index.counts()["runs"] == 4
    with pytest.raises(InvalidInput, match="ordered by"):
        index.runs(order_by="r.uid; DROP TABLE runs")


def test_a_run_is_found_by_any_of_its_names(filled: Ingest) -> None:
    index = filled.index
    run = index.find("b")
    assert index.find(run.uid) == index.find(run.run_id) == index.find(run.uid[:-1]) == run
    # As ids are shown; candidates of a search began in the same instant.
    assert {index.find(short_id(other.uid)).uid for other in index.runs()} == {other.uid for other in index.runs()}
    again = Recorder(filled.workspace).start("b", "two")
    filled.step()
    assert index.find("b").uid == again
    assert index.find("b", "one").uid == run.uid
    with pytest.raises(NotFound, match="did you mean 'b'"):
        index.find("bb")
    with pytest.raises(NotFound, match="no run"):
        index.find("%" * 8)
    with pytest.raises(NotFound, match="it is in experiment 'one'"):
        index.find("a", "three")
    with pytest.raises(InvalidInput, match="more than one"):
        index.find(run.uid[:6])
    with pytest.raises(NotFound, match="logged no model"):
        index.model(run.uid)


def test_each_change_has_a_revision_that_names_what_changed(filled: Ingest) -> None:
    index = filled.index
    revision = index.revision()
    assert index.changed_since(revision) == []
    run = index.find("a")
    Recorder(filled.workspace).put(Tags(run.uid, {"team": "y"}))
    filled.step()
    assert index.revision() > revision
    assert index.changed_since(revision) == [("runs", run.uid)]
    assert index.find("a").tags == {"team": "y"}


def test_a_deleted_index_is_rebuilt_and_readers_continue(filled: Ingest) -> None:
    before = filled.index.runs()
    details = [filled.index.detail(run.uid) for run in before]
    filled.workspace.index.unlink()
    assert filled.index.runs() == []
    filled.step()
    filled.step()
    assert filled.index.runs() == before
    assert [filled.index.detail(run.uid) for run in before] == details


def test_a_broken_index_is_replaced(stored_workspace: Workspace) -> None:
    Recorder(stored_workspace).start("a")
    stored_workspace.index.write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(StorageError, match="delete the file"):
        ReadIndex(stored_workspace.index).runs()
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        assert _names(ingest.index) == "a"


@pytest.mark.parametrize("damage", [b"", b"no database " * 2000])
def test_an_index_damaged_while_it_is_used_is_rebuilt(filled: Ingest, damage: bytes) -> None:
    before = filled.index.runs()
    # In place: the file that is open everywhere, not another one of its name.
    with filled.workspace.index.open("r+b") as file:
        file.truncate(0)
        file.write(damage)
    Recorder(filled.workspace).start("later")
    while filled.step():
        pass
    assert {run.name for run in filled.index.runs()} == {run.name for run in before} | {"later"}


def test_runs_without_journals_are_restored_from_mlflow(filled: Ingest) -> None:
    filled.drain()
    before = filled.index.runs()
    workspace = filled.workspace
    filled.close()
    for path in workspace.journal.iterdir():
        path.unlink()
    workspace.index.unlink()
    Recorder(workspace).start("new")
    with Ingest(workspace) as ingest:
        ingest.drain()
        while ingest.step():
            pass
        runs = {run.name: run for run in ingest.index.runs()}
        assert set(runs) == {"a", "b", "c", "d", "new"}
        for run in before:
            assert runs[run.name] == replace(run, origin="mlflow")


def test_ingest_feeds_the_index_while_it_runs_as_a_thread(stored_workspace: Workspace) -> None:
    recorder, stop = Recorder(stored_workspace), threading.Event()
    with Ingest(stored_workspace) as ingest:
        thread = threading.Thread(target=ingest.run_forever, args=(stop,))
        thread.start()
        try:
            uid = recorder.start("live")
            index = ReadIndex(stored_workspace.index)
            _until(lambda: [run.name for run in index.runs()] == ["live"])
            recorder.put(Metrics(uid, now_ms(), 0, {"mae": 1.0}))
            _until(lambda: index.find("live").metrics == {"mae": 1.0})
            _until(lambda: index.find("live").run_id != "")
            recorder.end(uid)
            ingest.drain(uid)
            assert index.find("live").status == "FINISHED"
        finally:
            stop.set()
            thread.join(60)
        assert not thread.is_alive()


def _until(condition: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_parts_of_another_run_can_be_left_out_but_not_what_a_stage_logged(filled: Ingest) -> None:
    recorder = Recorder(filled.workspace)
    search, stage = recorder.start("s", "one"), filled.index.find("b").uid
    recorder.start("x", "one", parent_uid=search)
    recorder.start("t", "one", parent_uid=stage)
    filled.step()
    assert sorted(_names(filled.index, "one")) == sorted("abcstx")
    for order in ("start", "metrics.mae", "params.depth"):
        assert sorted(_names(filled.index, "one", nested=False, order_by=order)) == sorted("abcst")

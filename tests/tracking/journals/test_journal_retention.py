"""Journals are deleted once they are indexed and delivered, and not before."""

from __future__ import annotations

import os
import time

import pytest
from recorder import Recorder, dead_process

from mlops_workbench.core.errors import Unavailable
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Metrics, Params
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest, TrackingStore

pytestmark = pytest.mark.process


def _age(workspace: Workspace, days: float) -> None:
    then = time.time() - days * 86_400
    for path in workspace.journal.glob("*.mlj"):
        os.utime(path, (then, then))


def _settle(ingest: Ingest) -> None:
    while ingest.step():
        pass
    ingest._expire_at = 0.0
    ingest.step()


def _journals(workspace: Workspace) -> set[str]:
    return {path.name for path in workspace.journal.glob("*.mlj")}


def test_old_delivered_journals_are_deleted_and_their_runs_stay(stored_workspace: Workspace) -> None:
    ended = Recorder(stored_workspace, segment_bytes=4096, identity=dead_process())
    uid = ended.start("ended", tags={"team": "a"})
    ended.put(Params(uid, {"depth": 6}))
    ended.put(*(Metrics(uid, now_ms(), step, {"mae": step / 2}) for step in range(200)))
    ended.end(uid)
    ended.close()
    living = Recorder(stored_workspace)
    open_uid = living.start("open")
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        _age(stored_workspace, 29)
        before = _journals(stored_workspace)
        _settle(ingest)
        assert _journals(stored_workspace) == before
        _age(stored_workspace, 31)
        _settle(ingest)
        # A process that lives may go on writing to its file, however old that is.
        assert _journals(stored_workspace) == {living.writer.path.name}
        found = ingest.index.find(uid)
        living.put(Metrics(open_uid, now_ms(), 0, {"mae": 1.0}))
        _settle(ingest)
        assert ingest.index.find(open_uid).metrics == {"mae": 1.0}

    # A new index has them from MLflow.
    stored_workspace.index.unlink()
    with Ingest(stored_workspace) as ingest:
        _settle(ingest)
        again = ingest.detail(uid)
        assert (again.run.params, again.run.metrics, again.run.tags) == (found.params, found.metrics, found.tags)
        assert (again.run.status, again.run.start_ms, again.run.end_ms) == (found.status, found.start_ms, found.end_ms)
        assert [point.step for point in again.history["mae"]] == list(range(200))
        assert ingest.index.find(open_uid).metrics == {"mae": 1.0}


def test_undelivered_journals_stay(stored_workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(stored_workspace, identity=dead_process())
    recorder.end(recorder.start())
    recorder.close()

    def away(*_: object) -> str:
        raise Unavailable("away")

    with Ingest(stored_workspace) as ingest:
        _age(stored_workspace, 1000)
        with monkeypatch.context() as patch:
            patch.setattr(TrackingStore, "experiment_id", away)
            _settle(ingest)
            assert len(_journals(stored_workspace)) == 1
        ingest.drain()
        _age(stored_workspace, 1000)
        _settle(ingest)
        assert _journals(stored_workspace) == set()


def test_zero_days_keeps_all_journals(stored_workspace: Workspace) -> None:
    kept = Workspace.open(stored_workspace.root, {"journal.keep_days": 0.0})
    recorder = Recorder(kept, identity=dead_process())
    recorder.end(recorder.start())
    recorder.close()
    with Ingest(kept) as ingest:
        ingest.drain()
        _age(kept, 10_000)
        _settle(ingest)
        assert len(_journals(kept)) == 1

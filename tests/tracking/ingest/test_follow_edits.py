"""Edits of journalled runs in MLflow's UI are in the index."""

from __future__ import annotations

from mlflow import MlflowClient
from recorder import Recorder

from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Metrics, Params, RunEnd, Tags
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest

#: A name and values that MLflow does not take as they are.
_ODD = "größe/ü,x"
_LONG = "x" * 9000


def _run(recorder: Recorder, name: str = "own") -> str:
    uid = recorder.start(name, "edits")
    recorder.put(
        Params(uid, {"depth": 3, _ODD: _LONG, "depth ": 1}),
        Metrics(uid, now_ms(), 0, {"auc": 0.5, _ODD: 2**63, "inf": float("inf")}),
        Tags(uid, {"team": "a", "note": "first", _ODD: _LONG}),
        RunEnd(uid, now_ms(), "FINISHED"),
    )
    return uid


def _look(ingest: Ingest) -> None:
    while ingest.step():
        pass
    while ingest.follow():
        pass


def test_a_run_without_edits_stays_as_in_the_journal(stored_workspace: Workspace) -> None:
    uid = _run(Recorder(stored_workspace), "n" * 300)
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        before, revision = ingest.index.find(uid), ingest.index.revision()
        _look(ingest)
        assert ingest.index.find(uid) == before
        assert ingest.index.revision() == revision


def test_names_notes_tags_and_added_values_are_followed(stored_workspace: Workspace) -> None:
    recorder = Recorder(stored_workspace)
    uid = _run(recorder)
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        _look(ingest)
        client = MlflowClient(ingest.store.uri, ingest.store.uri)
        run_id = ingest.index.find(uid).run_id
        client.update_run(run_id, name="the best")
        client.set_tag(run_id, "mlflow.note.content", "better than it looks")
        client.set_tag(run_id, "team", "b")
        client.set_tag(run_id, "reviewed", "yes")
        client.log_param(run_id, "seed", "7")
        client.log_metric(run_id, "late", 1.0, step=0)
        client.log_metric(run_id, "late", 0.25, step=1)
        _look(ingest)
        revision = ingest.index.revision()
        for again in (False, True):
            if again:
                # What MLflow told is read from it again into a new index.
                ingest.index.close()
                for file in stored_workspace.index.parent.glob(f"{stored_workspace.index.name}*"):
                    file.unlink()
                _look(ingest)
                _look(ingest)
            found = ingest.index.find(uid)
            assert (found.name, found.origin, found.status) == ("the best", "", "FINISHED")
            assert found.tags == {"team": "b", "note": "better than it looks", _ODD: _LONG, "reviewed": "yes"}
            assert found.params == {"depth": "3", "depth ": "1", _ODD: _LONG, "seed": "7"}
            assert found.metrics == {"auc": 0.5, _ODD: 2.0**63, "inf": "Infinity", "late": 0.25}
            assert [(point.step, point.value) for point in ingest.history(uid, "late")] == [(0, 1.0), (1, 0.25)]
            assert ingest.detail(uid).points["late"] == 2
            assert [run.uid for run in ingest.index.runs(filter="params.seed = 7 and tags.reviewed = 'yes'")] == [uid]
        _look(ingest)
        assert ingest.index.revision() >= revision

        # What is journalled later stands again.
        recorder.put(Tags(uid, {"team": "c", "note": "last"}))
        recorder.writer.sync()
        _look(ingest)
        ingest.drain()
        revision = ingest.index.revision()
        _look(ingest)
        found = ingest.index.find(uid)
        assert (found.tags["team"], found.tags["note"], found.name) == ("c", "last", "the best")
        assert ingest.index.revision() == revision
        assert client.get_run(run_id).data.tags["team"] == "c"


def test_records_that_wait_for_delivery_are_not_overwritten(stored_workspace: Workspace) -> None:
    recorder = Recorder(stored_workspace)
    uid = _run(recorder)
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        _look(ingest)
        client = MlflowClient(ingest.store.uri, ingest.store.uri)
        recorder.put(Tags(uid, {"team": "later"}))
        recorder.writer.sync()
        ingest.catch_up()
        # MLflow has another value, but an older one.
        client.set_tag(ingest.index.find(uid).run_id, "reviewed", "yes")
        while ingest.follow():
            pass
        assert ingest.index.find(uid).tags["team"] == "later"
        _look(ingest)
        assert ingest.index.find(uid).tags["team"] == "later"
        assert ingest.index.find(uid).tags["reviewed"] == "yes"

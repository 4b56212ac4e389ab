"""Background jobs: a failure does not stop other work."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlops_workbench.capture import Session
from mlops_workbench.client.bodies import DeployRequest
from mlops_workbench.control.plane import ControlPlane
from mlops_workbench.control.services import runs
from mlops_workbench.control.tables import AlertRow, EndpointRow, MonitorRow, PipelineRunRow
from mlops_workbench.core.errors import NotFound, Unavailable
from mlops_workbench.core.ids import new_id, now_ms
from mlops_workbench.core.monitors import MonitorSpec
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.runs.events import RunEnded, StageEnded, StageStarted, append_event
from mlops_workbench.pipelines.runs.folder import RunFolder, write_struct
from mlops_workbench.pipelines.runs.requests import PublishTarget, RunRequest, StageRequest

pytestmark = pytest.mark.usefixtures("database_url")


@pytest.fixture
def plane(stored_workspace: Workspace) -> Iterator[ControlPlane]:
    """A control plane whose jobs run when a test says so."""
    made = ControlPlane(stored_workspace, on_shutdown=lambda: None)
    yield made
    made._database.close()
    made.ingest.close()


def watched(plane: ControlPlane, name: str, model: str, *, wanted: bool) -> None:
    spec = MonitorSpec(name)
    with plane._database.change() as session:
        session.add(EndpointRow(name=name, model=model, version=1, wanted=wanted))
        session.add(
            MonitorRow(
                endpoint=name,
                spec={"endpoint": name, "window": spec.window, "metric": spec.metric, "params": {}},
                windows=[],
                evaluated_ms=0,
            )
        )


def test_a_removed_or_failing_endpoint_does_not_stop_other_monitors(plane: ControlPlane) -> None:
    watched(plane, "a-removed", "sizes@champion", wanted=False)
    watched(plane, "b-broken", "sizes@champion", wanted=True)
    watched(plane, "c-fine", "sizes@champion", wanted=True)
    with plane._database.change() as session:
        row = session.get(MonitorRow, "b-broken")
        assert row is not None
        row.spec = {**row.spec, "metric": "none"}
    with pytest.raises(Exception, match="none"):
        plane.monitors.step()
    assert plane.monitors.report("a-removed").evaluated_ms == 0
    assert plane.monitors.report("c-fine").evaluated_ms > 0
    with pytest.raises(NotFound, match="a-removed"):
        plane.monitors.evaluate("a-removed")


def test_a_damaged_segment_does_not_stop_its_monitor_and_is_named(plane: ControlPlane) -> None:
    watched(plane, "e", "sizes@champion", wanted=True)
    folder = plane.workspace.predictions / "endpoint=e" / "date=2026-01-01"
    folder.mkdir(parents=True)
    for name, content in (("a", b""), ("b", b"PAR1 no footer"), ("c", b"PAR1" + bytes(100) + b"PAR1")):
        (folder / f"{name}.parquet").write_bytes(content)
    (folder / "d.parquet").mkdir()
    assert plane.monitors.evaluate("e").evaluated_ms > 0
    assert len(list(folder.glob("*.parquet.damaged-*"))) == 4
    assert "damaged files of its log are put aside" in plane.status().processes[0].state


def test_an_alert_that_was_resolved_during_the_cooldown_starts_nothing(plane: ControlPlane) -> None:
    watched(plane, "sizes", "sizes@champion", wanted=True)
    alert = {"endpoint": "sizes", "kind": "quality", "window": "2024-05", "message": "worse", "version": 1}
    with plane._database.change() as session:
        session.add(AlertRow(id="1" * 32, at_ms=now_ms(), pipeline_run="f" * 32, trigger="done", **alert))
        session.add(
            AlertRow(id="2" * 32, at_ms=now_ms(), pipeline_run="", resolved_ms=now_ms(), trigger="pending", **alert)
        )
        session.add(AlertRow(id="3" * 32, at_ms=now_ms(), pipeline_run="", trigger="pending", **alert))
    plane.monitors.step()
    with plane._database.session() as session:
        states = {row.id[0]: row.trigger for row in session.query(AlertRow)}
    # The last one waits for the pause after the first.
    assert states == {"1": "done", "2": "none", "3": "pending"}


def test_an_endpoint_whose_model_was_deleted_does_not_stop_others_from_following(plane: ControlPlane) -> None:
    client = plane.models._registry.tracking.client
    client.create_registered_model("sizes")
    for _ in range(2):
        client.create_model_version("sizes", "models")
    client.set_registered_model_alias("sizes", "champion", "2")
    watched(plane, "a", "gone@champion", wanted=True)
    watched(plane, "b", "sizes@champion", wanted=True)
    with pytest.raises(NotFound, match="gone"):
        plane.endpoints.follow()
    assert {spec.name: (spec.version, spec.previous) for spec in plane.endpoints.specs()} == {"a": (1, 0), "b": (2, 1)}


def test_concurrent_deployments_of_an_endpoint_succeed(plane: ControlPlane) -> None:
    client = plane.models._registry.tracking.client
    client.create_registered_model("sizes")
    client.create_model_version("sizes", "models")
    with ThreadPoolExecutor(8) as many:
        answers = list(many.map(lambda _: plane.endpoints.deploy("sizes", DeployRequest("sizes/1")), range(8)))
    assert {answer.wanted_version for answer in answers} == {1}
    [spec] = plane.endpoints.specs()
    assert spec.generation == 8


def succeeded(workspace: Workspace, run_uid: str, publish: PublishTarget | None) -> str:
    folder = RunFolder(workspace.pipeline_runs / new_id())
    stage = StageRequest(name="train", stage="train", notebook="train.ipynb", source="train.ipynb", cells=1)
    request = RunRequest(
        id=folder.path.name,
        pipeline="retrain",
        workspace=str(workspace.root),
        experiment="x",
        created_ms=now_ms(),
        stages=[stage],
        publish=publish,
    )
    write_struct(folder.request, request)
    for event in (
        StageStarted(now_ms(), "train", 1, run_uid),
        StageEnded(now_ms(), "train", "succeeded"),
        RunEnded(now_ms(), "succeeded"),
    ):
        append_event(folder.events, event)
    return folder.path.name


def test_a_model_that_cannot_be_delivered_does_not_stop_other_runs(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_PATIENCE_SECONDS", 0.2)
    (workspace.root / "workbench.toml").write_text("[tracking]\nuri = 'http://127.0.0.1:9'\n")
    away = Workspace.open(workspace.root)
    session = Session(away)
    run = session.start_run("train")
    run.end("FINISHED")
    session.close()
    first = succeeded(away, run.uid, PublishTarget("train", "train", "sizes", "champion", []))
    second = succeeded(away, run.uid, None)
    plane = ControlPlane(away, on_shutdown=lambda: None)
    try:
        with pytest.raises(Unavailable):
            plane.pipelines.step()
        with plane._database.session() as session_:
            states = {row.id: row.publish for row in session_.query(PipelineRunRow)}
        assert states == {first: "pending", second: "none"}
    finally:
        plane._database.close()
        plane.ingest.close()

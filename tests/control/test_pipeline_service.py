"""Runs of pipelines, as the control plane sees them."""

from __future__ import annotations

import threading
from typing import Any, cast

from sqlalchemy import select

from mlops_workbench.control.database import Database
from mlops_workbench.control.events import EventHub
from mlops_workbench.control.services.pipelines import PipelineService
from mlops_workbench.control.tables import PipelineRunRow
from mlops_workbench.core.ids import new_id
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.kernels.forked import own_identity
from mlops_workbench.pipelines.runs.events import RunEnded, RunEvent, RunStarted, append_event
from mlops_workbench.pipelines.runs.folder import RunFolder, write_struct
from mlops_workbench.pipelines.runs.requests import RunRequest, StageRequest


def test_concurrent_calls_add_one_row_for_a_run(workspace: Workspace, database_url: str) -> None:
    database = Database(database_url)
    # Neither models nor delivery nor endpoints have a part in this.
    nothing = cast("Any", None)
    service = PipelineService(workspace, database, nothing, nothing, EventHub(), nothing)
    together = threading.Barrier(3)
    failed: list[BaseException] = []

    def see() -> None:
        for number in range(60):
            together.wait(timeout=60)
            try:
                service._track(f"{number:032x}")
            except BaseException as error:
                failed.append(error)

    threads = [threading.Thread(target=see) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    with database.session() as session:
        rows = session.scalars(select(PipelineRunRow.id)).all()
    database.close()
    assert failed == [] and len(rows) == 60


def test_an_active_run_is_found_among_any_number_of_newer_ones(workspace: Workspace, database_url: str) -> None:
    database = Database(database_url)
    nothing = cast("Any", None)
    service = PipelineService(workspace, database, nothing, nothing, EventHub(), nothing)
    active = stored_run(workspace, 0, RunStarted(1, new_id(), own_identity()))
    service.step()
    ended = [stored_run(workspace, n, RunStarted(1, new_id()), RunEnded(2, "succeeded")) for n in range(1, 60)]
    for _ in range(3):
        service.step()
        assert [run.id for run in service.newest_and_active(2)] == [ended[-1], ended[-2], active]
    append_event(RunFolder(workspace.pipeline_runs / active).events, RunEnded(3, "succeeded"))
    service.step()
    assert [run.id for run in service.newest_and_active(2)] == [ended[-1], ended[-2]]
    database.close()


def stored_run(workspace: Workspace, number: int, *events: RunEvent) -> str:
    """A run with these events, and its id, which is greater with a greater number."""
    folder = RunFolder(workspace.pipeline_runs / f"{number:032x}")
    folder.path.mkdir(parents=True)
    stage = StageRequest(
        name="train", stage="train", notebook="train.ipynb", source=str(workspace.root / "train.ipynb")
    )
    request = RunRequest(
        id=folder.path.name,
        pipeline="daily",
        workspace=str(workspace.root),
        experiment="flights",
        created_ms=1,
        stages=[stage],
    )
    write_struct(folder.request, request)
    for event in events:
        append_event(folder.events, event)
    return folder.path.name

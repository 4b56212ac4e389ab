"""Rows of pipeline runs, which a request and the background job may add at the same time."""

from __future__ import annotations

import threading
from typing import Any, cast

from sqlalchemy import select

from mlops_workbench.control.database import Database
from mlops_workbench.control.events import EventHub
from mlops_workbench.control.services.pipelines import PipelineService
from mlops_workbench.control.tables import PipelineRunRow
from mlops_workbench.core.workspace import Workspace


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

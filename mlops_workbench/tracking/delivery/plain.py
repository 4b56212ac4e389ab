"""What MLflow gets of a plain run, which MLflow code started: what that code logged.

Code, output, environment and use of resources of such a run are in the journal and the read index. The use of
resources is also a tag of the workbench, since a read index that is made from MLflow has no other source for it.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import structs

from mlops_workbench.core.records import Artifact, Metrics, RunEnd, RunStart, Tags
from mlops_workbench.core.tags import METRIC_PREFIX
from mlops_workbench.tracking.delivery.record import RunRecord
from mlops_workbench.tracking.mapping.values import MAX_TAG, as_text, clip


def without_additions(items: Iterable[RunRecord]) -> list[RunRecord]:
    """The records of a plain run as they are delivered."""
    kept = []
    for item in items:
        record = item.record
        if isinstance(record, Metrics) and record.origin == "system":
            values = {f"{METRIC_PREFIX}{name}": as_text(value) for name, value in record.values.items()}
            kept.append(item._replace(record=Tags(record.run_uid, values)))
        elif isinstance(record, RunStart):
            kept.append(item._replace(record=structs.replace(record, source="")))
        elif isinstance(record, RunEnd):
            kept.append(
                item._replace(
                    record=structs.replace(record, output="", traceback="", error=clip(record.error, MAX_TAG))
                )
            )
        elif not (isinstance(record, (Artifact, Tags)) and record.origin == "observed"):
            kept.append(item)
    return kept

"""Values that are too long for MLflow."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_workbench.core.records import Params, RunEnd, RunStart, Tags, Value
from mlops_workbench.core.tags import PARAM_PREFIX
from mlops_workbench.tracking.delivery.end_tags import end_tags
from mlops_workbench.tracking.delivery.log import DeliveryLog
from mlops_workbench.tracking.delivery.record import RunRecord
from mlops_workbench.tracking.mapping.values import MAX_PARAM, MAX_TAG, as_text, store_name


def long_texts(log: DeliveryLog, uid: str, item: RunRecord) -> Iterator[tuple[str, str]]:
    """Full texts of values that MLflow truncates, as ``(artifact path, text)``."""
    record = item.record
    tags: dict[str, Value] = {}
    if isinstance(record, Params):
        for name, value in record.values.items():
            key, text = store_name(name), as_text(value)
            if len(text) <= MAX_PARAM:
                continue
            ordinal = log.param_ordinal(uid, key, item.place, text)
            if ordinal == 1:
                yield f"mlops/params/{key}.txt", text
            elif ordinal > 1:
                tags[f"{PARAM_PREFIX}{key}.{ordinal}"] = text
    elif isinstance(record, Tags):
        tags = record.values
    elif isinstance(record, RunStart):
        tags = record.tags
    elif isinstance(record, RunEnd):
        tags = end_tags(record)
    for name, value in tags.items():
        text = as_text(value)
        if len(text) > MAX_TAG:
            yield f"mlops/tags/{store_name(name)}.txt", text

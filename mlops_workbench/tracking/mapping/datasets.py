"""Data of a run as MLflow's ``Dataset``."""

from __future__ import annotations

import json

from mlops_workbench.core.records import Dataset
from mlops_workbench.tracking.mapping.values import as_text

#: Length of a digest in MLflow's tables.
_DIGEST = 36
_SHOWN_COLUMNS = 2000
_MAX_PROFILE = 1_000_000
#: Fields that are kept as MLflow code logged them.
_FIELDS = ("source_type", "source", "schema", "profile")
CONTEXT = "mlflow.data.context"


def dataset_fields(data: Dataset) -> dict[str, str | None]:
    """The fields of MLflow's ``Dataset``; data that MLflow code logged keeps its own."""
    name, digest = (data.name or "data")[:500], (data.digest or "unknown")[:_DIGEST]
    if data.entity:
        return {"name": name, "digest": digest, **{field: data.entity.get(field) for field in _FIELDS}}
    columns = [
        {"type": column.dtype, "name": column.name, "required": column.required}
        for column in data.columns[:_SHOWN_COLUMNS]
    ]
    return {
        "name": name,
        "digest": digest,
        "source_type": "local" if data.source else "code",
        "source": json.dumps({"uri": data.source} if data.source else {"tags": {}})[:65535],
        "schema": json.dumps({"mlflow_colspec": columns}),
        "profile": _profile(data),
    }


def _profile(data: Dataset) -> str:
    text = json.dumps({"num_rows": data.rows, **data.profile}, default=as_text)
    if len(text) <= _MAX_PROFILE:
        return text
    # The journal and the read index have the whole profile.
    return json.dumps({"num_rows": data.rows, "digest": data.covers, "left_out": "columns"})


def dataset_tags(data: Dataset) -> dict[str, str]:
    """The tags of the data as an input of its run."""
    if "tags" in data.entity:
        tags: dict[str, str] = json.loads(data.entity["tags"])
        return tags
    return {CONTEXT: (data.context or "training")[:500]}

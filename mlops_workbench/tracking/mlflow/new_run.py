"""The rows of a new run in MLflow's tables."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from mlops_workbench.core.tags import RUN_NAME, USER

_ARTIFACTS = "artifacts"


#: A uid that can be an MLflow run id: a UUID in hexadecimal, as `core.ids.new_id` and MLflow generate.
_RUN_ID = re.compile(r"[0-9a-f]{32}\Z")


def run_id_of(uid: str) -> str:
    """MLflow's id of a run that is inserted directly: its uid if that is a valid id, else 32 digits of its hash."""
    if _RUN_ID.match(uid):
        return uid
    return hashlib.sha256(uid.encode()).hexdigest()[:32]


def new_run(
    uid: str, experiment_id: str, location: str, name: str, start_ms: int, tags: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Columns and tags of a new run, by the rules of ``mlflow.store.tracking.sqlalchemy_store``.

    Parameters
    ----------
    uid : str
        Its id.
    experiment_id, location : str
        Its experiment, and the artifact location of that.
    name : str
        Its name; if empty, that of the tag, else one derived from the uid (MLflow would choose a random one).
    start_ms : int
        Start time.
    tags : mapping
        Tags.
    """
    from mlflow.utils.uri import append_to_uri_path

    shown = name or tags.get(RUN_NAME) or f"run-{uid[-8:]}"
    columns = {
        "run_uuid": uid,
        "name": shown,
        "experiment_id": int(experiment_id),
        "artifact_uri": str(append_to_uri_path(location, uid, _ARTIFACTS)),
        "source_type": "UNKNOWN",
        "source_name": "",
        "entry_point_name": "",
        "source_version": "",
        "user_id": tags.get(USER, "unknown"),
        "status": "RUNNING",
        "start_time": start_ms,
        "lifecycle_stage": "active",
    }
    return columns, {**tags, RUN_NAME: shown}

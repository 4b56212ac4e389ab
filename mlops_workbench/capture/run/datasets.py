"""Schema and snapshot of a described data set."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from mlops_workbench.capture.kernel.notices import notify
from mlops_workbench.core.errors import InvalidInput, WorkbenchError
from mlops_workbench.core.records import Artifact, Dataset, Tags
from mlops_workbench.core.secrets.columns import is_secret_name
from mlops_workbench.core.tags import REFUSED_SNAPSHOTS

if TYPE_CHECKING:
    from mlops_workbench.capture.record.recorder import Recorder
    from mlops_workbench.data.snapshot import WrittenSnapshot


_NAMED = 5


def keep_with_run(
    recorder: Recorder,
    dataset: Dataset,
    data: Any,
    *,
    snapshot: bool | None = None,
    later: Callable[[Dataset], None] | None = None,
) -> Dataset:
    """Store the schema of training data, and a snapshot if requested.

    Parameters
    ----------
    recorder : Recorder
        Recorder of the run.
    dataset : Dataset
        The description.
    data : table or path
        The described data.
    snapshot : bool, optional
        Whether to store a snapshot; by default the setting ``capture.snapshot`` decides. The setting keeps no table
        with columns of secrets, and a requested snapshot of one stays in the workspace and is not sent to MLflow.
    later : callable, optional
        Called with the description and the digest of the snapshot after the reply to the cell, when the snapshot was
        read back; without it, or without a cell, the snapshot is read back at once.

    Returns
    -------
    Dataset
        The description with the digests of schema and snapshot. They are empty after a disk error, which is reported.
    """
    if dataset.context == "training":
        from mlops_workbench.data.schema import schema_json

        schema = schema_json(dataset.profile, dataset.rows)
        blob = recorder.store(dataset.run_uid, schema, wait=False) if schema is not None else None
        if schema is not None and blob is not None:
            path = f"schema/{_file_name(dataset.name)}.json"
            recorder.write(Artifact(dataset.run_uid, path, blob, len(schema), "application/json", "schema"))
            dataset = msgspec.structs.replace(dataset, schema=blob)
    if snapshot if snapshot is not None else _is_set(recorder, dataset):
        dataset = _with_snapshot(recorder, dataset, data, snapshot is not None, later)
    return dataset


def digest_seconds(recorder: Recorder) -> float:
    """Return the setting ``capture.digest_seconds``, or its default when the settings cannot be read."""
    try:
        return recorder.workspace.settings.capture.digest_seconds
    except WorkbenchError:
        return 2.0


def _is_set(recorder: Recorder, dataset: Dataset) -> bool:
    try:
        return dataset.context == "training" and recorder.workspace.settings.capture.snapshot == "training"
    except WorkbenchError:
        return False


def _with_snapshot(
    recorder: Recorder, dataset: Dataset, data: Any, requested: bool, later: Callable[[Dataset], None] | None
) -> Dataset:
    from mlops_workbench.data.snapshot import WrittenSnapshot, write_snapshot

    secret = _secret_columns(dataset)
    if secret and not requested:
        notify(
            f"no snapshot of '{dataset.name}' was saved: {secret} hold secrets. Drop them, or call\n"
            "  log_dataset(..., snapshot=True) to keep them in this workspace, but not in MLflow",
            once="snapshot of secrets",
        )
        return dataset
    try:
        written = write_snapshot(recorder.workspace, data, dataset.digest, dataset.covers)
        if not isinstance(written, WrittenSnapshot):
            return _kept(recorder, dataset, *written)
        if later is not None:
            keep = partial(_keep_later, recorder, dataset, written, later)
            if recorder.after_reply(f"the snapshot of '{dataset.name}'", keep):
                return dataset
        return _kept(recorder, dataset, *written.keep())
    except InvalidInput:
        if requested:
            raise
        notify(f"no snapshot of '{dataset.name}' was saved: it cannot be written as Parquet", once="snapshot form")
    except (WorkbenchError, OSError) as error:
        notify(f"a snapshot could not be stored and is missing from the run ({error})", once="snapshot")
    return dataset


def _keep_later(
    recorder: Recorder, dataset: Dataset, written: WrittenSnapshot, later: Callable[[Dataset], None]
) -> None:
    try:
        later(_kept(recorder, dataset, *written.keep()))
    except InvalidInput as error:
        notify(f"no snapshot of '{dataset.name}' was saved: {error}")
        # Programs that run notebooks do not read what comes after the reply.
        recorder.write(Tags(dataset.run_uid, {REFUSED_SNAPSHOTS: f"{dataset.name}: {error.message}"}))
    except (WorkbenchError, OSError) as error:
        notify(f"a snapshot could not be stored and is missing from the run ({error})", once="snapshot")


def _kept(recorder: Recorder, dataset: Dataset, blob: str, size: int) -> Dataset:
    from mlops_workbench.data.snapshot import ARTIFACT_BYTES

    if secret := _secret_columns(dataset):
        notify(
            f"the snapshot of '{dataset.name}' stays in this workspace and is not sent to MLflow: {secret} hold secrets"
        )
    elif size <= ARTIFACT_BYTES:
        path = f"data/{_file_name(dataset.name)}.parquet"
        recorder.write(Artifact(dataset.run_uid, path, blob, size, "application/vnd.apache.parquet", "table"))
    return msgspec.structs.replace(dataset, snapshot=blob)


def _secret_columns(dataset: Dataset) -> str:
    """Names of the columns that hold secrets, as text; empty if there are none."""
    names = [column["name"] for column in dataset.profile.get("columns") or () if column.get("secret")]
    profiled = len(dataset.profile.get("columns") or ())
    names += [column.name for column in dataset.columns[profiled:] if is_secret_name(column.name)]
    shown = ", ".join(f"'{name}'" for name in names[:_NAMED])
    return f"the columns {shown}" + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "") if names else ""


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "data"

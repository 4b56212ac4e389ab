"""Data that a run used, as a record: shape, columns, digest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mlops_workbench.capture.digest import content_digest
from mlops_workbench.capture.schema import columns_of, is_array, is_frame, is_table, missing
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.records import Column, Dataset
from mlops_workbench.core.store import digest_file


def describe_dataset(
    run_uid: str, data: Any, name: str = "", *, context: str = "training", source: str = ""
) -> Dataset:
    """Describe a table or a file.

    Raises
    ------
    InvalidInput
        It is neither.
    """
    if isinstance(data, str | os.PathLike):
        return _file(run_uid, Path(data), name, context, source)
    if not is_table(data):
        raise InvalidInput(
            f"{type(data).__name__} is not a table", hint="give a DataFrame, a Series, an array, or the path of a file"
        )
    digest, covers = content_digest(data)
    profile: dict[str, Any] = {"kind": _kind(data), "digest": covers}
    if is_frame(data):
        gaps = {str(column): missing(data.iloc[:, i]) for i, column in enumerate(data.columns)}
        profile["missing"] = {column: count for column, count in gaps.items() if count}
    return Dataset(run_uid, name or "data", context, digest, len(data), _columns(data, name), source, profile)


def _columns(data: Any, name: str) -> list[Column]:
    # Thousands of unnamed columns say nothing that the width does not.
    if is_array(data) and data.ndim == 2 and data.shape[1] > 1000:
        return []
    columns = columns_of(data)
    if name and data.ndim == 1 and getattr(data, "name", None) is None:
        return [Column(name, columns[0].dtype, columns[0].required)]
    return columns


def _kind(data: Any) -> str:
    return f"{type(data).__module__.partition('.')[0]}.{type(data).__qualname__}"


def _file(run_uid: str, path: Path, name: str, context: str, source: str) -> Dataset:
    try:
        digest = digest_file(path)
        size = path.stat().st_size
    except OSError as error:
        raise InvalidInput(
            f"the file cannot be read: {error.strerror or error}", where=str(path), hint="give an existing file"
        ) from error
    # MLflow takes digests of at most 36 characters.
    return Dataset(
        run_uid,
        name or path.name,
        context,
        digest[:32],
        0,
        [],
        source or str(path.resolve()),
        {"kind": "file", "digest": "content", "size": size, "sha256": digest},
    )

"""Objects that MLflow code logs, with passwords and keys replaced by ``***``, and without reserved names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from mlops_workbench.core.secrets import mask, mask_value
from mlops_workbench.core.tags import RESERVED


class _Pair(Protocol):
    def __init__(self, key: str, value: str) -> None: ...

    @property
    def key(self) -> str: ...

    @property
    def value(self) -> str: ...


P = TypeVar("P", bound=_Pair)


def masked(pair: P) -> P:
    """A parameter or tag with its secrets masked."""
    value = mask_value(pair.key, pair.value)
    return pair if value == pair.value else type(pair)(pair.key, value)


def all_masked(pairs: Iterable[P] | None) -> list[P]:
    """Parameters or tags with their secrets masked."""
    return [masked(pair) for pair in pairs or ()]


def masked_tags(tags: Iterable[P] | None) -> list[P]:
    """Tags with their secrets masked.

    Raises
    ------
    MlflowException
        A name is reserved for tags of the workbench.
    """
    found = all_masked(tags)
    for tag in found:
        if tag.key.startswith(RESERVED):
            raise MlflowException(
                f"The tag '{tag.key}' cannot be set: names that begin with '{RESERVED}' are reserved.",
                INVALID_PARAMETER_VALUE,
            )
    return found


def masked_inputs(inputs: Sequence[DatasetInput] | None) -> list[DatasetInput]:
    """Data of a run with secrets masked; its source may be a URL with a password."""
    return [_masked_input(item) for item in inputs or ()]


def _masked_input(item: DatasetInput) -> DatasetInput:
    data = item.dataset
    return DatasetInput(
        Dataset(
            name=mask(data.name),
            digest=data.digest,
            source_type=data.source_type,
            source=_masked_text(data.source) or "",
            schema=_masked_text(data.schema),
            profile=_masked_text(data.profile),
        ),
        [InputTag(tag.key, mask_value(tag.key, tag.value)) for tag in item.tags or []],
    )


def _masked_text(text: str | None) -> str | None:
    if not text:
        return text
    try:
        found = json.loads(text)
    except ValueError:
        return mask(text)
    kept = mask_value("", found)
    # The original text if it holds no secret.
    return text if kept == found else json.dumps(kept)

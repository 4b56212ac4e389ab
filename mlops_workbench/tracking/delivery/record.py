"""A record of a run that is delivered to MLflow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from mlops_workbench.core.records import Record, decode
from mlops_workbench.tracking.delivery.log import WaitingRecord


class RunRecord(NamedTuple):
    """A record of a run, with its session, its file, and the offset of its end."""

    record: Record
    session: str
    file: str
    end: int
    type: int
    payload: bytes

    @property
    def place(self) -> str:
        """File and offset as one text."""
        return f"{self.file}:{self.end}"


def kept_records(kept: Iterable[WaitingRecord]) -> list[RunRecord]:
    """Records from the delivery log; those that cannot be decoded are left out."""
    items = []
    for waiting in kept:
        try:
            record = decode(waiting.type, waiting.payload)
        except msgspec.DecodeError:
            continue
        if record is not None:
            session = waiting.file.rpartition("-")[0]
            items.append(RunRecord(record, session, waiting.file, waiting.place, waiting.type, waiting.payload))
    return items

"""Data that a cell was seen to use: described at once when that is quick, else after the reply."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_workbench.capture.kernel.deferred import DeferredWork
from mlops_workbench.capture.run.datasets import digest_seconds, keep_with_run
from mlops_workbench.core.records import Dataset
from mlops_workbench.data.describe import describe_dataset, description_seconds
from mlops_workbench.data.digest import len_of
from mlops_workbench.data.tables.kinds import kind_of, name_of_kind

if TYPE_CHECKING:
    from mlops_workbench.capture.run.active import ActiveRun
    from mlops_workbench.capture.session.session import Session

#: Work on data that may be done before the reply to a cell, in seconds.
BEFORE_REPLY = 0.010


@dataclass(frozen=True)
class SeenData:
    """Data that went into a run, and the expression it was given as.

    Attributes
    ----------
    name : str
        The expression.
    value : object
        The data itself, held until it is described.
    context : str
        What it was used for.
    """

    name: str
    value: Any = field(repr=False)
    context: str = "training"


def observe_data(session: Session, run: ActiveRun, seen: Iterable[SeenData], deferred: DeferredWork) -> None:
    """Record the data that a run used.

    What takes longer than about 10 ms altogether waits for the reply, and is recorded before the next cell begins;
    until then the run knows it without a version (its digest is empty). So do the schema and the snapshot of training
    data, which go to the disk.

    Parameters
    ----------
    session : Session
        Where the run is recorded.
    run : ActiveRun
        The run; it may end before its data is described.
    seen : iterable of SeenData
        The same object, or the same expression for the same use, counts once.
    deferred : DeferredWork
        Takes what waits.
    """
    left = BEFORE_REPLY
    known: set[tuple[int, str]] = set()
    for data in seen:
        if not kind_of(data.value) or (id(data.value), data.context) in known:
            continue
        known.add((id(data.value), data.context))
        left -= description_seconds(data.value)
        if left > 0:
            # A kernel that dies now has lost nothing but the schema.
            run.observe_dataset(_described(session, run, data))
        else:
            run.expect_dataset(
                Dataset(run.uid, data.name, data.context, "", len_of(data.value), covers="", profile=_kind(data))
            )
        deferred.add(f"the data '{data.name}'", _Later(session, run, data, described=left > 0))


class _Later:
    """Describes data if that was not done yet, and stores what belongs to it."""

    def __init__(self, session: Session, run: ActiveRun, data: SeenData, *, described: bool) -> None:
        self._session = session
        self._run = run
        self._data = data
        self._described = described

    def __call__(self) -> None:
        known = [d for d in self._run.datasets if (d.name, d.context) == (self._data.name, self._data.context)]
        found = known[-1] if self._described and known else _described(self._session, self._run, self._data)
        kept = keep_with_run(self._session, found, self._data.value)
        if not self._described or kept != found:
            self._run.observe_dataset(kept)


def _described(session: Session, run: ActiveRun, data: SeenData) -> Dataset:
    seconds = digest_seconds(session)
    return describe_dataset(run.uid, data.value, data.name, context=data.context, seconds=seconds)


def _kind(data: SeenData) -> dict[str, Any]:
    return {"kind": name_of_kind(data.value)}

"""Recording of the data that a cell used, at once when that is fast, else after the reply."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_workbench.capture.kernel.deferred import DeferredWork
from mlops_workbench.capture.observe.data import NamedData
from mlops_workbench.capture.run.datasets import digest_seconds, keep_with_run
from mlops_workbench.core.records import Dataset
from mlops_workbench.core.tags import UNKNOWN_DATA
from mlops_workbench.data.describe import describe_dataset, description_seconds
from mlops_workbench.data.digest import len_of
from mlops_workbench.data.tables.kinds import kind_of, name_of_kind

if TYPE_CHECKING:
    from mlops_workbench.capture.run.active import ActiveRun
    from mlops_workbench.capture.session.session import Session

#: Time limit of work on data before the reply to a cell, in seconds.
BEFORE_REPLY = 0.010
#: Share of the duration of a block, and least time in seconds, that the description of one table in it may take.
_SHARE, _LEAST = 0.1, 0.05


@dataclass(frozen=True)
class ObservedData:
    """Data of a run and its expression.

    Attributes
    ----------
    name : str
        The expression.
    value : object
        The data.
    context : str
        Use of the data.
    """

    name: str
    value: Any = field(repr=False)
    context: str = "training"


def observe_used_data(session: Session, run: ActiveRun, used: Sequence[NamedData], deferred: DeferredWork) -> None:
    """Record the data that the cell of a run used; slow selections are repeated after the reply."""
    unknown = [data for data in used if not data.known]

    def observe(some: list[NamedData]) -> None:
        known = [ObservedData(data.name, data.value, data.context) for data in some if data.value is not None]
        observe_data(session, run, known, deferred)
        unknown.extend(data for data in some if data.value is None)
        _tag_unknown(run, unknown)

    observe([data for data in used if data.known and data.quick])
    if slow := [data for data in used if data.known and not data.quick]:
        deferred.add("its data", lambda: observe(slow))


def observe_used_data_now(session: Session, run: ActiveRun, used: Sequence[NamedData], seconds: float) -> None:
    """Record the data that a block used, which the code after it may change or release.

    Parameters
    ----------
    session : Session
        Recorder.
    run : ActiveRun
        Run of the block.
    used : sequence of NamedData
        The data.
    seconds : float
        Duration of the block. Of data whose description would take more than a tenth of it, a sample is digested, and
        a selection that would take so long is not repeated.
    """
    most = max(_LEAST, _SHARE * seconds)
    unknown = []
    seen: set[tuple[int, str]] = set()
    for data in used:
        value = data.value if data.seconds <= most else None
        if value is None:
            unknown.append(data)
        elif kind_of(value) and (id(value), data.context) not in seen:
            seen.add((id(value), data.context))
            limit = digest_seconds(session) if description_seconds(value) <= most else _LEAST
            found = describe_dataset(run.uid, value, data.name, context=data.context, seconds=limit)
            run.observe_dataset(keep_with_run(session, found, value, later=run.observe_dataset))
    _tag_unknown(run, unknown)


def _tag_unknown(run: ActiveRun, unknown: Iterable[NamedData]) -> None:
    if names := dict.fromkeys(f"{data.name} ({data.context})" for data in unknown):
        run.extend_tag(UNKNOWN_DATA, names, "; ")


def observe_data(session: Session, run: ActiveRun, observed: Iterable[ObservedData], deferred: DeferredWork) -> None:
    """Record the data that a run used.

    Beyond a total of about 10 ms, data is described after the reply and before the next cell; until then its digest
    is empty. Schema and snapshot of training data, which are written to the disk, are always stored after the reply.

    Parameters
    ----------
    session : Session
        Recorder.
    run : ActiveRun
        The run; it may end before its data is described.
    observed : iterable of ObservedData
        The same object for the same use is recorded once.
    deferred : DeferredWork
        Queue of work after the reply.
    """
    left = BEFORE_REPLY
    known: set[tuple[int, str]] = set()
    for data in observed:
        if not kind_of(data.value) or (id(data.value), data.context) in known:
            continue
        known.add((id(data.value), data.context))
        left -= description_seconds(data.value)
        if left > 0:
            run.observe_dataset(_described(session, run, data))
        else:
            kind = {"kind": name_of_kind(data.value)}
            run.expect_dataset(
                Dataset(run.uid, data.name, data.context, "", len_of(data.value), covers="", profile=kind)
            )
        deferred.add(f"the data '{data.name}'", _DeferredRecord(session, run, data, described=left > 0))


class _DeferredRecord:
    """Describes data that is not described yet, and stores schema and snapshot."""

    def __init__(self, session: Session, run: ActiveRun, data: ObservedData, *, described: bool) -> None:
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


def _described(session: Session, run: ActiveRun, data: ObservedData) -> Dataset:
    seconds = digest_seconds(session)
    return describe_dataset(run.uid, data.value, data.name, context=data.context, seconds=seconds)

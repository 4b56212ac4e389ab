"""Ranking of a run that has just ended, computed within milliseconds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.run_ranking import EarlierRuns, RunRanking, earlier_runs, rank_run
from mlops_workbench.core.runs import Run
from mlops_workbench.core.wire.json_numbers import json_number
from mlops_workbench.magics.shown.card_parts import SYSTEM
from mlops_workbench.tracking.index.past import read_past
from mlops_workbench.tracking.mapping.values import as_text

if TYPE_CHECKING:
    from mlops_workbench.capture.run.active import ActiveRun
    from mlops_workbench.capture.session.session import Session

_cache: WeakKeyDictionary[ActiveRun, tuple[tuple[str, dict[str, Any]], Run]] = WeakKeyDictionary()


def ranking(session: Session, run: ActiveRun) -> RunRanking:
    """Compare a run with those of this session and of the workspace's index."""
    own = replace(_core_run(run), params=_params(run))
    finished = {other.uid: other for other in session.finished if other.experiment == run.experiment}
    past = _with_params(earlier_runs(own, map(_core_run, finished.values())), finished)
    try:
        indexed = read_past(session.workspace.index, own)
    except WorkbenchError:
        # Without a workspace the run itself is not recorded either, which was reported then.
        indexed = None
    return rank_run(own, past.merge(indexed) if indexed is not None else past)


def _core_run(run: ActiveRun) -> Run:
    cached = _cache.get(run)
    if cached is None or cached[0] != (run.status, run.metrics):
        # Cached, because each card compares hundreds of ended runs.
        cached = _cache[run] = ((run.status, dict(run.metrics)), _converted(run))
    return cached[1]


def _converted(run: ActiveRun) -> Run:
    # The card shows resources on a line of their own.
    metrics = {name: json_number(value) for name, value in run.metrics.items() if not name.startswith(SYSTEM)}
    return Run(
        run.uid, "", run.experiment, run.name, run.start.kind,
        run.status,  # type: ignore[arg-type]
        run.start.start_ms, run.end_ms, run.start.parent_uid,
        metrics=dict(metrics),
    )  # fmt: skip


def _params(run: ActiveRun) -> dict[str, str]:
    # As text, because the index stores text.
    return {name: as_text(value) for name, value in run.params.items()}


def _with_params(past: EarlierRuns, finished: dict[str, ActiveRun]) -> EarlierRuns:
    """The same runs with parameters; only those of two runs are needed, and converted to text."""

    def full(run: Run | None) -> Run | None:
        return replace(run, params=_params(finished[run.uid])) if run is not None else None

    return replace(past, previous=full(past.previous), same_name=full(past.same_name))

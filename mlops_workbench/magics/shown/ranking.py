"""Where a run that has just ended ranks, as far as that can be told within milliseconds."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.records import as_float
from mlops_workbench.core.run_ranking import EarlierRuns, RunRanking, earlier_runs, rank_run
from mlops_workbench.core.runs import Run
from mlops_workbench.magics.shown.card_parts import SYSTEM
from mlops_workbench.tracking.index.past import read_past
from mlops_workbench.tracking.mapping.values import as_text

if TYPE_CHECKING:
    from mlops_workbench.capture.run.active import ActiveRun
    from mlops_workbench.capture.session.session import Session

_nouns: WeakKeyDictionary[ActiveRun, tuple[tuple[str, dict[str, Any]], Run]] = WeakKeyDictionary()


def ranking(session: Session, run: ActiveRun) -> RunRanking:
    """Compare a run with those of this session, and with those that the workspace's index knows."""
    own = replace(_noun(run), params=_params(run))
    finished = {other.uid: other for other in session.finished if other.experiment == run.experiment}
    past = _with_params(earlier_runs(own, map(_noun, finished.values())), finished)
    try:
        known = read_past(session.workspace.index, own)
    except WorkbenchError:
        # Without a workspace the run itself could not be recorded either, and that was told.
        known = None
    return rank_run(own, past.merge(known) if known is not None else past)


def _noun(run: ActiveRun) -> Run:
    known = _nouns.get(run)
    if known is None or known[0] != (run.status, run.metrics):
        # Hundreds of runs that have ended are looked at for each card.
        known = _nouns[run] = ((run.status, dict(run.metrics)), _made(run))
    return known[1]


def _made(run: ActiveRun) -> Run:
    # Resources that were used have a line of their own.
    metrics = {name: as_float(value) for name, value in run.metrics.items() if not name.startswith(SYSTEM)}
    return Run(
        run.uid, "", run.experiment, run.name, run.start.kind,
        run.status,  # type: ignore[arg-type]
        run.start.start_ms, run.end_ms, run.start.parent_uid,
        metrics={name: value if math.isfinite(value) else None for name, value in metrics.items()},
    )  # fmt: skip


def _params(run: ActiveRun) -> dict[str, str]:
    # As text, because that is how the index has them.
    return {name: as_text(value) for name, value in run.params.items()}


def _with_params(past: EarlierRuns, finished: dict[str, ActiveRun]) -> EarlierRuns:
    """The same past; parameters become text only for the two runs whose parameters matter."""

    def full(run: Run | None) -> Run | None:
        return replace(run, params=_params(finished[run.uid])) if run is not None else None

    return replace(past, previous=full(past.previous), same_name=full(past.same_name))

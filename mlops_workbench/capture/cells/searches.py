"""Recording of parameter searches with a child run for each candidate."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from mlops_workbench.capture.observe.estimators import is_part
from mlops_workbench.capture.observe.literals import bounded
from mlops_workbench.capture.observe.metric_values import number
from mlops_workbench.capture.run.fits import Fit
from mlops_workbench.capture.run.tables import Table, read_table
from mlops_workbench.core.ids import new_id
from mlops_workbench.core.records import Metrics, Params, RunEnd, RunStart
from mlops_workbench.core.tags import SEARCH, SEARCH_CANDIDATE, SEARCH_CANDIDATES, TIMES

if TYPE_CHECKING:
    from mlops_workbench.capture.run.active import ActiveRun
    from mlops_workbench.capture.session.session import Session
    from mlops_workbench.data.reference import FitData

#: Largest number of candidates that become runs.
MAX_CHILDREN = 500
_SPLIT = re.compile(r"split(\d+)_(.+)")
_KEPT = ("mean_", "std_", "rank_")
#: Settings of a halving search that differ from candidate to candidate.
_SETTINGS = ("iter", "n_resources")


class Search:
    """Candidates and scores of a fitted search.

    Parameters
    ----------
    name : str
        Its variable.
    search : estimator
        A search with ``cv_results_``.
    """

    def __init__(self, name: str, search: Any) -> None:
        self.name = name
        self.results: dict[str, Any] = dict(search.cv_results_)
        self.candidates: list[dict[str, Any]] = list(self.results.get("params", []))
        self.best_index: int | None = getattr(search, "best_index_", None)
        self._best_params = dict(getattr(search, "best_params_", None) or {})
        self._best_score = number(getattr(search, "best_score_", None))
        # Not the search itself, which would be in memory until its candidates are recorded.
        self._best = Fit(name, getattr(search, "best_estimator_", None), None)

    def best_params(self) -> dict[str, Any]:
        """Return the settings of the best candidate with the prefix ``best__``."""
        return {f"best__{name}": _setting(value) for name, value in self._best_params.items()}

    def best_fit(self, data: FitData | None) -> Fit | None:
        """Return the model of the best candidate, fitted to all of `data`; None when it is not in memory."""
        model = self._best.model()
        return None if model is None else Fit(self.name, model, data)

    def best_metrics(self) -> dict[str, float | int]:
        """Return the score of the best candidate, and the number of candidates."""
        found: dict[str, float | int] = {"candidates": len(self.candidates)}
        return {"best_score": self._best_score, **found} if self._best_score is not None else found

    def order(self) -> list[int]:
        """Return the indices of the candidates that become runs: all, or the best ranked ones."""
        count = len(self.candidates)
        ranks = next((self.results[name] for name in self.results if name.startswith("rank_")), None)
        if count <= MAX_CHILDREN or ranks is None:
            return list(range(min(count, MAX_CHILDREN)))
        return sorted(sorted(range(count), key=lambda i: (int(ranks[i]), i))[:MAX_CHILDREN])

    def params(self, i: int) -> dict[str, Any]:
        """Return the settings of a candidate."""
        found = {name: _setting(value) for name, value in self.candidates[i].items()}
        return found | {name: int(self.results[name][i]) for name in _SETTINGS if name in self.results}

    def metrics(self, i: int) -> tuple[dict[str, float | int], dict[int, dict[str, float | int]]]:
        """Return means, standard deviations, times and rank of a candidate, and its scores by split."""
        single: dict[str, float | int] = {}
        splits: dict[int, dict[str, float | int]] = {}
        for name, column in self.results.items():
            value = number(column[i]) if name.startswith(_KEPT) or _SPLIT.match(name) else None
            if value is None:
                continue
            if match := _SPLIT.match(name):
                splits.setdefault(int(match[1]), {})[match[2]] = value
            else:
                single[name] = value
        return single, splits

    def seconds(self, i: int) -> float:
        """Return the time of fitting and scoring a candidate in all splits."""
        splits = len({match[1] for name in self.results if (match := _SPLIT.match(name))}) or 1
        found = [
            number(self.results[name][i]) or 0.0
            for name in ("mean_fit_time", "mean_score_time")
            if name in self.results
        ]
        total = math.fsum(found) * splits
        return total if math.isfinite(total) and total > 0 else 0.0

    def table(self) -> Table:
        """Return ``cv_results_`` as a table."""
        columns = {name: column for name, column in self.results.items() if not name.startswith("param_")}
        columns["params"] = [{name: _setting(value) for name, value in one.items()} for one in self.candidates]
        return read_table(columns)


def record_candidates(
    session: Session, parent: ActiveRun, search: Search, *, alone: bool, span: tuple[int, int] | None = None
) -> None:
    """Record each candidate of a search as a child of the run in which the search was fitted.

    The library reports the duration of a candidate and not its start: the time of the parent is divided among the
    children in their order, in proportion to their durations.

    Parameters
    ----------
    session : Session
        Recorder.
    parent : ActiveRun
        The ended run.
    search : Search
        The search.
    alone : bool
        Whether it is the only search of its run, so that names do not include it.
    span : tuple of int, optional
        Begin and end of the part of the run that fitted it, ms since the epoch; by default the whole run. The names of
        the candidates of a part begin with the name of the search.
    """
    chosen = search.order()
    seconds = [search.seconds(i) for i in range(len(search.candidates))]
    total = math.fsum(seconds) or 1.0
    begin, end = span or (parent.start.start_ms, parent.end_ms)
    length = max(0, end - begin)
    passed = 0.0
    starts: list[tuple[int, int]] = []
    for one in seconds:
        starts.append((begin + int(length * passed / total), begin + int(length * (passed + one) / total)))
        passed += one
    # A stage may have a search in each of several cells.
    shared = span is not None
    prefix = search.name if shared else parent.name if alone else f"{parent.name}/{search.name}"
    for i in chosen:
        _record(session, parent, f"{prefix}/{i + 1}", search, i, *starts[i])
    parent.put_table(search.table(), "cv_results" if alone and not shared else f"cv_results/{_file(search.name)}")
    if len(chosen) < len(search.candidates):
        text = f"the best {len(chosen)} of {len(search.candidates)}; the table cv_results contains all"
        parent.tag({SEARCH_CANDIDATES: text})


def _record(session: Session, parent: ActiveRun, name: str, search: Search, i: int, start_ms: int, end_ms: int) -> None:
    uid = new_id()
    tags = {SEARCH: search.name, SEARCH_CANDIDATE: i + 1, TIMES: "estimated"}
    start = RunStart(
        run_uid=uid,
        name=name,
        experiment=parent.experiment,
        start_ms=start_ms,
        parent_uid=parent.uid,
        notebook=parent.start.notebook,
        cell_id=parent.start.cell_id,
        tags=tags,
    )
    session.write(start)
    session.write(Params(uid, search.params(i), "observed"))
    single, splits = search.metrics(i)
    for step, values in sorted(splits.items()):
        session.write(Metrics(uid, end_ms, step, values, "observed"))
    session.write(Metrics(uid, end_ms, 0, single, "observed"))
    session.write(RunEnd(uid, end_ms, "FINISHED"))
    if i == search.best_index:
        known = session.models.fits.find(parent.uid)
        if (fit := search.best_fit(known[1].data if known is not None else None)) is not None:
            session.models.fits.add(uid, name, [fit])


def _setting(value: Any) -> Any:
    """Return a setting as a plain value; an estimator as the name of its class."""
    return type(value).__name__ if is_part(value) else bounded(value)


def _file(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "search"

"""The runs that a comparison is about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.runs import Run, RunDetail
from mlops_workbench.core.tags import SEARCH, SEARCH_CANDIDATE

if TYPE_CHECKING:
    from mlops_workbench.client.client import Client

#: Number of runs of one name, if all runs have the same one.
_OF_ONE_NAME = 6


def runs_to_compare(client: Client, names: Sequence[str], experiment: str | None, limit: int) -> list[Run]:
    """Return the runs with these names or ids; see `runs_of_name` for one, `newest_runs` for none.

    Raises
    ------
    InvalidInput
        A single name is only one run.
    NotFound
        There is no such run.
    """
    if len(names) > 1:
        return [client.run(name, experiment).run for name in names]
    return runs_of_name(client, names[0], experiment, limit) if names else newest_runs(client, experiment, limit)


def runs_of_name(client: Client, name: str, experiment: str | None, limit: int) -> list[Run]:
    """Return what one name stands for.

    These are the candidates of a search, best first, if its newest run, or a search in a variable, has the name; else
    the runs of that name, newest first; else the runs inside the only one.
    """
    found = client.runs(experiment, name=name, kind="run", limit=limit)
    if not found and "'" not in name:
        candidate = client.runs(experiment, filter=f"tags.\"{SEARCH}\" = '{name}'", kind="run", limit=1)
        found = [client.run(candidate[0].parent_uid).run] if candidate and candidate[0].parent_uid else []
        searched = name
    else:
        searched = ""
    detail = client.run(found[0].uid) if found else client.run(name, experiment)
    candidates = [
        run for run in detail.children if SEARCH_CANDIDATE in run.tags and searched in ("", run.tags.get(SEARCH))
    ]
    if len(candidates) > 1:
        return sorted(candidates, key=_rank)[:limit]
    if len(found) > 1:
        return found
    inside = _inside(client, [detail.run])
    if len(inside) > 1:
        return inside[:limit]
    raise InvalidInput(f"'{name}' is only one run; a comparison needs two", hint="name another")


def newest_runs(client: Client, experiment: str | None, limit: int) -> list[Run]:
    """Return the runs of the newest execution of a cell if it made several, else the newest run of each name."""
    known = client.runs(experiment, kind="run", limit=limit, nested=False)
    made = _of_execution(known, client.run(known[0].uid)) if known else []
    made = _succeeded(_inside(client, made))
    if len(made) > 1:
        return made[:limit]
    found = newest_of_each_name(known)
    # All runs may have the same name.
    return known[:_OF_ONE_NAME] if len(found) == 1 else found


def newest_of_each_name(runs: Sequence[Run]) -> list[Run]:
    """Return the first run of each name, in the given order; failed runs are left out unless all failed."""
    first: dict[str, Run] = {}
    for run in _succeeded(runs):
        first.setdefault(run.name, run)
    return list(first.values())


def _of_execution(runs: Sequence[Run], newest: RunDetail) -> list[Run]:
    """Return those of `runs` that the execution of the newest one made."""
    if not newest.cells:
        return [newest.run]
    started_ms = newest.cells[-1].started_ms
    return [run for run in runs if run.start_ms >= started_ms and run.notebook == newest.run.notebook]


def _inside(client: Client, runs: Sequence[Run]) -> list[Run]:
    """Replace runs by the runs inside them, but not by the candidates of a search; the newest is the first."""
    found: list[Run] = []
    for run in runs:
        children = [child for child in client.run(run.uid).children if SEARCH_CANDIDATE not in child.tags]
        found += _inside(client, children) if children else [run]
    return sorted(found, key=lambda run: (run.start_ms, run.uid), reverse=True)


def _succeeded(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if run.status != "FAILED"] or list(runs)


def _rank(run: Run) -> float:
    ranks = [value for name, value in run.metrics.items() if name.startswith("rank_") and value is not None]
    return min(ranks, default=math.inf)

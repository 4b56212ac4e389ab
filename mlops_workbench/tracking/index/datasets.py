"""Versions of data in the read index: those of a run, and the runs of a version."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from mlops_workbench.core.datasets import DatasetVersion
from mlops_workbench.core.errors import InvalidInput, NotFound
from mlops_workbench.core.tags import PIPELINE
from mlops_workbench.tracking.sqlite import Query

_MIN_PREFIX = 6
_SELECT = """
SELECT d.uid, r.name, r.experiment, d.name, d.context, d.digest, d.rows, d.columns, d.covers, d.snapshot, d.schema,
    r.start_ms, d.profile
FROM datasets d JOIN runs r ON r.uid = d.uid AND r.started = 1
"""
_BY_PREFIX = """
SELECT DISTINCT d.digest FROM datasets d JOIN runs r ON r.uid = d.uid AND r.started = 1
WHERE d.digest >= ? AND d.digest < ? LIMIT 2
"""
# Another run's snapshot of the same content serves as well.
_KEPT = "SELECT max(snapshot) FROM datasets WHERE digest = ? AND covers = 'content' AND snapshot <> ''"
# Ids of runs sort by time: the index gives the least, however many runs used the same data.
_FIRST = "SELECT start_ms, name FROM runs WHERE started = 1 AND uid = (SELECT min(uid) FROM datasets WHERE digest = ?)"


class DataVersion(NamedTuple):
    """A version of data, and the first run that recorded it: its name, and the pipeline that it is of, if any."""

    digest: str
    run: str
    pipeline: str


def datasets_of_run(query: Query, uid: str) -> list[DatasetVersion]:
    """Data that a run used, training data first."""
    order = "ORDER BY d.context <> 'training', d.context, d.columns DESC, d.name"
    return _versions(query, query(f"{_SELECT} WHERE d.uid = ? {order}", (uid,)))


def versions_of_digest(query: Query, digest: str) -> list[DatasetVersion]:
    """Uses of a version of data, the newest first.

    Parameters
    ----------
    query : callable
        Runs SQL on the index.
    digest : str
        The version, or at least 6 digits of its beginning.

    Raises
    ------
    NotFound
        No run used it.
    InvalidInput
        More than one version begins with it.
    """
    if len(digest) < _MIN_PREFIX or not all(character in "0123456789abcdef" for character in digest):
        raise NotFound(f"'{digest}' is not a version of data", hint="give at least 6 hexadecimal digits of one")
    found = query(_BY_PREFIX, (digest, digest + "g"))
    if not found:
        raise NotFound(f"no run used a version of data '{digest}'", hint="'mlops data list RUN' shows those of a run")
    if len(found) > 1:
        raise InvalidInput(f"more than one version of data begins with '{digest}'", hint="give more digits")
    return _versions(
        query, query(f"{_SELECT} WHERE d.digest = ? ORDER BY r.start_ms DESC, d.uid DESC LIMIT 1000", found[0])
    )


def uses_of_name(query: Query, name: str) -> list[DatasetVersion]:
    """Uses of the data that runs recorded under a name, the newest first."""
    return _versions(query, query(f"{_SELECT} WHERE d.name = ? ORDER BY r.start_ms DESC, d.uid DESC", (name,)))


def versions_of_name(query: Query, name: str) -> list[DataVersion]:
    """Versions of the data that runs recorded under a name, each with the first run that did, oldest first."""
    firsts = "SELECT digest, min(uid) AS uid FROM datasets WHERE name = ? GROUP BY digest"
    rows = query(
        f"SELECT f.digest, r.name, coalesce(t.value, '') FROM ({firsts}) f JOIN runs r ON r.uid = f.uid "
        "LEFT JOIN tags t ON t.uid = f.uid AND t.name = ? WHERE r.started = 1 ORDER BY f.uid",
        (name, PIPELINE),
    )
    return [DataVersion(*row) for row in rows]


def names_of_data(query: Query) -> list[str]:
    """All names under which runs recorded data."""
    rows = query("SELECT DISTINCT d.name FROM datasets d JOIN runs r ON r.uid = d.uid AND r.started = 1 ORDER BY 1")
    return [name for (name,) in rows]


def _versions(query: Query, rows: list[tuple[Any, ...]]) -> list[DatasetVersion]:
    uses = [(DatasetVersion(*row[:12]), row[12]) for row in rows]
    first = {digest: query(_FIRST, (digest,)) for digest in {use.digest for use, _ in uses}}
    lacking = {use.digest for use, _ in uses if not use.snapshot and use.covers == "content"}
    kept = {digest: query(_KEPT, (digest,))[0][0] or "" for digest in lacking}
    found = []
    for use, profile in uses:
        first_ms, first_run = first[use.digest][0] if first[use.digest] else (0, "")
        found.append(
            replace(
                use,
                snapshot=use.snapshot or (kept[use.digest] if use.covers == "content" else ""),
                first_ms=first_ms,
                first_run=first_run,
                profile=msgspec.json.decode(profile, type=dict[str, Any]),
            )
        )
    return found

"""With a hundred thousand runs the first page is read from an index, in every order."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from mlops_workbench.core.ids import new_id
from mlops_workbench.tracking import ReadIndex
from mlops_workbench.tracking.index.filter import parse_filter
from mlops_workbench.tracking.index.schema import connect
from mlops_workbench.tracking.index.search import clause, column_clause, plan

RUNS = 100_000


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadIndex]:
    """The tables of many runs, without the journals that they come from."""
    path = tmp_path_factory.mktemp("plans") / "index.db"
    connection = connect(path)
    ids = sorted(new_id() for _ in range(RUNS))
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO runs (uid, started, experiment, name, status, start_ms) VALUES (?, 1, ?, ?, 'FINISHED', ?)",
        ((uid, "big" if n % 100 else "small", f"trial {n}", 1000 + n) for n, uid in enumerate(ids)),
    )
    connection.executemany(
        "INSERT INTO metrics VALUES (?, ?, 0, 0, ?, NULL, 1, 1)",
        ((uid, name, (n * 7919 % RUNS) / RUNS) for n, uid in enumerate(ids) for name in ("auc", "rare")
         if name == "auc" or n % 1000 == 0),
    )  # fmt: skip
    connection.executemany(
        "INSERT INTO params VALUES (?, 'depth', ?, ?)", ((uid, str(n % 12), n % 12) for n, uid in enumerate(ids))
    )
    connection.executemany("INSERT INTO tags VALUES (?, 'team', ?)", ((uid, f"t{n % 3}") for n, uid in enumerate(ids)))
    connection.execute("COMMIT")
    connection.close()
    yield ReadIndex(path)


class Steps:
    """How many rows SQLite looked at, whatever the machine's speed: its virtual machine's steps, in thousands."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.thousands = 0

    def __enter__(self) -> Steps:
        def count() -> int:
            self.thousands += 1
            return 0

        self._connection.set_progress_handler(count, 1000)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.set_progress_handler(None, 0)


def _plan(index: ReadIndex, text: str, order_by: str, experiment: str | None) -> list[str]:
    query: Callable[[str, Sequence[Any]], list[tuple[Any, ...]]] = index._query
    clauses = [column_clause("experiment", experiment)] if experiment else []
    clauses += [clause(condition) for condition in parse_filter(text)]
    statement = plan(query, clauses, order_by, descending=True)[0]
    return [row[3] for row in query(f"EXPLAIN QUERY PLAN {statement.page}", (*statement.values, 100, 0))]


@pytest.mark.parametrize(
    ("text", "order_by", "experiment", "first", "sorts"),
    [
        ("", "metrics.auc", None, "metrics_by_value", False),
        ("", "metrics.auc", "big", "metrics_by_value", False),
        ("params.depth = 6", "metrics.auc", "big", "metrics_by_value", False),
        ("metrics.auc > 0.5 and tags.team = 't1'", "metrics.auc", None, "metrics_by_value", False),
        ("", "params.depth", None, "params_by_number", False),
        ("", "tags.team", None, "tags_by_value", False),
        ("", "start", None, "runs_by_start", False),
        ("", "start", "big", "runs_by_experiment", False),
        ("params.depth = 6 and tags.team = 't0'", "start", "big", "runs_by_experiment", False),
        # What few runs meet is looked up and sorted.
        ("", "metrics.auc", "small", "runs_by_experiment", True),
        ("metrics.rare > 0.1", "metrics.auc", "big", "metrics_by_value", True),
        ("metrics.auc > 0.999", "name", "big", "metrics_by_value", True),
        ("tags.team = 'none'", "metrics.auc", None, "tags_by_value", True),
        ("params.depth = 99", "start", None, "params_by_number", True),
    ],
)
def test_the_first_page_is_read_from_an_index(
    index: ReadIndex, text: str, order_by: str, experiment: str | None, first: str, sorts: bool
) -> None:
    found = _plan(index, text, order_by, experiment)
    assert first in found[0] or first in found[1], found
    assert any("USE TEMP B-TREE" in step for step in found) == sorts, found
    assert not any(step.startswith("SCAN") and "USING" not in step and step.split()[1] != "d" for step in found), found
    # And it is short: a hundred thousand runs, a page of a hundred.
    with Steps(index._file().connection()) as steps:
        runs = index.runs(experiment, filter=text, order_by=order_by, limit=100)
    assert steps.thousands < 250
    assert len(runs) == 100 or sorts


def test_runs_without_the_metric_come_last_and_pages_join(index: ReadIndex) -> None:
    with_it = RUNS // 1000
    page = index.runs(order_by="metrics.rare", limit=with_it + 50)
    values = [run.metrics.get("rare") for run in page]
    assert values[:with_it] == sorted((v for v in values[:with_it] if v is not None), reverse=True)
    assert values[with_it:] == [None] * 50
    starts = [run.start_ms for run in page[with_it:]]
    assert starts == sorted(starts, reverse=True)
    pages = [
        run.uid
        for start in range(0, with_it + 50, 30)
        for run in index.runs(order_by="metrics.rare", limit=30, offset=start)
    ]
    assert pages[: with_it + 50] == [run.uid for run in page]

"""A version of data that thousands of runs used is listed in time proportional to its uses."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_search_plans import Steps

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.ids import new_id
from mlops_workbench.tracking import ReadIndex
from mlops_workbench.tracking.index.schema import connect

DIGEST = "abcdef0123456789"


def index_of(path: Path, uses: int) -> ReadIndex:
    """An index in which so many runs used one version; one in five hundred kept a snapshot of it."""
    connection = connect(path)
    connection.execute("BEGIN")
    for number, uid in enumerate(sorted(new_id() for _ in range(uses))):
        connection.execute(
            "INSERT INTO runs (uid, started, experiment, name, start_ms) VALUES (?, 1, 'e', ?, ?)",
            (uid, f"run {number}", 1000 + number),
        )
        covers = "shape" if number == uses - 1 else "content"
        kept = f"snapshot {number // 500}" if number % 500 == 0 else ""
        connection.execute(
            "INSERT INTO datasets (uid, name, context, digest, rows, columns, covers, snapshot)"
            " VALUES (?, 'X', 'training', ?, 5, 2, ?, ?)",
            (uid, DIGEST, covers, kept),
        )
    connection.execute("COMMIT")
    connection.close()
    return ReadIndex(path)


def test_listing_the_uses_of_a_version_takes_steps_in_proportion_to_them(tmp_path: Path) -> None:
    taken = []
    for uses in (1000, 8000):
        index = index_of(tmp_path / f"{uses}.db", uses)
        with Steps(index._file().connection()) as steps:
            assert len(index.dataset_versions(DIGEST)) == 1000
        taken.append(steps.thousands)
        index.close()
    assert taken[1] < 12 * taken[0]
    assert taken[1] < 2000


def test_a_use_without_a_snapshot_has_that_of_another_use_of_the_same_content(tmp_path: Path) -> None:
    index = index_of(tmp_path / "index.db", 501)
    found = index.dataset_versions("abcdef")
    assert [use.run for use in found] == [f"run {number}" for number in reversed(range(501))]
    assert {use.first_run for use in found} == {"run 0"}
    # The newest one's digest is of the shape alone: other data may have it.
    assert (found[0].covers, found[0].snapshot) == ("shape", "snapshot 1")
    assert {use.snapshot for use in found[1:]} == {"snapshot 0"}
    assert [use.snapshot for use in index.datasets(found[7].run_uid)] == ["snapshot 0"]
    index.close()


def test_a_prefix_of_two_versions_is_refused_however_often_one_was_used(tmp_path: Path) -> None:
    index = index_of(tmp_path / "index.db", 1200)
    connection = index._file().connection()
    uid = "0" * 26
    connection.execute("INSERT INTO runs (uid, started, name, start_ms) VALUES (?, 1, 'oldest', 1)", (uid,))
    connection.execute(
        "INSERT INTO datasets (uid, name, context, digest, rows, columns) VALUES (?, 'X', '', 'abcdef99', 1, 1)", (uid,)
    )
    with pytest.raises(InvalidInput, match="more than one version"):
        index.dataset_versions("abcdef")
    index.close()

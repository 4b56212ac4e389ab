"""What the rule lets go: never what something that stays refers to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.core.retention import (
    FRESH_MS,
    UNREFERENCED_MS,
    Aged,
    Rule,
    StoredBlob,
    StoredRun,
    aged_verdict,
    blob_verdicts,
)

DAY = 86_400_000
NOW = 1_000 * DAY

_DIGESTS = [f"{number:064x}" for number in range(12)]
_ages = st.integers(0, 60 * DAY)
_runs = st.lists(
    st.builds(
        lambda age, active, failed, held, blobs: StoredRun(
            "", "", 0 if active else NOW - age, failed, frozenset(blobs), held
        ),
        _ages,
        st.booleans(),
        st.booleans(),
        st.sampled_from(["", "", "", "of a kept run"]),
        st.sets(st.sampled_from(_DIGESTS), max_size=5),
    ),
    max_size=8,
).map(lambda runs: [StoredRun(f"{n}", r.title, r.ended_ms, r.failed, r.blobs, r.held) for n, r in enumerate(runs)])
_blobs = st.lists(
    st.builds(StoredBlob, st.sampled_from(_DIGESTS), st.integers(0, 1000), _ages.map(lambda age: NOW - age)),
    unique_by=lambda blob: blob.digest,
)
_rules = st.builds(
    Rule, st.sampled_from([0, 0.5, 7, 30]), st.sampled_from([0, 1, 40]), st.sampled_from([0, 1, 500, 3000])
)


@given(_blobs, _runs, st.sets(st.sampled_from(_DIGESTS), max_size=3), _rules)
def test_nothing_goes_that_something_refers_to(
    blobs: list[StoredBlob], runs: list[StoredRun], others: set[str], rule: Rule
) -> None:
    verdicts = blob_verdicts(blobs, runs, dict.fromkeys(others, "of the cache"), rule, NOW)
    gone = [one.name for verdict in verdicts for one in verdict.removals]
    used = {blob.digest: blob.used_ms for blob in blobs}
    for digest in gone:
        assert digest not in others
        assert used[digest] < NOW - FRESH_MS
        for run in runs:
            if digest in run.blobs:
                days = rule.days(failed=run.failed)
                old = bool(days) and run.ended_ms < NOW - days * DAY
                assert run.ended_ms and not run.held and (old or rule.store_bytes)
        if not any(digest in run.blobs for run in runs):
            assert used[digest] < NOW - UNREFERENCED_MS
    staying = sum(one.count for verdict in verdicts for one in verdict.staying)
    assert len(gone) + staying == len(blobs)


@given(_blobs, _runs, _rules)
def test_all_that_the_rule_lets_go_goes(blobs: list[StoredBlob], runs: list[StoredRun], rule: Rule) -> None:
    verdicts = blob_verdicts(blobs, runs, {}, rule, NOW)
    gone = {one.name for verdict in verdicts for one in verdict.removals}
    for blob in blobs:
        holders = [run for run in runs if blob.digest in run.blobs]
        days = [rule.days(failed=run.failed) for run in holders]
        old = all(
            run.ended_ms and not run.held and limit and run.ended_ms < NOW - limit * DAY
            for run, limit in zip(holders, days, strict=True)
        )
        if old and blob.used_ms < NOW - UNREFERENCED_MS:
            assert blob.digest in gone


def test_the_oldest_runs_lose_their_files_until_the_store_is_small_enough() -> None:
    runs = [
        StoredRun(f"{n}", f"run {n}", NOW - n * DAY, False, frozenset({_DIGESTS[n], _DIGESTS[0]})) for n in range(1, 5)
    ]
    blobs = [StoredBlob(digest, 100, NOW - 50 * DAY) for digest in _DIGESTS[:5]]
    of_runs, _ = blob_verdicts(blobs, runs, {}, Rule(store_bytes=300), NOW)
    # The file that all of them share stays.
    assert [one.title for one in of_runs.removals] == ["run 3", "run 4"]


def test_what_stays_is_counted_by_its_reason() -> None:
    kept = StoredRun("a", "a", NOW - 90 * DAY, False, frozenset(_DIGESTS[:2]), "of a registered version")
    young = StoredRun("b", "b", NOW - DAY, False, frozenset(_DIGESTS[2:3]))
    blobs = [StoredBlob(digest, 10, NOW - 80 * DAY) for digest in _DIGESTS[:3]]
    of_runs, _ = blob_verdicts(blobs, [kept, young], {}, Rule(runs_days=30), NOW)
    assert [(one.reason, one.count, one.size) for one in of_runs.staying] == [
        ("of a registered version", 2, 20),
        ("younger than the rule", 1, 10),
    ]


def test_failed_runs_have_an_age_of_their_own() -> None:
    entries = [Aged("a", "", 1, NOW - 10 * DAY, failed=True), Aged("b", "", 1, NOW - 10 * DAY)]
    assert [one.name for one in aged_verdict(entries, Rule(runs_days=30, failed_days=7), NOW).removals] == ["a"]
    assert [one.name for one in aged_verdict(entries, Rule(runs_days=5), NOW).removals] == ["a", "b"]
    assert aged_verdict(entries, Rule(), NOW).removals == []

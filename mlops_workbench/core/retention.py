"""What the rule of retention lets go: decided from lists of facts, without touching a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

_DAY_MS, _HOUR_MS = 86_400_000, 3_600_000
#: Nothing changed within this time is removed: a process may be about to refer to it.
FRESH_MS = _HOUR_MS
#: A file that nothing refers to stays this long: a kernel keeps its records in memory while the disk is full.
UNREFERENCED_MS = _DAY_MS

_YOUNG = "younger than the rule"


@dataclass(frozen=True)
class Rule:
    """Ages in days and a size in bytes after which something may be removed; 0 sets no limit.

    Attributes
    ----------
    runs_days, failed_days : float
        Days after the end of a run, and of one that failed or was stopped; the second is by default the first.
    store_bytes : int
        Size of the store of files; the files of the runs that ended first go first.
    predictions_days : float
        Days after an answer or an outcome was written; those of one compacted file go together, when its last one may.
    """

    runs_days: float = 0.0
    failed_days: float = 0.0
    store_bytes: int = 0
    predictions_days: float = 0.0

    @property
    def is_set(self) -> bool:
        """Whether anything may be removed at all."""
        return bool(self.runs_days or self.failed_days or self.store_bytes or self.predictions_days)

    def days(self, *, failed: bool) -> float:
        """Days for which a run is kept, 0 for no limit."""
        return (failed and self.failed_days) or self.runs_days


@dataclass(frozen=True)
class StoredRun:
    """A run with files in the store.

    Attributes
    ----------
    ended_ms : int
        Its end, 0 while it is active.
    failed : bool
        Whether it failed or was stopped.
    blobs : frozenset of str
        Digests of its files.
    held : str
        Why its files must stay, empty if only the rule decides.
    """

    uid: str
    title: str
    ended_ms: int
    failed: bool
    blobs: frozenset[str]
    held: str = ""


@dataclass(frozen=True)
class StoredBlob:
    """A file of the store: digest, size in bytes, last use in milliseconds since the epoch."""

    digest: str
    size: int
    used_ms: int


@dataclass(frozen=True)
class Aged:
    """A file or folder that the rule removes by its age alone; the attributes are those of :class:`StoredRun`."""

    name: str
    title: str
    size: int
    ended_ms: int
    failed: bool = False
    held: str = ""


@dataclass(frozen=True)
class Removal:
    """Something that may be removed: its name, its size in bytes, and why."""

    name: str
    title: str
    size: int
    reason: str


@dataclass(frozen=True)
class Staying:
    """Why some things stay: how many, and their size in bytes."""

    reason: str
    count: int
    size: int


@dataclass(frozen=True)
class Verdict:
    """What may go of one kind, and what stays."""

    removals: list[Removal] = field(default_factory=list)
    staying: list[Staying] = field(default_factory=list)


@dataclass(frozen=True)
class RetentionPart:
    """What the rule does with one kind of things.

    Attributes
    ----------
    kind : str
        Such as ``files of runs``.
    rule : str
        The part of the rule that decides, in words.
    count, size : int
        Number and bytes of what goes.
    examples : list of Removal
        The largest of them.
    staying : list of Staying
        Number and bytes of what stays, by reason.
    """

    kind: str
    rule: str
    count: int
    size: int
    examples: list[Removal] = field(default_factory=list)
    staying: list[Staying] = field(default_factory=list)


@dataclass(frozen=True)
class RetentionReport:
    """What the rule removes, or has removed.

    Attributes
    ----------
    at_ms : int
        When it was found, in milliseconds since the epoch.
    removed : bool
        Whether it was removed; otherwise the report is a preview.
    rule_is_set : bool
        Whether ``[retention]`` sets any limit.
    problems : list of str
        What could not be removed, and why.
    """

    at_ms: int
    removed: bool
    rule_is_set: bool
    parts: list[RetentionPart] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Kept:
    """Whether the files of a run are kept from the rule."""

    uid: str
    name: str
    kept: bool


def aged_verdict(entries: Iterable[Aged], rule: Rule, now_ms: int) -> Verdict:
    """Decide about things that belong to one run each, by the end of the run."""
    return _by_age(((entry, rule.days(failed=entry.failed)) for entry in entries), now_ms)


def log_verdict(entries: Iterable[Aged], days: float, now_ms: int) -> Verdict:
    """Decide about the files of a log, by the time they were written; 0 days keep all."""
    return _by_age(((entry, days) for entry in entries), now_ms)


def blob_verdicts(
    blobs: Sequence[StoredBlob], runs: Sequence[StoredRun], others: Mapping[str, str], rule: Rule, now_ms: int
) -> tuple[Verdict, Verdict]:
    """Decide about the files of the store.

    A file goes when each run that refers to it may lose its files. What `others` name, and what was used within the
    last hour, stays.

    Parameters
    ----------
    blobs : sequence of StoredBlob
        All files of the store.
    runs : sequence of StoredRun
        All runs that refer to files.
    others : mapping
        Digests of files that anything else refers to, and what.
    rule : Rule
        The rule.
    now_ms : int
        The present, in milliseconds since the epoch.

    Returns
    -------
    of_runs, unreferenced : Verdict
        Of files of runs, and of files that nothing refers to.
    """
    holders: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    last: dict[str, StoredRun] = {}
    droppable: list[StoredRun] = []
    dropped: dict[str, str] = {}
    for run in runs:
        for digest in run.blobs:
            last.setdefault(digest, run)
        why = run.held or ("" if run.ended_ms else "of an active run")
        days = rule.days(failed=run.failed)
        if not why and days and run.ended_ms < now_ms - days * _DAY_MS:
            dropped.update(dict.fromkeys(run.blobs, _older(days)))
            continue
        if not why and run.ended_ms < now_ms - FRESH_MS:
            droppable.append(run)
        holders.update(run.blobs)
        for digest in run.blobs if why else ():
            reasons[digest] = why
    left = {blob.digest: blob.size for blob in blobs}

    def free(digest: str) -> bool:
        return not holders[digest] and digest not in others and used[digest] < now_ms - FRESH_MS

    used = {blob.digest: blob.used_ms for blob in blobs}
    if rule.store_bytes:
        total = sum(size for digest, size in left.items() if not (digest in last and free(digest)))
        for run in sorted(droppable, key=lambda run: (run.ended_ms, run.uid)):
            if total <= rule.store_bytes:
                break
            for digest in run.blobs:
                holders[digest] -= 1
                if digest in left and free(digest):
                    total -= left[digest]
                    dropped[digest] = "the store is larger than the rule allows; these are its oldest files"
    of_runs, unreferenced = _Tally(), _Tally()
    for blob in blobs:
        of_run = last.get(blob.digest)
        tally = of_runs if of_run is not None or blob.digest in others else unreferenced
        if blob.digest in others:
            tally.stays(others[blob.digest], blob.size)
        elif of_run is None and blob.used_ms >= now_ms - UNREFERENCED_MS:
            tally.stays("used within the last day", blob.size)
        elif of_run is None:
            tally.goes(Removal(blob.digest, blob.digest[:12], blob.size, "nothing refers to it"))
        elif holders[blob.digest]:
            tally.stays(reasons.get(blob.digest, _YOUNG if rule.is_set else "no limit"), blob.size)
        elif blob.used_ms >= now_ms - FRESH_MS:
            tally.stays("used within the last hour", blob.size)
        else:
            tally.goes(Removal(blob.digest, of_run.title, blob.size, dropped[blob.digest]))
    return of_runs.verdict(), unreferenced.verdict()


def part(kind: str, rule: str, verdict: Verdict, examples: int = 20) -> RetentionPart:
    """Sum up a verdict, with its largest removals."""
    largest = sorted(verdict.removals, key=lambda one: (-one.size, one.name))[:examples]
    size = sum(one.size for one in verdict.removals)
    return RetentionPart(kind, rule, len(verdict.removals), size, largest, verdict.staying)


def _by_age(entries: Iterable[tuple[Aged, float]], now_ms: int) -> Verdict:
    tally = _Tally()
    for entry, days in entries:
        if entry.held:
            tally.stays(entry.held, entry.size)
        elif not entry.ended_ms:
            tally.stays("active", entry.size)
        elif not days:
            tally.stays("no limit", entry.size)
        elif entry.ended_ms >= now_ms - max(days * _DAY_MS, FRESH_MS):
            tally.stays(_YOUNG, entry.size)
        else:
            tally.goes(Removal(entry.name, entry.title, entry.size, _older(days)))
    return tally.verdict()


class _Tally:
    """Collects what goes, and counts what stays by reason."""

    def __init__(self) -> None:
        self._removals: list[Removal] = []
        self._counts: Counter[str] = Counter()
        self._sizes: Counter[str] = Counter()

    def goes(self, removal: Removal) -> None:
        self._removals.append(removal)

    def stays(self, reason: str, size: int) -> None:
        self._counts[reason] += 1
        self._sizes[reason] += size

    def verdict(self) -> Verdict:
        staying = [Staying(why, count, self._sizes[why]) for why, count in self._counts.most_common()]
        return Verdict(self._removals, staying)


def _older(days: float) -> str:
    return f"ended more than {days:g} {'day' if days == 1 else 'days'} ago"

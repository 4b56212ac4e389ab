"""Entries as text, their hashes, and whether a sequence of them is as it was written (pure functions).

The text that was hashed is what is stored, and it is hashed again when the chain is verified; it is never made anew
from the entry, so that no JSON library has to write the same text twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from mlops_workbench.control.column_types import clean_text
from mlops_workbench.core.audit import AuditEntry
from mlops_workbench.core.wire.json_numbers import json_value

#: What the first entry has in place of the hash of the one before.
FIRST = "0" * 64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Link:
    """An entry as it is stored: its number, the hash of the one before, its own, its text, and what it is found by."""

    seq: int
    prev: str
    hash: str
    body: str
    filed: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """How far a chain holds: the last good entry with its hash, and the first bad one (0 for none) with what is wrong.

    `bad` is the number that is missing, or that of the entry that is not as it was written.
    """

    good: int
    head: str
    bad: int = 0
    problem: str = ""


def body_of(entry: AuditEntry) -> str:
    """The text of an entry: JSON, in which every character is one that all databases store."""
    return msgspec.json.encode(json_value(msgspec.to_builtins(entry))).decode()


def entry_of(body: str) -> AuditEntry:
    """The entry of a text; raises `msgspec.DecodeError` for another one."""
    return msgspec.json.decode(body, type=AuditEntry)


def hash_of(prev: str, body: str) -> str:
    """SHA-256 of an entry, in hexadecimal: of the hash before it, which has a fixed length, and of its text."""
    return hashlib.sha256(prev.encode() + b"\n" + body.encode()).hexdigest()


def filed_under(entry: AuditEntry) -> dict[str, object]:
    """The columns by which an entry is found, which repeat what its text says."""
    subject = entry.subject
    return {
        "at_ms": time_ms(entry.at),
        "action": entry.action,
        "kind": subject.kind,
        "subject": clean_text(subject.name),
        "version": subject.version,
    }


def time_ms(text: str) -> int:
    """The inverse of `time_text`; raises ValueError for a text that is no time."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"a time without a zone: {text}")
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def time_text(at_ms: int) -> str:
    """Milliseconds since the epoch as RFC 3339 in UTC."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def verify(links: Iterable[Link]) -> Verdict:
    """Whether entries, in the order of their numbers, are a chain from the first on."""
    good, head = 0, FIRST
    for link in links:
        expected = good + 1
        if link.seq > expected:
            return Verdict(good, head, expected, f"entry {expected} is missing")
        if problem := _problem(link, expected, head):
            return Verdict(good, head, link.seq, f"entry {link.seq}: {problem}")
        good, head = link.seq, link.hash
    return Verdict(good, head)


def _problem(link: Link, expected: int, head: str) -> str:
    if link.seq < expected:
        return "its number is not one of the chain"
    if link.prev != head:
        return "it does not follow the entry before"
    if hash_of(link.prev, link.body) != link.hash:
        return "its text is not the one that was written"
    try:
        entry = entry_of(link.body)
        filed = filed_under(entry)
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        return f"its text cannot be read: {error}"
    if (entry.seq, entry.prev) != (link.seq, link.prev):
        return "its text is that of another entry"
    wrong = [name for name in link.filed if link.filed[name] != filed[name]]
    return f"its column '{wrong[0]}' is not what its text says" if wrong else ""

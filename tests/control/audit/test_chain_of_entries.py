"""A chain of entries: any text is kept as it is, and a change, a gap or another order is found at its place."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.control.audit.chain import (
    FIRST,
    Link,
    Verdict,
    body_of,
    entry_of,
    filed_under,
    hash_of,
    time_ms,
    time_text,
    verify,
)
from mlops_workbench.core.audit import AuditEntry, Subject, actor
from mlops_workbench.core.models import GateCheck, GateResult


def chain(*texts: str) -> list[Link]:
    """A chain with an entry for each text, which is wherever an entry has one."""
    links: list[Link] = []
    for number, text in enumerate(texts, 1):
        prev = links[-1].hash if links else FIRST
        entry = AuditEntry(
            1, number, time_text(1_700_000_000_000 + number), prev, actor("person", text, "cli", declared=True),
            "model.promote", Subject("model", text, number, text), "done", text, {text: 1}, {text: text},
            GateResult(True, [GateCheck(text, True, text)], 7), text,
        )  # fmt: skip
        body = body_of(entry)
        links.append(Link(number, prev, hash_of(prev, body), body, filed_under(entry_of(body))))
    return links


#: With halves of surrogate pairs, which names of files and users may contain.
ANY = st.text(st.characters(exclude_categories=()), max_size=20)
TEXTS = st.lists(ANY, min_size=1, max_size=6)


@given(TEXTS)
def test_any_text_is_kept_and_the_chain_holds(texts: list[str]) -> None:
    links = chain(*texts)
    assert verify(links) == Verdict(len(texts), links[-1].hash)
    for link, text in zip(links, texts, strict=True):
        # What every database stores: no NUL, and nothing that UTF-8 cannot have.
        assert "\0" not in link.body and link.body.encode().decode() == link.body
        shown = text.encode("utf-8", "backslashreplace").decode()
        entry = entry_of(link.body)
        assert (entry.actor.name, entry.reason, entry.before, entry.after) == (shown, shown, {shown: 1}, {shown: shown})
        assert entry.evidence is not None and entry.evidence.checks[0].condition == shown


@given(TEXTS, st.data())
def test_a_change_of_one_character_is_found_at_its_entry(texts: list[str], data: st.DataObject) -> None:
    links = chain(*texts)
    at = data.draw(st.integers(0, len(links) - 1))
    body = links[at].body
    place = data.draw(st.integers(0, len(body) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda character: character != body[place]))
    links[at] = replace(links[at], body=body[:place] + other + body[place + 1 :])
    found = verify(links)
    assert (found.bad, found.good) == (at + 1, at)
    assert found.head == (links[at - 1].hash if at else FIRST)


@given(st.lists(ANY, min_size=2, max_size=6), st.data())
def test_a_removed_entry_is_missing_and_a_moved_one_is_out_of_place(texts: list[str], data: st.DataObject) -> None:
    links = chain(*texts)
    at = data.draw(st.integers(0, len(links) - 2))
    removed = verify([*links[:at], *links[at + 1 :]])
    assert (removed.bad, removed.problem) == (at + 1, f"entry {at + 1} is missing")
    # The numbers are in order, the entries are not.
    first, second = links[at], links[at + 1]
    links[at], links[at + 1] = replace(second, seq=first.seq), replace(first, seq=second.seq)
    assert verify(links).bad == at + 1


@pytest.mark.parametrize(
    ("forged", "problem"),
    [
        # Whoever hashes the changed text again is found by the entry that follows.
        (lambda link, other: replace(link, body=other, hash=hash_of(link.prev, other)), "entry 3: it does"),
        (lambda link, other: replace(link, hash="0" * 64), "entry 2: its text is not the one"),
        (lambda link, other: replace(link, prev=FIRST), "entry 2: it does not follow"),
        (lambda link, other: replace(link, filed={**link.filed, "subject": "x"}), "entry 2: its column 'su"),
        (lambda link, other: replace(link, filed={**link.filed, "at_ms": 1}), "entry 2: its column 'at_ms'"),
        (lambda link, other: replace(link, body="{", hash=hash_of(link.prev, "{")), "entry 2: its text can"),
        (lambda link, other: replace(link, seq=0), "entry 0: its number is not one of the chain"),
    ],
)  # fmt: skip
def test_what_a_forger_changes_is_named(forged: object, problem: str) -> None:
    links = chain("a", "b", "c")
    other = links[1].body.replace('"b"', '"x"')
    links[1] = forged(links[1], other)  # type: ignore[operator]
    if "column" not in problem:
        # Unless the columns themselves are looked at.
        links[1] = replace(links[1], filed={})
    assert verify(links).problem.startswith(problem)


def test_the_text_of_another_entry_with_its_own_hash_is_not_taken_for_this_one() -> None:
    links = chain("a", "b")
    entry = replace(entry_of(links[1].body), seq=7)
    body = body_of(entry)
    links[1] = Link(2, links[1].prev, hash_of(links[1].prev, body), body)
    assert verify(links).problem == "entry 2: its text is that of another entry"


def test_no_entries_are_a_chain() -> None:
    assert verify([]) == Verdict(0, FIRST)


@given(st.integers(0, 4_102_444_800_000))
def test_times_are_utc_and_keep_their_milliseconds(at_ms: int) -> None:
    text = time_text(at_ms)
    assert text.endswith("Z") and len(text) == 24 and time_ms(text) == at_ms

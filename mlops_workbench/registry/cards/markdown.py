"""The card as Markdown: text of others is shown, and never acts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mlops_workbench.core.model_card import ModelCard
from mlops_workbench.core.shown.plain_text import visible
from mlops_workbench.registry.cards.sections import Section, Shown, card_sections, is_number, shown, title

#: What does not act between backticks, in a cell of a table either.
_PLAIN = re.compile(r"[^`|\\\n\t]+\Z")
_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")
#: In what a person wrote: what begins HTML, and makes a link, an image or a reference.
_TAG = re.compile(r"<(?=[A-Za-z/!?])")


def markdown(card: ModelCard) -> str:
    """Return a card as Markdown."""
    parts = [f"# Model card of {quoted(title(card))}"]
    for section in card_sections(card):
        parts += [f"## {_sentence(section.heading)}", *_section(section)]
    return "\n\n".join(parts) + "\n"


def quoted(text: str) -> str:
    """A text of others on one line, as it is: between backticks, or with its punctuation as entities."""
    plain = visible(text).replace("\n", " ").replace("\t", " ").strip()
    if not plain:
        return ""
    return f"`{plain}`" if _PLAIN.match(plain) else _PUNCTUATION.sub(lambda mark: f"&#{ord(mark[0])};", plain)


def _section(section: Section) -> list[str]:
    parts = []
    if section.facts:
        parts.append("\n".join(f"* {_sentence(name)}: {_cell(value)}" for name, value in section.facts))
    if section.rows:
        parts.append(_table(section.columns, section.rows))
    parts += [_sentence(note) for note in section.notes]
    if section.written:
        parts.append(_written(section.written))
    return parts


def _table(columns: Sequence[str], rows: Sequence[Sequence[Shown]]) -> str:
    aligned = [all(is_number(row[i]) or row[i] is None for row in rows) for i in range(len(columns))]
    lines = [
        f"| {' | '.join(map(_sentence, columns))} |",
        f"|{'|'.join(' ---: ' if right else ' --- ' for right in aligned)}|",
        *(f"| {' | '.join(map(_cell, row))} |" for row in rows),
    ]
    return "\n".join(lines)


def _cell(value: Shown) -> str:
    return quoted(value) if isinstance(value, str) and value.strip() else shown(value)


def _sentence(text: str) -> str:
    """Words of ours, in which there may be names of others."""
    plain = visible(text).replace("\n", " ")
    return re.sub(r"[<>&`*_\[\]|\\~#!]|:(?=//)", lambda mark: f"&#{ord(mark[0])};", plain)


def _written(text: str) -> str:
    """The text of a person with its formatting, in a quotation that it cannot leave, without HTML and links."""
    safe = _TAG.sub("&lt;", visible(text)).replace("](", "]&#40;").replace("]:", "]&#58;")
    return "\n".join(f"> {line}".rstrip() for line in safe.split("\n"))

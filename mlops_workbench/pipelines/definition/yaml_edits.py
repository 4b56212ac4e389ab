"""Changes of a YAML text that keep its comments and layout: pure functions on the text and its nodes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import yaml

_COMMENT = re.compile(r"[ \t]*#")


@dataclass(frozen=True)
class Edit:
    """Replaces the text from `start` to `end`."""

    start: int
    end: int
    text: str


def applied(text: str, edits: Iterable[Edit]) -> str:
    """The text after edits that do not overlap."""
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def entry(mapping: yaml.MappingNode, name: str) -> int | None:
    """Index of an entry of a mapping, None if there is none."""
    return next((index for index, (key, _) in enumerate(mapping.value) if key.value == name), None)


def removed(text: str, mapping: yaml.MappingNode, index: int) -> tuple[Edit, str]:
    """The removal of an entry of a block, and its text with the comments above it."""
    key, value = mapping.value[index]
    start = text.rfind("\n", 0, key.start_mark.index) + 1
    while start and _COMMENT.match(text, text.rfind("\n", 0, start - 1) + 1, start):
        start = text.rfind("\n", 0, start - 1) + 1
    end = line_end(text, last_index(value))
    return Edit(start, end, ""), text[start:end]


def put(text: str, mapping: yaml.MappingNode, values: Mapping[str, str]) -> list[Edit]:
    """Set entries of a mapping, given as YAML on one line each; those that it lacks are added at its end."""
    edits = []
    added = []
    for name, value in values.items():
        index = entry(mapping, name)
        if index is None:
            added.append(f"{name}: {value}")
            continue
        key, old = mapping.value[index]
        if old.start_mark.index == old.end_mark.index:  # no value
            colon = text.index(":", key.end_mark.index)
            edits.append(Edit(colon + 1, colon + 1, f" {value}"))
        else:
            edits.append(Edit(old.start_mark.index, last_index(old), value))
    if added and mapping.flow_style:
        end = mapping.end_mark.index - 1
        inside = text[mapping.start_mark.index + 1 : end].strip()
        comma = "" if not inside or inside.endswith(",") else ", "
        edits.append(Edit(end, end, comma + ", ".join(added)))
    elif added:
        column = mapping.value[0][0].start_mark.column
        end = line_end(text, last_index(mapping))
        before = "" if text[end - 1 : end] == "\n" else "\n"
        edits.append(Edit(end, end, before + "".join(f"{' ' * column}{line}\n" for line in added)))
    return edits


def put_below(text: str, key: yaml.Node, lines: Iterable[str], indent: int = 2) -> Edit:
    """Add the first entries below a key that has no value."""
    end = line_end(text, key.end_mark.index)
    before = "" if text[end - 1 : end] == "\n" else "\n"
    column = key.start_mark.column + indent
    return Edit(end, end, before + "".join(f"{' ' * column}{line}\n" for line in lines))


def quoted(text: str) -> str:
    """Text as a YAML scalar in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def last_index(node: yaml.Node) -> int:
    """Index of the end of the last scalar or flow collection: a block collection ends where the next thing begins."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return last_index(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return last_index(node.value[-1])
    return int(node.end_mark.index)


def line_end(text: str, index: int) -> int:
    """Index after the end of the line."""
    # A block scalar (| or >) ends at the begin of a line.
    if index and text[index - 1] == "\n":
        return index
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1

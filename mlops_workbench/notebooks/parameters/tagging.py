"""Tags a cell of a notebook, or inserts a tagged one, in the text of the file: every other byte stays."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.notebooks.document import PARAMETERS_TAG, parse_notebook
from mlops_workbench.notebooks.parameters.proposal import Proposal

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True)
class _Span:
    """A value in a JSON text: where its item (the key of a member) begins, where it begins and ends."""

    item: int
    start: int
    end: int
    value: Any


def tagged(text: str, proposal: Proposal, cell_id: str) -> str:
    """Return the text of a notebook in which the proposed cell has the tag ``parameters``.

    Parameters
    ----------
    text : str
        The notebook's file.
    proposal : Proposal
        What was proposed for it.
    cell_id : str
        Id of a new cell, used if the format of the file has ids.

    Raises
    ------
    InvalidInput
        The file is not a notebook, or one of an old format.
    """
    parse_notebook(text)
    notebook: dict[str, Any] = json.loads(text)
    if notebook.get("nbformat") != 4:
        raise InvalidInput(
            "the file has an old format of notebooks", hint="open it in JupyterLab and save it, then repeat the command"
        )
    root = _members(text, _skip(text, 0))
    cells = _elements(text, root["cells"].start)
    if proposal.new:
        new = _new_cell(notebook, proposal.source, cell_id)
        changed = _insert(text, root["cells"].start, cells, proposal.index, new)
        notebook["cells"].insert(proposal.index, new)
    else:
        changed = _tag(text, cells[proposal.index])
        tags = notebook["cells"][proposal.index]["metadata"].setdefault("tags", [])
        tags.append(PARAMETERS_TAG)
    if json.loads(changed) != notebook:
        raise InvalidInput("the file cannot be changed safely", hint="add the tag 'parameters' in JupyterLab")
    return changed


def _tag(text: str, cell: _Span) -> str:
    metadata = _members(text, cell.start)["metadata"]
    members = _members(text, metadata.start)
    if "tags" in members:
        tags = members["tags"]
        return _insert(text, tags.start, _elements(text, tags.start), len(tags.value), PARAMETERS_TAG)
    names = list(members)
    # Jupyter writes the keys in order.
    ordered = names == sorted(names)
    place = next((i for i, name in enumerate(names) if ordered and name > "tags"), len(names))
    return _insert(text, metadata.start, list(members.values()), place, [PARAMETERS_TAG], key="tags")


def _new_cell(notebook: dict[str, Any], source: str, cell_id: str) -> dict[str, Any]:
    lines = source.splitlines(keepends=True)
    whole = any(isinstance(cell.get("source"), str) for cell in notebook["cells"])
    cell: dict[str, Any] = {"cell_type": "code", "execution_count": None}
    if notebook.get("nbformat_minor", 0) >= 5:
        cell["id"] = cell_id
    return cell | {"metadata": {"tags": [PARAMETERS_TAG]}, "outputs": [], "source": source if whole else lines}


def _skip(text: str, index: int) -> int:
    found = _SPACE.match(text, index)
    return found.end() if found else index


def _members(text: str, start: int) -> dict[str, _Span]:
    """Members of the object that begins at `start`."""
    found: dict[str, _Span] = {}
    index = _skip(text, start + 1)
    while text[index] == '"':
        item = index
        key, index = _DECODER.raw_decode(text, index)
        begin = _skip(text, _skip(text, index) + 1)
        value, end = _DECODER.raw_decode(text, begin)
        found[key] = _Span(item, begin, end, value)
        index = _skip(text, end)
        index = _skip(text, index + 1) if text[index] == "," else index
    return found


def _elements(text: str, start: int) -> list[_Span]:
    """Elements of the array that begins at `start`."""
    found: list[_Span] = []
    index = _skip(text, start + 1)
    while text[index] != "]":
        value, end = _DECODER.raw_decode(text, index)
        found.append(_Span(index, index, end, value))
        index = _skip(text, end)
        index = _skip(text, index + 1) if text[index] == "," else index
    return found


def _insert(text: str, start: int, items: Sequence[_Span], place: int, value: object, key: str | None = None) -> str:
    """Insert a value into the container that begins at `start`, laid out like the items in it."""
    line = "\r\n" if "\r\n" in text else "\n"
    unit = _unit(text)
    spaced = re.search(r'":\s', text) is not None
    if items:
        gap = text[start + 1 : items[0].item]
        gap = gap or (" " if spaced else "")
    else:
        gap = "" if unit is None else line + _indent(text, start) + unit
    inner = gap.rpartition("\n")[2] if "\n" in gap else None
    code = json.dumps(
        value,
        indent=None if inner is None else unit,
        ensure_ascii="\\u" in text and text.isascii(),
        separators=(",", ": " if spaced else ":") if inner is not None else (", ", ": ") if spaced else (",", ":"),
    ).replace("\n", line + (inner or ""))
    item = code if key is None else f"{json.dumps(key)}:{' ' if spaced else ''}{code}"
    if not items:
        after = "" if inner is None else line + _indent(text, start)
        return f"{text[: start + 1]}{gap}{item}{after}{text[_skip(text, start + 1) :]}"
    if place < len(items):
        at = items[place].item
        return f"{text[:at]}{item},{gap}{text[at:]}"
    at = items[-1].end
    return f"{text[:at]},{gap}{item}{text[at:]}"


def _unit(text: str) -> str | None:
    """Indentation of one level; None for a file without any."""
    found = re.match(r"\s*\{[ \t]*\r?\n([ \t]+)", text)
    return found[1] if found else None


def _indent(text: str, index: int) -> str:
    """Indentation of the line of a character."""
    found = re.compile(r"[ \t]*").match(text, text.rfind("\n", 0, index) + 1)
    return found[0] if found else ""

"""Changes of single settings in ``workbench.toml``; every comment and all other text of the file stay."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_workbench.core.errors import SettingsError
from mlops_workbench.core.files import write_atomic

#: Parts of TOML that decide where a statement ends. A text of several lines may end with up to two quotes of its own.
_TOKEN = re.compile(
    r'(?P<text>"""(?:\\.|[^\\])*?"""(?:"{0,2})|' + r"'''.*?'''(?:'{0,2})" + r'|"(?:\\.|[^"\\\n])*"|' + r"'[^'\n]*')"
    r"|(?P<comment>\#[^\n]*)|(?P<open>[\[{])|(?P<close>[\]}])|(?P<line>\r?\n)|(?P<equals>=)|(?P<comma>,)"
    r"|(?P<space>[ \t\r]+)|(?P<other>[^\s\"'\#\[\]{}=,]+)",
    re.DOTALL,
)


def add_to_list(file: Path, section: str, field: str, item: str) -> bool:
    """Add a text to the end of a list of texts; return whether it was not in the list.

    Raises
    ------
    SettingsError
        The file is not valid, is written in a form that cannot be changed safely (the hint has the line to add), or the
        field is not a list.
    StorageError
        It cannot be written.
    """
    listed = _read(file)[1].get(section, {})
    present = listed.get(field, []) if isinstance(listed, dict) else []
    if not isinstance(present, list):
        raise SettingsError(f"{section}.{field} is not a list", where=str(file), hint="write it as a list: [...]")
    if item in present:
        return False
    wanted = [*present, item]
    _change(file, section, field, wanted, lambda text: _with_item(text, section, field, item))
    return True


def toml_value(value: object) -> str:
    """A value of a setting in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # Control characters must be escaped in TOML, as must what ends the text.
        return '"' + re.sub(r'[\\"\x00-\x1f\x7f]', _escaped, value) + '"'
    if isinstance(value, dict):
        fields = ", ".join(f"{toml_value(key)} = {toml_value(content)}" for key, content in value.items())
        return f"{{ {fields} }}" if value else "{}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    return repr(value)


def _escaped(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[0]) or f"\\u{ord(found[0]):04X}"


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


@dataclass(frozen=True)
class _Statement:
    """A header, or a key with its value: the path of its keys, and where it stands in the text.

    Attributes
    ----------
    value : int
        Start of the value; 0 for a header.
    end : int
        End of the value or header, without what follows on the line.
    """

    path: tuple[str, ...]
    start: int
    value: int
    end: int


def _read(file: Path) -> tuple[str, dict[str, Any]]:
    try:
        # As bytes, so that the ends of lines stay as they are.
        text = file.read_bytes().decode("utf-8-sig")
        return text, tomllib.loads(text)
    except FileNotFoundError:
        return "", {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot be read: {error}", where=str(file), hint="save it as UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"is not valid TOML: {error}", where=str(file), hint="see toml.io for the syntax"
        ) from error


def _change(file: Path, section: str, field: str, wanted: list[str], edit: Callable[[str], str | None]) -> None:
    text, values = _read(file)
    table = values.get(section, {})
    changed = edit(text)
    if (
        changed is None
        or not isinstance(table, dict)
        or not _is(changed, {**values, section: {**table, field: wanted}})
    ):
        raise SettingsError(
            f"{section}.{field} cannot be changed without changing other parts of the file",
            where=str(file),
            hint=f"write it yourself, below [{section}]: {field} = {toml_value(wanted)}",
        )
    # A link stays one: the file that it names is replaced.
    target = file.resolve()
    write_atomic(target, changed, mode=target.stat().st_mode & 0o777 if target.exists() else 0o644)


def _is(text: str, values: dict[str, Any]) -> bool:
    """Whether a text is TOML with exactly these values."""
    try:
        return _same(tomllib.loads(text), values)
    except tomllib.TOMLDecodeError:
        return False


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    # As text: 1 == 1.0 == True, and NaN differs from itself.
    return repr(one) == repr(other)


def _with_item(text: str, section: str, field: str, item: str) -> str | None:
    """The text with an item added to the list in the field; comments in the list stay."""
    found = list(_statements(text))
    known = next((one for one in found if one.path == (section, field) and one.value), None)
    if known is None:
        return _inserted(text, found, section, field, toml_value([item]))
    inside = [match for match in _TOKEN.finditer(text, known.value, known.end) if match.lastgroup != "space"]
    closing = inside[-1].start()
    last = next(match for match in reversed(inside[:-1]) if match.lastgroup not in ("line", "comment"))
    comma = "" if last.start() == known.value or last[0] == "," else ","
    added = toml_value(item)
    line = text.rfind("\n", last.end(), closing) + 1
    if not line:
        space = " " if comma or last[0] == "," else ""
        return text[: last.end()] + comma + space + added + text[last.end() :]
    # A list of several lines: a line of its own before the closing bracket.
    first = text.rfind("\n", 0, last.start()) + 1
    indent = re.match(r"[ \t]*", text[first:])
    end = "\r\n" if text[line - 2 : line] == "\r\n" else "\n"
    own = (indent[0] if indent and first > known.value else "    ") + added + "," + end
    return text[: last.end()] + comma + text[last.end() : line] + own + text[line:]


def _inserted(text: str, found: list[_Statement], section: str, field: str, value: str) -> str | None:
    """The text with a new line for the field."""
    end = "\r\n" if "\r\n" in text else "\n"
    header = next((one for one in found if one.path == (section,) and not one.value), None)
    if header is not None:
        later = found[found.index(header) + 1 :]
        body = [one for one in later if one.value]
        following = next((one for one in later if not one.value), None)
        if following is not None:
            body = [one for one in body if one.start < following.start]
        stop = following.start if following is not None else len(text)
        last = (body or [header])[-1].end
        documented = re.compile(rf"^[ \t]*#[ \t]*{re.escape(field)}[ \t]*=[^\n]*", re.MULTILINE)
        # Not in a text or a list of several lines, which may contain such a line too.
        places = [match for match in documented.finditer(text, header.end, stop) if _outside(match.start(), body)]
        return _line_after(text, places[0].end() if places else last, f"{field} = {value}", end)
    dotted = [one for one in found if one.path[:1] == (section,) and len(one.path) > 1 and one.value]
    if dotted and text[dotted[-1].start :].lstrip().startswith(section):
        return _line_after(text, dotted[-1].end, f"{section}.{field} = {value}", end)
    gap = end if text and not text.endswith("\n") else ""
    return text + gap + (end if text.strip() else "") + f"[{section}]{end}{field} = {value}{end}"


def _outside(place: int, statements: list[_Statement]) -> bool:
    return not any(one.start < place < one.end for one in statements)


def _line_after(text: str, place: int, line: str, end: str) -> str:
    """The text with a line after the one of `place`."""
    at = text.find("\n", place)
    return text + end + line + end if at < 0 else text[: at + 1] + line + end + text[at + 1 :]


def _statements(text: str) -> Iterator[_Statement]:
    """Headers and keys of the text, with the path of each."""
    header: tuple[str, ...] = ()
    depth, start, equals, end = 0, -1, -1, -1
    for match in _TOKEN.finditer(text + "\n"):
        kind = match.lastgroup
        if kind == "line" and depth == 0:
            if start >= 0:
                key = text[start : equals if equals >= 0 else end]
                if equals < 0:
                    header = _path(key)
                    yield _Statement(header, start, 0, end)
                else:
                    value = re.compile(r"[ \t]*").match(text, equals + 1)
                    yield _Statement((*header, *_path(key + " = 0")), start, value.end() if value else equals + 1, end)
            start = equals = -1
        elif kind not in ("space", "comment", "line"):
            start = match.start() if start < 0 else start
            end = match.end()
            if kind == "equals" and depth == 0 and equals < 0:
                equals = match.start()
            depth += {"open": 1, "close": -1}.get(kind or "", 0)


def _path(line: str) -> tuple[str, ...]:
    """Keys of a header or of ``key = 0``; empty for one that is not understood."""
    try:
        value: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    keys = []
    while isinstance(value, dict) and value:
        keys.append(next(iter(value)))
        value = value[keys[-1]]
    # A header of an array of tables is none of ours.
    return ("[]", *keys) if isinstance(value, list) else tuple(keys)

"""Numbers, texts, lists and dicts as JSON; text and bytes as they are."""

from __future__ import annotations

import json
import sys
from typing import Any

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.members import is_a
from mlops_workbench.core.wire.json_numbers import json_number, real_number

#: Endings of files that are loaded as text; others are bytes.
TEXTS = frozenset(
    (
        *(".txt", ".md", ".rst", ".html", ".htm", ".svg", ".xml", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".log"),
        *(".py", ".sql", ".tex", ".css", ".js", ".jsonl", ".tsv"),
    )
)
#: What stands for the numbers that JSON has no word for.
_RESERVED = ("NaN", "Infinity", "-Infinity")


def json_bytes(value: Any) -> bytes:
    """Return a value as JSON, from which `from_json` makes an equal value.

    NaN and the infinities are the texts ``NaN``, ``Infinity`` and ``-Infinity``, which therefore are refused as texts.
    Tuples become lists, numbers of NumPy those of Python.

    Raises
    ------
    InvalidInput
        JSON cannot hold it; the message names the place.
    """
    try:
        plain = _plain(value, "value")
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False, indent=1)
        return text.encode()
    except UnicodeEncodeError:
        # Lone surrogates have a form in JSON, but none in UTF-8.
        return json.dumps(plain, allow_nan=False, indent=1).encode()
    except RecursionError:
        raise InvalidInput("the value contains itself, or is nested too deeply for JSON") from None
    except ValueError as error:
        raise InvalidInput(f"the value cannot be written as JSON: {error}") from error


def from_json(content: bytes) -> Any:
    """Return the value in JSON.

    Raises
    ------
    InvalidInput
        It is not JSON.
    """
    try:
        return _restored(json.loads(content))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the file is not JSON: {error}") from error


def file_bytes(value: Any) -> bytes:
    """Return text or bytes as the content of a file.

    Raises
    ------
    InvalidInput
        The text cannot be encoded as UTF-8.
    """
    if not isinstance(value, str):
        return bytes(value)
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"the text cannot be encoded as UTF-8: {error.reason}") from error


def file_value(content: bytes, ending: str) -> str | bytes:
    """Return the content of a file as text if its ending is that of a text and it is UTF-8, else as bytes."""
    if ending not in TEXTS:
        return content
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _plain(value: Any, where: str) -> Any:
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and is_a(value, numpy.generic) and value.dtype.kind in "biuf":
        value = value.item()
    kind = type(value)
    if value is None or kind is bool:
        return value
    if isinstance(value, str):
        if value in _RESERVED:
            raise InvalidInput(
                f"{where} is the text '{value}', which would be read back as a number",
                hint="write it in another way, such as in lower case",
            )
        return str(value)
    if isinstance(value, float):
        return json_number(float(value))
    if isinstance(value, int) and kind.__module__ != "enum":
        return int(value)
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise InvalidInput(
                    f"{where} has the key {key!r}, and JSON has only texts as keys",
                    hint="convert the keys to text, or save a list of pairs",
                )
        return {str(key): _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise InvalidInput(
        f"{where} is a {kind.__name__}, which JSON cannot hold",
        hint="convert it to numbers, texts, lists and dicts; dates for example by isoformat()",
    )


def _restored(value: Any) -> Any:
    if isinstance(value, str):
        return real_number(value) if value in _RESERVED else value
    if isinstance(value, list):
        return [_restored(item) for item in value]
    if isinstance(value, dict):
        return {key: _restored(item) for key, item in value.items()}
    return value

"""Values of a command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from mlops_workbench.core.errors import UNREADABLE, InvalidInput


def parse_assignments(texts: Iterable[str]) -> dict[str, Any]:
    """``["month=3", "months=[1, 2]"]`` as a dict; values are parsed as YAML, so text needs no quotes.

    Raises
    ------
    InvalidInput
        A text is not of the form ``name=value``, or a name occurs twice.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InvalidInput(f"'{text}' is not of the form name=value", hint="for example: -p month=3")
        if name.strip() in values:
            raise InvalidInput(f"parameter '{name.strip()}' is given twice", hint="give it once")
        values[name.strip()] = _scalar(value)
    return values


def _scalar(text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, *UNREADABLE):
        return text
    # Dates stay text: the declared type of the parameter decides.
    return value if isinstance(value, bool | int | float | list) or (value is None and text in ("null", "~")) else text

"""Types of columns that every database stores: text and JSON without the values that PostgreSQL refuses."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import JSON, Dialect, Text
from sqlalchemy.types import TypeDecorator

from mlops_workbench.core.wire.json_numbers import json_value

#: NUL and single surrogates, which text in PostgreSQL cannot contain.
_REFUSED = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def clean_text(text: str) -> str:
    """Return `text` with NUL and single surrogates replaced by U+FFFD."""
    return _REFUSED.sub(_REPLACEMENT, text)


class CleanText(TypeDecorator[str]):
    """Text of any length."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Text to store."""
        return None if value is None else clean_text(value)


class CleanJson(TypeDecorator[Any]):
    """JSON, whose numbers may be infinite or not a number: see :mod:`mlops_workbench.core.wire.json_numbers`."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Value to store."""
        return json_value(value)

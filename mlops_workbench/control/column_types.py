"""Types of columns that every database stores: text and JSON without the values that PostgreSQL refuses."""

from __future__ import annotations

import math
import re
from typing import Any

from sqlalchemy import JSON, Dialect, Text
from sqlalchemy.types import TypeDecorator

#: NUL and single surrogates, which text in PostgreSQL cannot contain.
_REFUSED = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def clean_text(text: str) -> str:
    """Return `text` with NUL and single surrogates replaced by U+FFFD."""
    return _REFUSED.sub(_REPLACEMENT, text)


def clean_json(value: Any) -> Any:
    """Return a JSON value with clean text; numbers that JSON has no word for are the texts that msgspec reads back."""
    match value:
        case str():
            return clean_text(value)
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case dict():
            return {clean_text(str(key)): clean_json(item) for key, item in value.items()}
        case list() | tuple():
            return [clean_json(item) for item in value]
        case _:
            return value


class CleanText(TypeDecorator[str]):
    """Text of any length."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Text to store."""
        return None if value is None else clean_text(value)


class CleanJson(TypeDecorator[Any]):
    """JSON, whose numbers may be infinite or not a number."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Value to store."""
        return clean_json(value)

"""The forms in which the value of a secret stands in what programs write."""

from __future__ import annotations

import contextlib
import json
from urllib.parse import quote, quote_plus

#: A shorter value would occur in texts by chance.
SHORTEST = 4


def written_forms(value: str) -> set[str]:
    """A value as it is, inside of a literal, in JSON, HTML and addresses; forms that are too short are left out."""
    from html import escape  # Imported here: few processes know a secret.

    found = {value, value.replace("\n", "\r\n"), repr(value)[1:-1], escape(value), escape(value, quote=False)}
    found |= {json.dumps(value, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    with contextlib.suppress(UnicodeEncodeError):  # a value of the environment that is not text
        found |= {quote(value, safe=""), quote(value), quote_plus(value)}
    return {form for form in found if len(form) >= SHORTEST}

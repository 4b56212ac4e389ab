"""Columns of data that hold secrets: their values are not shown, and kept only where the user keeps the data itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlops_workbench.core.secrets.formats import is_token
from mlops_workbench.core.secrets.masking import mask
from mlops_workbench.core.secrets.names import name_strength
from mlops_workbench.core.secrets.registered import any_registered, holds_registered

#: Number of values that are examined, and the share of tokens from which on a column holds secrets.
_EXAMINED, _SHARE = 500, 0.2
#: Length of the shortest text that can be told to be a token.
SHORTEST_TOKEN = 12
_MISSING = ("NAType", "NaTType")


def is_secret_column(name: Any, values: Sequence[Any] = ()) -> bool:
    """Return whether a column has the name of a secret, a fifth of its values the form of a token, or one is known.

    Parameters
    ----------
    name : object
        Label of the column.
    values : sequence
        Its values, of which at most 500 are examined. A column of booleans holds no secrets.
    """
    present = [value for value in values[:: max(1, len(values) // _EXAMINED)] if not _is_missing(value)]
    if present and all(isinstance(value, bool) for value in present):
        return False
    if is_secret_name(name):
        return True
    if any_registered() and any(isinstance(value, str) and holds_registered(value) for value in values):
        return True
    texts = [value for value in present if isinstance(value, str)]
    if not any(len(text) >= SHORTEST_TOKEN for text in texts):
        return False
    return sum(map(is_token, texts)) >= _SHARE * len(present)


def _is_missing(value: Any) -> bool:
    # Objects of other classes may answer a comparison with anything.
    return value is None or (isinstance(value, float) and value != value) or type(value).__name__ in _MISSING


def is_secret_name(name: Any) -> bool:
    """Return whether the label of a column is the name of a secret; of several levels, any one."""
    parts = name if isinstance(name, tuple) else (name,)
    return any(name_strength(str(part)) == "strong" for part in parts)


def mask_texts(texts: list[Any]) -> list[Any]:
    """Return values with the secrets inside of texts masked."""
    long = [text for text in texts if isinstance(text, str) and len(text) >= SHORTEST_TOKEN]
    joined = "\n".join(long)
    # Most columns hold no secret, and one look at all their values tells.
    if not long or mask(joined) == joined:
        return texts
    return [mask(text) if isinstance(text, str) else text for text in texts]

"""Inputs whose values are not logged in clear: personal columns are hashed or dropped, those of secrets dropped."""

from __future__ import annotations

import contextlib
import hmac
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.files import create_secret
from mlops_workbench.core.personal import is_personal
from mlops_workbench.core.secrets.columns import SHORTEST_TOKEN, is_secret_column, is_secret_name
from mlops_workbench.core.secrets.registered import any_registered
from mlops_workbench.serving.rows.values import Array

#: What becomes of a column: kept as it is, hashed, or left out.
Action = Literal["keep", "hash", "drop"]

_KEY_BYTES, _HASH_BYTES = 32, 16


class Protection:
    """What becomes of the inputs of a model in its log.

    Parameters
    ----------
    personal : sequence of str
        Patterns of names of personal columns, ``[data] personal``.
    in_log : str
        ``hash``: a keyed hash of each value is logged; ``drop``: nothing is.
    key : bytes
        Key of the hashes.
    """

    def __init__(
        self, personal: Sequence[str] = (), in_log: Literal["hash", "drop"] = "hash", key: bytes = b""
    ) -> None:
        self._personal = tuple(personal)
        self._in_log = in_log
        self._key = key

    def action(self, name: str, dtype: np.dtype[Any]) -> Action:
        """What becomes of a column."""
        if is_personal(name, self._personal):
            return self._in_log
        # As for data sets: a column of booleans holds no secret.
        return "drop" if is_secret_name(name) and dtype.kind != "b" else "keep"

    def hashes(self, name: str, values: Array) -> list[str | None]:
        """HMAC-SHA256 of each value with the column's name, 32 hexadecimal digits; None for missing values.

        Equal values of one column have equal hashes, also as integers and floats.
        """
        prefix = name.encode("utf-8", "surrogatepass") + b"\0"
        return [self._hash(prefix, value) for value in values.tolist()]

    def _hash(self, prefix: bytes, value: object) -> str | None:
        if value is None or value != value:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        text = str(value).encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, prefix + text, "sha256")[:_HASH_BYTES].hex()


def without_secrets(name: str, values: list[Any]) -> list[Any]:
    """Values of a text column; all None if they are secrets, as :func:`is_secret_column` tells."""
    # Most values are short, and this is done for every request.
    if not any_registered() and max(map(len, filter(None, values)), default=0) < SHORTEST_TOKEN:
        return values
    return [None] * len(values) if is_secret_column(name, values) else values


def read_key(path: Path) -> bytes:
    """Key of the hashes of a workspace, which is made when it is first needed; only its owner may read it.

    Raises
    ------
    StorageError
        It cannot be read or made, or is damaged.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            return _checked(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        create_secret(path, secrets.token_hex(_KEY_BYTES))
        return _checked(path)
    except OSError as error:
        raise StorageError(
            f"the key for personal columns in the prediction log cannot be read: {error.strerror or error}",
            where=str(path),
            hint='make the file readable for this user, or set personal_in_log = "drop" below [data]',
        ) from error


def _checked(path: Path) -> bytes:
    text = path.read_text(errors="replace").strip()
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise StorageError(
            "the key for personal columns in the prediction log is damaged",
            where=str(path),
            hint="restore the file, or delete it: a new key is made, and hashes of before have no equals any more",
        )
    return key

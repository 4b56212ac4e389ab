"""Tokens of endpoints: what is stored of them is their hash."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from hmac import compare_digest
from typing import Literal, get_args

from mlops_workbench.core.errors import InvalidInput

#: What a token allows: predictions, feedback, or all.
Scope = Literal["infer", "feedback", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_HASH = "sha256:"
_ENTRY = re.compile(r"(?P<scopes>[a-z]+(?:,[a-z]+)*) +(?P<hash>sha256:[0-9a-f]{64})(?: +(?P<name>\S.*))?")


def new_token() -> str:
    """A random token of 256 bits."""
    return secrets.token_urlsafe(32)


def hashed(token: str) -> str:
    """What is stored of a token; a hash stays one.

    A token is random, so that it needs no salt and no slow hash.
    """
    return token if token.startswith(_HASH) else _HASH + hashlib.sha256(token.encode()).hexdigest()


def token_entry(token: str, scopes: Iterable[Scope], name: str = "") -> str:
    """Entry of ``serving.tokens`` for a token."""
    return f"{','.join(scopes)} {hashed(token)} {name}".strip()


class Tokens:
    """The tokens that an endpoint takes.

    Parameters
    ----------
    token : str
        The one that allows everything, or its hash; empty for none.
    entries : iterable of str
        Others, as :func:`token_entry` writes them.

    Raises
    ------
    InvalidInput
        An entry is damaged.
    """

    def __init__(self, token: str, entries: Iterable[str]) -> None:
        self._scopes: dict[bytes, frozenset[str]] = {}
        if token:
            self._scopes[hashed(token).encode()] = frozenset(SCOPES)
        for entry in entries:
            found = _ENTRY.fullmatch(entry.strip())
            scopes = frozenset(found["scopes"].split(",")) if found else frozenset()
            if found is None or not scopes <= frozenset(SCOPES):
                raise InvalidInput(
                    f"not an entry of serving.tokens: '{entry[:40]}'",
                    hint="make one with 'mlops tokens new --scope infer'",
                )
            self._scopes[found["hash"].encode()] = frozenset(SCOPES) if "admin" in scopes else scopes

    def __bool__(self) -> bool:
        """Whether a token is needed."""
        return bool(self._scopes)

    def scopes(self, token: str) -> frozenset[str] | None:
        """What a token allows; None if it is none of these. The time says nothing about which it is like."""
        given = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest().encode()
        allowed: frozenset[str] | None = None
        for known, scopes in self._scopes.items():
            if compare_digest(known[len(_HASH) :], given):
                allowed = scopes
        return allowed

"""Authorizers that deny actions of the workbench, and an identity provider that knows its users."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth.authorizer import Authorizer
from jupyter_server.auth.identity import PasswordIdentityProvider, User


class Denier(Authorizer):
    """Allows what is not the workbench's; of the workbench only the actions in `allowed`."""

    allowed: frozenset[str] = frozenset()

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return resource != "mlops" or action in self.allowed


class Reader(Denier):
    """Lets users read."""

    allowed = frozenset({"read"})


class KnownUsers(PasswordIdentityProvider):
    """Knows who has the token."""

    def generate_anonymous_user(self, handler: Any) -> User:
        return User("änn", "Ann of Accounts")

"""Who acts: the client of a request, or a background job of the control plane."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops_workbench.client.bodies import ACTOR, LONGEST_ACTOR, SOURCE
from mlops_workbench.core.audit import DECLARED_SOURCES, UNKNOWN, Actor, Source, actor

#: Who acts in code that no request and no named job has called.
CONTROL = actor("process", "control plane", "control")
#: A change that was made in MLflow, which does not say by whom.
IN_MLFLOW = actor("process", "MLflow", "mlflow")

_acting: ContextVar[Actor] = ContextVar("mlops_actor", default=CONTROL)


def acting() -> Actor:
    """Who acts in this thread or task."""
    return _acting.get()


@contextmanager
def acting_as(who: Actor) -> Iterator[None]:
    """Let `who` be the one who acts in the block."""
    token = _acting.set(who)
    try:
        yield
    finally:
        _acting.reset(token)


def process(name: str, source: Source = "control") -> Actor:
    """A process of the workbench as actor."""
    return actor("process", name, source)


def declared_actor(headers: Headers) -> Actor:
    """The person that a client says to act for; without a name, one who is unknown.

    The token of a workspace says that a client may do everything, and not who it is. So this is not verified.
    """
    source: Source = next((known for known in DECLARED_SOURCES if known == headers.get(SOURCE)), "rest")
    name = unquote_to_bytes(headers.get(ACTOR, "")).decode(errors="replace").strip()[:LONGEST_ACTOR]
    return actor("person", name or UNKNOWN, source, declared=bool(name))


class RequestActors:
    """ASGI middleware around the routes: the client of a request acts while it is answered.

    Not a dependency of the routes: one that runs in a thread would set the actor for that thread alone.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        with acting_as(declared_actor(Headers(scope=scope))):
            await self.app(scope, receive, send)

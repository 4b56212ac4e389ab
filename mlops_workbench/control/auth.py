"""The token of the control plane."""

from __future__ import annotations

import logging
import os
import re
import secrets
from pathlib import Path
from secrets import compare_digest

import orjson
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops_workbench.core.errors import StorageError, Unauthorized
from mlops_workbench.core.files import create_secret, put_aside

log = logging.getLogger("mlops_workbench.control")


#: A token that is in use: long enough not to be guessed, and valid in a header.
_TOKEN = re.compile(r"[!-~]{16,}\Z")


def read_or_make_token(path: Path) -> str:
    """The workspace's token, created on first use in a file that only its owner can read.

    A file without a token, which may have been damaged, is put aside.

    Raises StorageError if the file cannot be created, or if others can read it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path) and not _TOKEN.match(_content(path)):
            log.warning("the file of the token has none: there is a new one, and the old file is %s", put_aside(path))
        create_secret(path, secrets.token_urlsafe(32))
        if path.stat().st_mode & 0o077:
            raise StorageError("the token file can be read by others", where=str(path), hint=f"run: chmod 600 '{path}'")
        return _content(path)
    except OSError as error:
        raise StorageError(
            f"cannot write the token file: {error.strerror or error}",
            where=str(path),
            hint="make the workspace's .mlops folder writable",
        ) from error


def _content(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except (PermissionError, IsADirectoryError):
        return ""


#: Paths whose routes check a secret of their own.
_OWN_SECRET = "/api/hooks/"  # noqa: S105


class TokenAuth:
    """ASGI middleware that rejects every request without the bearer token, before it is routed.

    Those to webhooks pass: see :mod:`mlops_workbench.control.routes.hooks`.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request, or answer 401."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("authorization", "").encode()
        own = scope["type"] == "http" and scope["method"] == "POST" and scope["path"].startswith(_OWN_SECRET)
        if own or (scope["type"] == "http" and compare_digest(given, self._expected)):
            await self.app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4401})
            return
        error = Unauthorized("wrong or missing token", hint="send 'Authorization: Bearer <token of .mlops/run/token>'")
        body = orjson.dumps(error.to_dict())
        headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": body})

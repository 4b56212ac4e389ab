"""Bodies of requests: their size is limited, and a byte order mark before JSON is no error."""

from __future__ import annotations

import codecs

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Bytes; the largest requests are specs of monitors and parameters of pipelines.
LARGEST_BODY = 16 << 20


class RequestBodies:
    """ASGI middleware around the routes, which raises `HTTPException` 413 for a body of more than 16 MiB."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its body checked."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        received = 0

        async def checked() -> Message:
            nonlocal received
            message = await receive()
            body: bytes = message.get("body", b"")
            if received == 0 and body.startswith(codecs.BOM_UTF8):
                message = {**message, "body": body.removeprefix(codecs.BOM_UTF8)}
            received += len(body)
            announced = Headers(scope=scope).get("content-length", "")
            if received > LARGEST_BODY or (announced.isdecimal() and int(announced) > LARGEST_BODY):
                raise HTTPException(413, f"the body of the request exceeds {LARGEST_BODY >> 20} MiB")
            return message

        await self.app(scope, checked, send)

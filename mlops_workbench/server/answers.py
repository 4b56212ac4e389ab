"""Base class of the handlers: JSON responses and errors."""

from __future__ import annotations

from typing import Any

import msgspec
from jupyter_server.base.handlers import APIHandler
from tornado.web import HTTPError

from mlops_workbench.core.errors import WorkbenchError


class WorkbenchHandler(APIHandler):
    """Base of the handlers.

    Each subclass must decorate its own HTTP methods and not inherit decorated ones, because ``authorized`` keeps the
    resource of the first class it runs for.
    """

    auth_resource = "mlops"

    def answer(self, body: object) -> None:
        """Finish the response with `body` as JSON."""
        self.finish(msgspec.json.encode(body))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer every error with ``{code, message, where, hint}``."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, WorkbenchError):
            self.set_status(error.status)
            self.answer(error.to_dict())
            return
        message = error.log_message if isinstance(error, HTTPError) else None
        code = {401: "unauthorized", 403: "forbidden", 404: "not_found"}.get(status_code, "error")
        body = {"code": code, "message": message or self._reason, "where": self.request.path, "hint": None}
        self.answer(body)

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        """Log an error that users can fix themselves as a warning without traceback."""
        if isinstance(value, WorkbenchError):
            self.log.warning("%s %s: %s", self.request.method, self.request.path, value)
        else:
            super().log_exception(typ, value, tb)

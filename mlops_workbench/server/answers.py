"""What all handlers of the extension share: JSON answers, and errors a user can act on."""

from __future__ import annotations

from typing import Any

import msgspec
from jupyter_server.base.handlers import APIHandler
from tornado.web import HTTPError

from mlops_workbench.core.errors import WorkbenchError


class WorkbenchHandler(APIHandler):
    """Base of the handlers; each concrete class decorates its own verbs.

    ``authorized`` keeps the resource of the first class it runs for, so that a decorated verb must
    not be inherited.
    """

    auth_resource = "mlops"

    def answer(self, body: object) -> None:
        """Finish with `body` as JSON."""
        self.finish(msgspec.json.encode(body))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer ``{code, message, where, hint}``, whatever went wrong."""
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
        """An error that the user is told how to mend is no defect: it needs no traceback in the log."""
        if isinstance(value, WorkbenchError):
            self.log.warning("%s %s: %s", self.request.method, self.request.path, value)
        else:
            super().log_exception(typ, value, tb)

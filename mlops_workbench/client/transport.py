"""Requests to a control plane, which may restart on another port or not respond."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from mlops_workbench.client.bodies import CATCHING_UP
from mlops_workbench.client.caller import caller_headers, user_name
from mlops_workbench.client.http import HttpSession, NotSent, Response
from mlops_workbench.client.launch import ensure_running, find_running
from mlops_workbench.core.errors import InvalidInput, Unavailable, WorkbenchError
from mlops_workbench.core.workspace import Workspace

_RETRY_SECONDS = 10.0


class _NotSent(Unavailable):
    """The request was not received, so it may be sent again."""


class Transport:
    """A connection to one control plane, with the parameters of a `Client`; raises InvalidInput for a bad `url`."""

    def __init__(self, url: str, token: str, workspace: Workspace | None = None, source: str = "python") -> None:
        self.url = url
        self._workspace = workspace
        self._caller = caller_headers(user_name(), source)
        #: Called when an answer is marked as catching up.
        self.on_catching_up: Callable[[], object] = lambda: None
        self._http = _session(url, token, self._caller)

    def send(self, method: str, path: str, **options: Any) -> Response:
        """Send a request below ``/api`` and return the successful response.

        Raises
        ------
        Unavailable
            The control plane does not answer, and cannot be started again.
        WorkbenchError
            The control plane returned an error.
        """
        if method == "POST" and self._workspace is not None and find_running(self._workspace) is None:
            # Checked before sending, because a POST must not be sent twice.
            self._reconnect(self._workspace)
        try:
            response = self._request(method, path, options)
        except _NotSent:
            if self._workspace is None:
                raise
            response = self._retry(self._workspace, method, path, options)
        if response.is_success:
            if CATCHING_UP in response.headers:
                self.on_catching_up()
            return response
        raise _error(path, response)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _retry(self, workspace: Workspace, method: str, path: str, options: dict[str, Any]) -> Response:
        # A process that was just killed exists for a moment without responding, so that no other is started.
        deadline = time.monotonic() + _RETRY_SECONDS
        while True:
            self._reconnect(workspace)
            try:
                return self._request(method, path, options)
            except _NotSent:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _request(self, method: str, path: str, options: dict[str, Any]) -> Response:
        try:
            return self._http.request(method, f"/api{path}", **options)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, TimeoutError):
                raise Unavailable(f"the control plane did not answer {path} in time", hint="try again") from error
            if method == "POST" and not isinstance(error, NotSent):
                raise Unavailable(
                    "the control plane stopped during the request",
                    hint="check whether the request took effect before you repeat it; 'mlops status' shows the state",
                ) from error
            raise _NotSent(
                f"the control plane does not answer: {error}",
                where=self.url,
                hint="start it with 'mlops up', or check MLOPS_URL if it is on another host",
            ) from error

    def _reconnect(self, workspace: Workspace) -> None:
        self.url, token = ensure_running(workspace)
        self._http.close()
        self._http = _session(self.url, token, self._caller)


def _session(url: str, token: str, caller: Mapping[str, str]) -> HttpSession:
    try:
        return HttpSession(url, {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **caller})
    except ValueError as error:
        raise InvalidInput(
            f"'{url}' is not a valid URL of a control plane: {error}", hint="MLOPS_URL has the form http://host:port"
        ) from error


def _error(path: str, response: Response) -> WorkbenchError:
    try:
        body = msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.DecodeError:
        text = response.content[:200].decode(errors="replace")
        body = {"message": f"/api{path} answered {response.status}: {text}"}
    return WorkbenchError.from_dict(body, response.status)

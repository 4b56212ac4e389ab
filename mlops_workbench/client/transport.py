"""Requests to a control plane, which may restart on another port or not respond."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import msgspec

from mlops_workbench.client.bodies import CATCHING_UP
from mlops_workbench.client.launch import ensure_running, find_running
from mlops_workbench.core.errors import InvalidInput, Unavailable, WorkbenchError
from mlops_workbench.core.workspace import Workspace

_RETRY_SECONDS = 10.0


class _NotSent(Unavailable):
    """The request was not received, so it may be sent again."""


class Transport:
    """A connection to one control plane, with the parameters of a `Client`; raises InvalidInput for a bad `url`."""

    def __init__(self, url: str, token: str, workspace: Workspace | None = None) -> None:
        self.url = url
        self._workspace = workspace
        #: Called when an answer is marked as catching up.
        self.on_catching_up: Callable[[], object] = lambda: None
        self._http = _session(url, token)

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
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
        raise _error(response)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _retry(self, workspace: Workspace, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
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

    def _request(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        try:
            return self._http.request(method, f"/api{path}", **options)
        except httpx.TimeoutException as error:
            raise Unavailable(f"the control plane did not answer {path} in time", hint="try again") from error
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            if method == "POST" and not isinstance(error, httpx.ConnectError):
                raise Unavailable(
                    "the control plane stopped during the request",
                    hint="check whether the request took effect before you repeat it; 'mlops status' shows the state",
                ) from error
            raise _NotSent(
                f"the control plane does not answer: {error}",
                where=self.url,
                hint="start it with 'mlops up', or check MLOPS_URL if it is on another host",
            ) from error
        except httpx.TransportError as error:
            raise _invalid_url(self.url, error) from error

    def _reconnect(self, workspace: Workspace) -> None:
        self.url, token = ensure_running(workspace)
        self._http.close()
        self._http = _session(self.url, token)


def _session(url: str, token: str) -> httpx.Client:
    # Without the proxies of the environment: this is loopback or a team's own host.
    timeout = httpx.Timeout(180.0, connect=5.0)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        return httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False)
    except httpx.InvalidURL as error:
        raise _invalid_url(url, error) from error


def _invalid_url(url: str, error: Exception) -> InvalidInput:
    return InvalidInput(
        f"'{url}' is not a valid URL of a control plane: {error}", hint="MLOPS_URL has the form http://host:port"
    )


def _error(response: httpx.Response) -> WorkbenchError:
    try:
        body = msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.DecodeError:
        body = {"message": f"{response.request.url} answered {response.status_code}: {response.text[:200]}"}
    return WorkbenchError.from_dict(body, response.status_code)

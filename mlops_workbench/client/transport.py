"""Requests to a control plane, which may be restarted, move to another port, or be away."""

from __future__ import annotations

import time
from typing import Any

import httpx
import msgspec

from mlops_workbench.client.launch import ensure_running, find_running
from mlops_workbench.core.errors import InvalidInput, Unavailable, WorkbenchError
from mlops_workbench.core.workspace import Workspace

_DYING_SECONDS = 10.0


class _NotSent(Unavailable):
    """Nobody took the request: it may be sent again."""


class Transport:
    """A connection to one control plane.

    Parameters
    ----------
    url, token : str
        Where it is and what it wants to see.
    workspace : Workspace, optional
        To find the control plane again when it was restarted on another port.

    Raises
    ------
    InvalidInput
        `url` is no address.
    """

    def __init__(self, url: str, token: str, workspace: Workspace | None = None) -> None:
        self.url = url
        self._workspace = workspace
        self._http = _session(url, token)

    def send(self, method: str, path: str, **given: Any) -> httpx.Response:
        """Send a request below ``/api`` and return the answer, which is a success.

        Raises
        ------
        Unavailable
            The control plane does not answer, and cannot be started again.
        WorkbenchError
            What it answered.
        """
        if method == "POST" and self._workspace is not None and find_running(self._workspace) is None:
            # Not found out by sending: what a POST asks for must not happen twice.
            self._reconnect(self._workspace)
        try:
            response = self._request(method, path, given)
        except _NotSent:
            if self._workspace is None:
                raise
            response = self._retry(self._workspace, method, path, given)
        if response.is_success:
            return response
        raise _error(response)

    def close(self) -> None:
        """Give the connection back."""
        self._http.close()

    def _retry(self, workspace: Workspace, method: str, path: str, given: dict[str, Any]) -> httpx.Response:
        # A process that was just killed answers no more but is still there for a moment.
        deadline = time.monotonic() + _DYING_SECONDS
        while True:
            self._reconnect(workspace)
            try:
                return self._request(method, path, given)
            except _NotSent:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _request(self, method: str, path: str, given: dict[str, Any]) -> httpx.Response:
        try:
            return self._http.request(method, f"/api{path}", **given)
        except httpx.TimeoutException as error:
            raise Unavailable(f"the control plane is too slow to answer {path}", hint="try again") from error
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            if method == "POST" and not isinstance(error, httpx.ConnectError):
                raise Unavailable(
                    "the control plane went away while it was asked", hint="'mlops status' shows whether it was done"
                ) from error
            raise _NotSent(
                f"the control plane does not answer: {error}",
                where=self.url,
                hint="start it with 'mlops up', or check MLOPS_URL if it is on another host",
            ) from error
        except httpx.TransportError as error:
            raise _no_address(self.url, error) from error

    def _reconnect(self, workspace: Workspace) -> None:
        self.url, token = ensure_running(workspace)
        self._http.close()
        self._http = _session(self.url, token)


def _session(url: str, token: str) -> httpx.Client:
    # Proxies of the environment are for the world outside; this is loopback or a team's own host.
    timeout = httpx.Timeout(180.0, connect=5.0)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        return httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False)
    except httpx.InvalidURL as error:
        raise _no_address(url, error) from error


def _no_address(url: str, error: Exception) -> InvalidInput:
    return InvalidInput(
        f"'{url}' is no address of a control plane: {error}", hint="MLOPS_URL is of the form http://host:port"
    )


def _error(response: httpx.Response) -> WorkbenchError:
    try:
        body = msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.DecodeError:
        body = {"message": f"{response.request.url} answered {response.status_code}: {response.text[:200]}"}
    return WorkbenchError.from_dict(body, response.status_code)

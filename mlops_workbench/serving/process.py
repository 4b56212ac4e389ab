"""The process of an endpoint: lock, socket, server, and observed state."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
from importlib import metadata
from pathlib import Path

import msgspec
import uvicorn

from mlops_workbench.core.errors import StorageError, WorkbenchError
from mlops_workbench.core.files import file_lock
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.shown.log_lines import log_to_stderr
from mlops_workbench.serving.app import EndpointApp, create_app
from mlops_workbench.serving.desired import LOCK, Desired, Observed, ProcessState, read_desired, write_observed
from mlops_workbench.serving.guard import is_loopback
from mlops_workbench.serving.http_protocol import HttpProtocol
from mlops_workbench.serving.log.feedback import FeedbackLog
from mlops_workbench.serving.log.predictions import prediction_log
from mlops_workbench.serving.routing.follower import DesiredStateFollower
from mlops_workbench.serving.routing.router import Router
from mlops_workbench.serving.service import InferenceService

log = logging.getLogger("mlops_workbench.serving")

#: Exit codes.
BAD_STATE, RUNNING, PORT_IN_USE, REFUSED, FAILED = 2, 3, 4, 5, 6

_PORT_PATIENCE = _LOCK_PATIENCE = 2.0
_GRACE = 10
#: Seconds that an idle connection is kept; longer than clients and proxies keep theirs, since a request that meets the
#: end of its connection fails.
_KEEP_ALIVE = 75


def run(folder: Path, version: str = "") -> int:
    """Serve the endpoint of a folder until it is asked to stop.

    Parameters
    ----------
    folder : Path
        Endpoint folder with ``desired.json``.
    version : str
        Version of the workbench, shown in the server's metadata.

    Returns
    -------
    int
        Exit code: 0 stopped, 2 no valid ``desired.json``, 3 the endpoint runs already, 4 the port is in use,
        5 refused for security, 6 another failure.
    """
    try:
        deadline = time.monotonic() + _LOCK_PATIENCE
        while True:
            with file_lock(folder / LOCK, wait=False) as held:
                if held:
                    return EndpointProcess(folder, read_desired(folder)).run(version)
            # A supervisor that checks the lock holds it for a moment.
            if time.monotonic() > deadline:
                log.info("the endpoint in %s is running already", folder)
                return RUNNING
            time.sleep(0.05)
    except WorkbenchError as error:
        log.error("%s", error)
        return BAD_STATE


class EndpointProcess:
    """The endpoint while it holds the lock.

    Parameters
    ----------
    folder : Path
        Endpoint folder.
    desired : Desired
        Desired state at the start, which determines socket, token and logs.
    """

    def __init__(self, folder: Path, desired: Desired) -> None:
        self._folder = folder
        self._start = desired
        identity = ProcessIdentity.of()
        assert identity is not None
        self._identity = identity
        self._port = 0
        self._state: ProcessState = "starting"
        self._problem = ""
        self._reported: Observed | None = None
        self._reporting = threading.Lock()
        self._service: InferenceService | None = None
        self._follower: DesiredStateFollower | None = None

    def run(self, version: str) -> int:
        """Serve; returns the exit code."""
        self._report()
        try:
            return self._run(version)
        except Exception as error:  # whatever it is, users must see it
            log.exception("the endpoint ends")
            return self._fail(FAILED, f"{type(error).__name__}: {error}")

    def _run(self, version: str) -> int:
        settings = self._start.settings
        if not settings.token and not is_loopback(settings.host):
            return self._fail(REFUSED, f"refuses to listen on {settings.host} without a token; set serving.token")
        try:
            listener = _listen(settings.host, self._start.port, fixed=self._start.fixed_port)
        except OSError as error:
            where = f"{settings.host}:{self._start.port}"
            return self._fail(PORT_IN_USE, f"cannot listen on {where}: {error.strerror or error}")
        self._port = listener.getsockname()[1]
        self._service = self._make_service()
        server = _server(create_app(self._service, settings, version))

        def stop() -> None:
            server.should_exit = True

        router = self._service.router
        self._follower = DesiredStateFollower(self._folder, router, on_stop=stop, on_change=self._report)
        self._serve(server, listener, self._follower)
        return 0

    def _make_service(self) -> InferenceService:
        settings = self._start.settings
        return InferenceService(
            self._start.name,
            Router(settings),
            prediction_log(self._start),
            FeedbackLog(Path(self._start.feedback)),
        )

    def _serve(self, server: uvicorn.Server, listener: socket.socket, follower: DesiredStateFollower) -> None:
        """Run the server until it is stopped, with the threads that follow and report its state."""
        # uvicorn raises the signals it caught again when it has ended; by then the logs are written.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        follower.start()
        ended = threading.Event()
        reporter = threading.Thread(target=self._keep_reporting, args=(ended,), name="observed state", daemon=True)
        reporter.start()
        self._report()
        log.info("endpoint '%s' listens on %s", self._start.name, self._url())
        server.run(sockets=[listener])
        follower.end()
        ended.set()
        reporter.join()
        self._state = "stopped"
        self._report()
        log.info("endpoint '%s' stopped", self._start.name)

    def _fail(self, code: int, problem: str) -> int:
        self._state, self._problem = "failed", problem
        log.error("%s", problem)
        self._report()
        return code

    def _url(self) -> str:
        host = self._start.settings.host
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    def _keep_reporting(self, ended: threading.Event) -> None:
        while not ended.wait(1.0):
            self._report()

    def _report(self) -> None:
        with self._reporting:
            observed = self._observe()
            if observed == self._reported:
                return
            try:
                write_observed(self._folder, msgspec.structs.replace(observed, updated_ms=now_ms()))
                self._reported = observed
            except StorageError as error:
                log.warning("%s", error)

    def _observe(self) -> Observed:
        service, follower = self._service, self._follower
        if service is None:
            return Observed(
                process=self._identity,
                process_key=self._start.process_key,
                state=self._state,
                # A failed start is the result of the generation it was started for.
                generation=self._start.generation if self._state == "failed" else 0,
                error=self._problem,
            )
        route, counts = service.router.route, service.counts()
        totals = counts.totals()
        state = self._state
        if state not in ("stopped", "failed") and follower is not None:
            state = "ready" if route is not None else "failed" if follower.error else "starting"
        return Observed(
            process=self._identity,
            process_key=self._start.process_key,
            state=state,
            generation=self._start.generation if self._problem else follower.generation if follower else 0,
            error=self._problem or (follower.error if follower else ""),
            url=self._url(),
            port=self._port,
            version=route.present.version if route else 0,
            previous=route.previous.version if route and route.previous else 0,
            digest=route.present.digest if route else "",
            since_ms=route.since_ms if route else 0,
            requests=totals.requests,
            rows=totals.rows,
            errors=totals.errors,
            log_written=counts.log_written,
            log_dropped=counts.log_dropped,
            p50_ms=totals.p50_ms,
            p99_ms=totals.p99_ms,
        )


def _server(app: EndpointApp) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=HttpProtocol,
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            ws="none",
            lifespan="on",
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_GRACE,
        )
    )


def _listen(host: str, port: int, *, fixed: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    deadline = time.monotonic() + _PORT_PATIENCE
    while True:
        try:
            return socket.create_server((host, port), family=family, backlog=2048)
        except OSError:
            if port and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            if port and not fixed:
                # The port is only preferred.
                log.warning("port %s is in use by another program; a free one is used", port)
                return socket.create_server((host, 0), family=family, backlog=2048)
            raise


def main(arguments: list[str]) -> int:
    """``python -m mlops_workbench.serving FOLDER``."""
    log_to_stderr()
    if len(arguments) != 1:
        log.error("usage: python -m mlops_workbench.serving ENDPOINT_FOLDER")
        return BAD_STATE
    return run(Path(arguments[0]), metadata.version("mlops-workbench"))

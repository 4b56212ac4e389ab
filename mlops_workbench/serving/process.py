"""The process of an endpoint: lock, socket, versions, workers, and observed state."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

import msgspec

from mlops_workbench.core.errors import StorageError, WorkbenchError
from mlops_workbench.core.files import file_lock, file_stamp
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.shown.log_lines import log_to_stderr
from mlops_workbench.core.tokens import Tokens
from mlops_workbench.serving.app import create_app
from mlops_workbench.serving.desired import (
    DESIRED,
    LOCK,
    Desired,
    Observed,
    ProcessState,
    read_desired,
    write_observed,
)
from mlops_workbench.serving.guard import is_loopback
from mlops_workbench.serving.log.feedback import FeedbackLog
from mlops_workbench.serving.log.predictions import prediction_log
from mlops_workbench.serving.metrics import RequestRate, merged_counts
from mlops_workbench.serving.routing.router import Router
from mlops_workbench.serving.service import InferenceService
from mlops_workbench.serving.workers.channel import Channel
from mlops_workbench.serving.workers.fleet import Fleet, WorkerFailed
from mlops_workbench.serving.workers.shared import SharedCounts
from mlops_workbench.serving.workers.worker import Worker

log = logging.getLogger("mlops_workbench.serving")

#: Exit codes.
BAD_STATE, RUNNING, PORT_IN_USE, REFUSED, FAILED = 2, 3, 4, 5, 6

_PORT_PATIENCE = _LOCK_PATIENCE = 2.0
#: Seconds between two looks at the desired state, and between two reports.
_LOOK_SECONDS, _REPORT_SECONDS = 0.1, 1.0
#: Seconds for the last answers of the workers before, until the next version is loaded.
_SETTLE_SECONDS = 1.0
#: Descriptors that this process may have open when it forks.
_MOST_DESCRIPTORS = 256


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
    """The endpoint while it holds the lock: it loads versions, and forks workers that answer requests.

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
        #: What was applied last, and why it failed.
        self._generation = 0
        self._problem = ""
        self._stamp: tuple[int, int, int] = (0, 0, 0)
        self._stopping = False
        self._reported: Observed | None = None
        self._report_at = 0.0
        self._rate = RequestRate()
        self._router = Router(desired.settings)
        self._counts = SharedCounts(3 * desired.settings.workers + 2)
        self._fleet: Fleet | None = None

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
        if not Tokens(settings.token, settings.tokens) and not is_loopback(settings.host):
            return self._fail(REFUSED, f"refuses to listen on {settings.host} without a token; set serving.token")
        try:
            listener = _listen(settings.host, self._start.port, fixed=self._start.fixed_port)
        except OSError as error:
            where = f"{settings.host}:{self._start.port}"
            return self._fail(PORT_IN_USE, f"cannot listen on {where}: {error.strerror or error}")
        self._port = listener.getsockname()[1]
        self._fleet = fleet = Fleet(lambda channel, slot: self._work(channel, slot, listener, version), self._counts)
        with _woken_by_signals(fleet, self._stop):
            try:
                # Says that nothing is loaded yet.
                fleet.replace(1)
                self._report()
                log.info("endpoint '%s' listens on %s", self._start.name, self._url())
                while not self._stopping:
                    self._follow(fleet)
                    fleet.step(_LOOK_SECONDS)
                    if time.monotonic() > self._report_at:
                        self._report()
            finally:
                listener.close()
                fleet.stop()
        self._state = "stopped"
        self._report()
        log.info("endpoint '%s' stopped", self._start.name)
        return 0

    def _stop(self) -> None:
        self._stopping = True

    def _follow(self, fleet: Fleet) -> None:
        """Apply ``desired.json`` if it has changed."""
        # Before reading, so that a change in between is applied as another one.
        stamp = file_stamp(self._folder / DESIRED)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            desired = read_desired(self._folder)
        except StorageError as error:
            # Keep serving until the file is written again.
            log.warning("%s", error)
            return
        if not desired.wanted:
            self._stopping = True
            return
        self._apply(desired, fleet)

    def _apply(self, desired: Desired, fleet: Fleet) -> None:
        """Load the desired version beside the present one, and let workers with it take over."""
        self._router.settings = desired.settings
        before = self._router.route
        problem = ""
        try:
            fleet.settle(_SETTLE_SECONDS)
            if before is not None:
                # Of the version before, which may be freed.
                gc.unfreeze()
            route = self._router.switch(desired.model, desired.version, Path(desired.folder), desired.digest)
            if route is not before:
                fleet.replace(desired.settings.workers)
        except WorkbenchError as error:
            log.warning("version %s cannot be served: %s", desired.version, error)
            problem = str(error)
        except Exception as error:
            # Otherwise the endpoint would stay "updating" without a reason.
            log.exception("version %s cannot be served", desired.version)
            problem = f"version {desired.version} cannot be served: {type(error).__name__}: {error}"
        if problem:
            self._router.restore(before)
        self._generation, self._problem = desired.generation, problem
        self._report()
        if problem or not desired.previous or not desired.previous_folder:
            return
        folder = Path(desired.previous_folder)
        fleet.settle(_SETTLE_SECONDS)
        if self._router.keep_previous(desired.model, desired.previous, folder, desired.previous_digest):
            try:
                fleet.replace(desired.settings.workers)
            except WorkerFailed as error:
                log.warning("%s", error)
            self._report()

    def _work(self, channel: Channel, slot: int, listener: socket.socket, version: str) -> None:
        """Be a worker; in a forked process."""
        # The lock is the parent's, who may end first.
        _close_all(self._folder / LOCK)
        settings = self._start.settings
        service = InferenceService(
            self._start.name,
            self._router,
            prediction_log(self._start),
            FeedbackLog(Path(self._start.feedback)),
            others=lambda: self._counts.others(slot),
        )
        worker = Worker(
            create_app(service, settings, version),
            channel,
            listener,
            parent=self._identity.pid,
            publish=lambda: self._counts.write(slot, service.counts()),
        )
        worker.run()

    def _fail(self, code: int, problem: str) -> int:
        self._state, self._problem, self._generation = "failed", problem, self._start.generation
        log.error("%s", problem)
        self._report()
        return code

    def _url(self) -> str:
        host = self._start.settings.host
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    def _report(self) -> None:
        self._report_at = time.monotonic() + _REPORT_SECONDS
        observed = self._observe()
        if observed == self._reported:
            return
        try:
            write_observed(self._folder, msgspec.structs.replace(observed, updated_ms=now_ms()))
            self._reported = observed
        except StorageError as error:
            log.warning("%s", error)

    def _observe(self) -> Observed:
        route = self._router.route
        state = self._state
        if state == "starting" and (route is not None or self._problem):
            state = "ready" if route is not None else "failed"
        counts = merged_counts(self._counts.all())
        totals = counts.totals()
        return Observed(
            process=self._identity,
            process_key=self._start.process_key,
            state=state,
            generation=self._generation,
            error=self._problem,
            url=self._url() if self._port else "",
            port=self._port,
            version=route.present.version if route else 0,
            previous=route.previous.version if route and route.previous else 0,
            digest=route.present.digest if route else "",
            since_ms=route.since_ms if route else 0,
            runtime=route.present.runtime.platform if route else "",
            uncompiled=route.present.runtime.uncompiled if route else "",
            workers=self._fleet.pids if self._fleet else [],
            requests=totals.requests,
            rows=totals.rows,
            errors=totals.errors,
            log_written=counts.log_written,
            log_dropped=counts.log_dropped,
            p50_ms=totals.p50_ms,
            p95_ms=totals.p95_ms,
            rate=self._rate.of(time.monotonic(), totals.requests),
            p99_ms=totals.p99_ms,
        )


@contextmanager
def _woken_by_signals(fleet: Fleet, stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at SIGTERM and SIGINT, and end the pause of the fleet at these and when a worker has ended."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)

    def clear() -> None:
        with suppress(BlockingIOError):
            while ours.recv(4096):
                pass

    fleet.watch(ours.fileno(), clear)
    signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        theirs.close()


def _close_all(path: Path) -> None:
    """Close every descriptor of a file in this process."""
    wanted = path.stat()
    for descriptor in range(3, _MOST_DESCRIPTORS):
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), wanted):
                os.close(descriptor)


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

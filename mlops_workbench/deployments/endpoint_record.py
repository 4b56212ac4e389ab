"""What a supervisor remembers of an endpoint between two steps, and how it judges the end of its process."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from mlops_workbench.core.endpoints import EndpointSpec
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.deployments.reconcile import EndpointState, pause_after


@dataclass
class EndpointRecord:
    """State of an endpoint in a supervisor's memory; all of it may be lost."""

    spec: EndpointSpec
    handle: subprocess.Popen[bytes] | None = None
    process: ProcessIdentity | None = None
    was_alive: bool = False
    failures: int = 0
    ended: str = ""
    next_start: float = 0.0
    ending_since: float | None = None
    problem: str = ""
    export_failures: int = 0
    next_export: float = 0.0

    def reap(self) -> None:
        """Collect the exit code of a process of this supervisor that has ended."""
        if self.handle is not None:
            self.handle.poll()

    def update(self, actual: EndpointState, now: float, last_log_line: Callable[[], str]) -> bool:
        """Take over the actual state; True if the process has ended though it should run.

        One that served is started again at once, one that did not after a pause.

        Parameters
        ----------
        actual : EndpointState
            The actual state.
        now : float
            Seconds on a monotonic clock.
        last_log_line : callable
            Returns the end of the process's log, which has the reason of a failed start.
        """
        observed = actual.observed
        if actual.alive:
            self.was_alive = True
            if observed is not None:
                self.process = observed.process
                if observed.state == "ready":
                    self.failures, self.ended = 0, ""
            return False
        if not self.was_alive:
            return False
        self.was_alive = False
        if self.ending_since is not None:
            self.ending_since, self.failures, self.next_start, self.ended = None, 0, 0.0, ""
            return False
        last = observed if observed is not None and observed.process == self.process else None
        code = self.handle.returncode if self.handle is not None else None
        how = (
            f"with signal {-code}" if code is not None and code < 0 else f"with code {code}" if code else "unexpectedly"
        )
        self.ended = f"its process ended {how} and is started again"
        if last is not None and last.version:
            self.failures, self.next_start = 0, now
        else:
            self.failures += 1
            self.next_start = now + pause_after(self.failures)
            if last is None or last.state != "failed":
                # Otherwise its own report has the reason.
                self.problem = f"its process ended {how} before it served: {last_log_line()}"
        return True

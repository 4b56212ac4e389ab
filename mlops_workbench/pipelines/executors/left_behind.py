"""The processes that an attempt at a stage has started, wherever they have moved since."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection
from dataclasses import dataclass, field

import psutil

from mlops_workbench.core.processes import ProcessIdentity

RUN_UID = "MLOPS_RUN_UID"
_DEATH_SECONDS = 1.0  # a process that waits for a disk dies later
#: Modules that run as processes of their own and outlive the notebook that started them.
_INDEPENDENT = (
    "mlops_workbench.control",
    "mlops_workbench.serving",
    "mlops_workbench.pipelines.execution.runner",
    "mlops_workbench.pipelines.kernels.server",
)


@dataclass
class _Found:
    process: psutil.Process
    parent: int
    session: int
    run_uid: str
    arguments: list[str] = field(default_factory=list)

    @property
    def independent(self) -> bool:
        return not self.run_uid and any(argument in _INDEPENDENT for argument in self.arguments)


def processes_of(run_uid: str, roots: set[int]) -> list[psutil.Process]:
    """Processes that work for a run.

    These are the ones with its uid in their environment, their descendants, and the members of their sessions: a
    process that has cleared its environment, or whose parent has ended, is found as well. A control plane, an endpoint
    or another pipeline run that the notebook started is not part of it.

    Parameters
    ----------
    run_uid : str
        The run, as in ``MLOPS_RUN_UID``.
    roots : set of int
        Ids of further processes that work for it.
    """
    found = {one.process.pid: one for one in _processes()}
    own = {os.getpid(), *_ancestors(found)}
    members = {pid for pid, one in found.items() if one.run_uid == run_uid} | (roots & found.keys())
    # The kernel of the run may be a child of a fork server, and the run itself one of this process.
    independent = {pid for pid, one in found.items() if one.independent}
    free = _descendants(found, independent - own - members, but=members)
    size = -1
    while len(members) > size:
        size = len(members)
        members = _descendants(found, members)
        # The process of an attempt has a session of its own, so that all sessions of its descendants are its own, too.
        sessions = {found[pid].session for pid in members}
        members |= {pid for pid, one in found.items() if one.session in sessions}
        members -= free | own
    return [found[pid].process for pid in members]


def kill_processes(run_uid: str, roots: set[int], *, but: int = 0) -> None:
    """Kill the processes that work for a run, except `but`, and wait for their end."""
    # Twice, since a process may start another one while it is being looked for.
    for _ in range(2):
        members = [process for process in processes_of(run_uid, roots) if process.pid != but]
        identities = [ProcessIdentity.of(process.pid) for process in members]
        for process in members:
            with contextlib.suppress(psutil.Error):
                process.kill()
        if not members:
            return
        deadline = time.monotonic() + _DEATH_SECONDS
        while time.monotonic() < deadline and any(one is not None and one.alive() for one in identities):
            time.sleep(0.005)


def _processes() -> list[_Found]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError), process.oneshot():
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            parent, session = process.ppid(), os.getsid(process.pid)
            uid, arguments = "", []
            # Those of other users are not readable, and not ours.
            with contextlib.suppress(psutil.Error, OSError):
                uid, arguments = process.environ().get(RUN_UID, ""), process.cmdline()
            found.append(_Found(process, parent, session, uid, arguments))
    return found


def _ancestors(found: dict[int, _Found]) -> set[int]:
    ancestors: set[int] = set()
    pid = os.getppid()
    while pid in found and pid not in ancestors:
        ancestors.add(pid)
        pid = found[pid].parent
    return ancestors


def _descendants(found: dict[int, _Found], roots: set[int], but: Collection[int] = ()) -> set[int]:
    """The roots and all their descendants, except some and what only these have started."""
    members = set(roots)
    size = -1
    while len(members) > size:
        size = len(members)
        members |= {pid for pid, one in found.items() if one.parent in members and pid not in but}
    return members

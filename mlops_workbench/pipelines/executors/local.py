"""Runs attempts at stages as processes of this machine."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from pathlib import Path

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.settings import PipelineSettings
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.executors.base import Job
from mlops_workbench.pipelines.executors.left_behind import RUN_UID, kill_processes
from mlops_workbench.pipelines.executors.resources import Capacity
from mlops_workbench.pipelines.kernels.modules import ChildProcess, start_module
from mlops_workbench.pipelines.runs.events import ProcessStarted, read_stage_events
from mlops_workbench.pipelines.runs.folder import EVENTS

#: Variables for the number of threads of OpenMP, the BLAS libraries, NumExpr and Polars.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "POLARS_MAX_THREADS",
)
_GPUS = Path("/proc/driver/nvidia/gpus")
_CODE_SECONDS = 10.0
_SAVE_SECONDS = 5.0
_POLL_SECONDS = 0.05  # where the end of a process is not an event


def local_capacity(settings: PipelineSettings) -> Capacity:
    """What the stages of a run may take of this machine by the settings."""
    return Capacity(
        cpu=settings.cpu or _cores(),
        memory=int(settings.memory_gb * 1e9) or _memory(),
        gpus=_gpus(settings.gpu),
    )


class LocalHandle:
    """A process of this machine that makes an attempt at a stage."""

    def __init__(self, process: ChildProcess, job: Job) -> None:
        self._process = process
        self._run_uid = job.run_uid
        self._folder = job.file.parent

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask the process to stop its kernel, save the notebook and record its end."""
        self._process.terminate()

    def kill_notebook(self) -> None:
        """Kill the kernel and whatever it has started."""
        kill_processes(self._run_uid, self._roots(), but=self._process.pid)

    def kill(self) -> None:
        """Kill all processes of the attempt, also those that it left behind."""
        if self.poll() is None:
            # First the parent, so that it starts no more; its children are found by their environment.
            self._process.kill()
        kill_processes(self._run_uid, self._roots())
        self._process.wait()

    def _roots(self) -> set[int]:
        # The id of a process that was reaped may belong to another one.
        own = {self._process.pid} if self._process.returncode is None else set()
        return own | {process.pid for process in _recorded(self._folder)}


class LocalExecutor:
    """Starts a process for each job.

    Parameters
    ----------
    workspace : Workspace
        Its settings limit the resources; its fork servers make the processes.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._capacity = local_capacity(workspace.settings.pipelines)
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK) if hasattr(os, "pipe2") else os.pipe()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._unwatched: list[ChildProcess] = []

    @property
    def capacity(self) -> Capacity:
        """What its jobs may take together."""
        return self._capacity

    def submit(self, job: Job) -> LocalHandle:
        """Start the process of a job.

        Raises
        ------
        StorageError
            It cannot be started.
        """
        try:
            process = start_module(
                self._workspace,
                "mlops_workbench.pipelines.stages.stage",
                [str(job.file)],
                folder=job.file.parent,
                environment=_environment(job),
                output=job.log,
            )
        except OSError as error:
            raise StorageError(
                f"the process of a stage cannot be started: {error}", where=str(job.file.parent)
            ) from error
        self._watch(process)
        return LocalHandle(process, job)

    def end(self, run_uid: str, folder: Path) -> None:
        """End a job that an earlier runner has submitted, with all its processes, and wait for that."""
        # The process of the attempt ends by itself when its runner has, and saves the notebook.
        deadline = time.monotonic() + _SAVE_SECONDS
        while _recorded(folder) and time.monotonic() < deadline:
            time.sleep(0.02)
        kill_processes(run_uid, {process.pid for process in _recorded(folder)})

    def wait(self, seconds: float | None) -> None:
        """Return when a job has ended, when `wake` was called, or after `seconds`."""
        self._unwatched = [process for process in self._unwatched if process.poll() is None]
        if self._unwatched:
            seconds = _POLL_SECONDS if seconds is None else min(seconds, _POLL_SECONDS)
        for key, _ in self._selector.select(seconds):
            if key.fd == self._woken:
                os.read(self._woken, 4096)
            else:
                self._selector.unregister(key.fd)
                os.close(key.fd)
                # Its end is known, its exit code may arrive a moment later.
                try:
                    key.data.wait(_CODE_SECONDS)
                except (TimeoutError, subprocess.TimeoutExpired):
                    self._unwatched.append(key.data)

    def wake(self) -> None:
        """Make `wait` return; may be called by a signal handler."""
        os.write(self._wake, b".")

    def _watch(self, process: ChildProcess) -> None:
        if not hasattr(os, "pidfd_open"):
            self._unwatched.append(process)
            return
        try:
            self._selector.register(os.pidfd_open(process.pid), selectors.EVENT_READ, process)
        except OSError:  # an old kernel, a sandbox, or too many open files
            self._unwatched.append(process)


def _recorded(folder: Path) -> list[ProcessIdentity]:
    """The living ones of the processes that an attempt has recorded: a forked kernel is no child of the attempt's."""
    try:
        events = read_stage_events(folder / EVENTS)
    except StorageError:
        return []
    processes = [event.process for event in events if isinstance(event, ProcessStarted)]
    return [process for process in processes if process.alive()]


def _environment(job: Job) -> dict[str, str]:
    environment = {
        # Stages run beside each other, an endpoint and a kernel: with threads that spin while they wait, the same
        # training took ten times as long.
        "OMP_WAIT_POLICY": "PASSIVE",
        **(dict.fromkeys(_THREADS, str(job.threads)) if job.threads else {}),
        **os.environ,
        "MLOPS_WORKSPACE": str(job.workspace),
        RUN_UID: job.run_uid,
        "MLOPS_EXPERIMENT": job.experiment,
    }
    if job.gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(job.gpus)
    return environment


def _cores() -> float:
    """Cores that this process may use, by its affinity and by the limit of its container."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quota, _, period = _limit("cpu.max").partition(" ")
    return min(cores, int(quota) / int(period)) if quota.isdigit() and period.isdigit() else cores


def _memory() -> int:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _limit("memory.max")
    return min(total, int(limit)) if limit.isdigit() else total


def _limit(name: str) -> str:
    """The limit of a container, which sees its control group as the root of all; empty for none."""
    try:
        return Path("/sys/fs/cgroup", name).read_text().strip()
    except OSError:
        return ""


def _gpus(count: int) -> tuple[str, ...]:
    """Names of the GPUs: those that this process may use, cut or extended to `count` unless that is negative."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1", "NoDevFiles")]
    else:
        names = [str(number) for number in range(len(list(_GPUS.iterdir())) if _GPUS.is_dir() else 0)]
    if count < 0:
        return tuple(names)
    return tuple(names[:count] if len(names) >= count else map(str, range(count)))

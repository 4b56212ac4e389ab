"""The interface of an executor, which runs attempts at stages somewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mlops_workbench.pipelines.executors.resources import Capacity


@dataclass(frozen=True)
class Job:
    """An attempt at a stage, to be run by an executor.

    Attributes
    ----------
    run_uid : str
        Its run in the tracking store.
    experiment : str
        Experiment of that run.
    workspace : Path
        Root of the workspace.
    file : Path
        The `StageJob` as JSON; its folder is the working folder of the process.
    log : Path
        File for the output of the process.
    threads : int
        Threads for numeric libraries, unless the user's environment says otherwise; 0: as in a plain start.
    gpus : tuple of str
        GPUs that it may use; empty: as in a plain start.
    """

    run_uid: str
    experiment: str
    workspace: Path
    file: Path
    log: Path
    threads: int = 0
    gpus: tuple[str, ...] = ()


class Handle(Protocol):
    """A submitted job."""

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, None while the job runs."""
        ...

    def terminate(self) -> None:
        """Ask the process of the attempt to stop its kernel, save the notebook and record its end."""
        ...

    def kill_notebook(self) -> None:
        """Kill the kernel and whatever it has started; the process of the attempt can still record its end."""
        ...

    def kill(self) -> None:
        """Kill all processes of the attempt, also those that it left behind when it ended."""
        ...


class Executor(Protocol):
    """Runs jobs, as many at a time as its user submits."""

    @property
    def capacity(self) -> Capacity:
        """What its jobs may take together."""
        ...

    def submit(self, job: Job) -> Handle:
        """Start a job.

        Raises
        ------
        StorageError
            The job cannot be started.
        """
        ...

    def end(self, run_uid: str, folder: Path) -> None:
        """End a job that an earlier runner has submitted, with all its processes, and wait for that.

        Parameters
        ----------
        run_uid : str
            Its run in the tracking store.
        folder : Path
            Its working folder.
        """
        ...

    def wait(self, seconds: float | None) -> None:
        """Return when a job has ended, when `wake` was called, or after `seconds` (None: no limit)."""
        ...

    def wake(self) -> None:
        """Make `wait` return; may be called by a signal handler."""
        ...

"""Processes of the workbench's own modules: forked where a server is ready, started as usual elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.kernels.pool import ForkPool, Preparation
from mlops_workbench.pipelines.kernels.process import NotForked

#: Variables for libraries that these modules do not use, which may differ from stage to stage.
_OF_LIBRARIES = ("OMP_", "OPENBLAS_", "MKL_", "BLIS_", "VECLIB_", "NUMEXPR_", "POLARS_", "CUDA_")


class ChildProcess(Protocol):
    """What `subprocess.Popen` and `ForkedProcess` have in common."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """Return the exit code if the process has ended."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code."""
        ...

    def terminate(self) -> None:
        """Send SIGTERM."""
        ...

    def kill(self) -> None:
        """Send SIGKILL."""
        ...


def start_module(
    workspace: Workspace,
    module: str,
    arguments: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    output: Path,
) -> ChildProcess:
    """Start ``python -m module arguments`` in a session of its own.

    Parameters
    ----------
    workspace : Workspace
        Whose fork servers are asked.
    module : str
        A module with a function `main`, which gets the arguments and returns the exit code.
    arguments : sequence of str
        Its arguments.
    folder : Path
        Working folder.
    environment : mapping
        Environment variables.
    output : Path
        File to which stdout and stderr are appended.

    Raises
    ------
    OSError
        The process cannot be started.
    """
    pool = ForkPool(workspace)
    with open(output, "ab") as log, open("/dev/null", "rb") as nothing:
        if pool.usable:
            argv = [module, *arguments]
            streams = (nothing.fileno(), log.fileno(), log.fileno())
            preparation = _preparation(workspace, environment)
            try:
                return pool.fork(
                    preparation,
                    argv,
                    streams,
                    target=f"{module}:main",
                    environment=environment,
                    folder=str(folder),
                )
            except NotForked:
                # For the next process, while this one imports the same: a runner has its stages forked.
                pool.prepare(preparation)
        return subprocess.Popen(
            # -P: a module beside the notebook must not shadow an installed one.
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=nothing,
            stdout=log,
            stderr=log,
            cwd=folder,
            env=dict(environment),
            start_new_session=True,
        )


def prepare_module(workspace: Workspace, environment: Mapping[str, str]) -> None:
    """Start a fork server for :func:`start_module` with these environment variables, unless there is one."""
    ForkPool(workspace).prepare(_preparation(workspace, environment))


def _preparation(workspace: Workspace, environment: Mapping[str, str]) -> Preparation:
    variables = {name: value for name, value in environment.items() if not name.startswith(_OF_LIBRARIES)}
    return Preparation("call", variables, str(workspace.root))

"""The kernel provisioner ``mlops-warm``: kernels are forked where a server is ready, and started as usual elsewhere.

A kernel spec asks for it with ``"metadata": {"kernel_provisioner": {"provisioner_name": "mlops-warm"}}``;
``config`` there may hold ``imports``, a list of ``[module, [names]]``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import List

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.ids import new_id
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.kernels.pool import ForkPool, Preparation
from mlops_workbench.pipelines.kernels.process import NotForked

_LAUNCHER = "ipykernel_launcher"


class WarmProvisioner(LocalProvisioner):
    """Forks kernels of this Python from a server that has imported what the notebook imports."""

    imports = List(help="Imports of the code that the kernel will run: pairs of a module and a list of names").tag(
        config=True
    )

    #: Starts a server for the next kernel, once this one does not need the processor any more.
    _prepare: Callable[[], None] | None = None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Choose the addresses of the kernel's sockets.

        Jupyter finds free TCP ports, closes them, and has the kernel open them again: another process may have taken
        one in between, and the kernel dies. A name of an abstract socket is taken by nobody else, and leaves no file.
        """
        manager = self.parent
        if (
            sys.platform == "linux"
            and manager is not None
            and _LAUNCHER in self.kernel_spec.argv
            and manager.transport == "tcp"
            and not any(manager.ports)
        ):
            manager.transport = "ipc"
            manager.ip = f"@mlops-kernel-{new_id()}"
        return await super().pre_launch(**kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork the kernel of a command, or start it."""
        preparation = self._preparation(cmd, kwargs)
        pool = self._pool()
        if preparation is None or pool is None or not pool.usable:
            return await super().launch_kernel(cmd, **kwargs)
        try:
            process = _forked(pool, preparation, cmd, kwargs)
        except NotForked as error:
            self.log.debug("the kernel is started anew: %s", error)
            self._prepare = lambda: pool.prepare(preparation)
            return await super().launch_kernel(cmd, **kwargs)
        self.process = process
        self.pid = self.pgid = process.pid
        return self.connection_info

    async def cleanup(self, restart: bool = False) -> None:
        """Clean up after the kernel has ended."""
        await super().cleanup(restart)
        prepare, self._prepare = self._prepare, None
        if prepare is not None:
            prepare()

    def _preparation(self, cmd: list[str], kwargs: dict[str, Any]) -> Preparation | None:
        """The preparation for a kernel; None if it is not an IPython kernel of this Python."""
        if len(cmd) < 3 or "-m" not in cmd or not _same_python(cmd[0]):
            return None
        options = cmd[1 : cmd.index("-m")]
        if cmd[len(options) + 2] != _LAUNCHER or any(not option.startswith("-") for option in options):
            return None
        return Preparation(
            "kernel",
            {**(kwargs.get("env") or os.environ), "JPY_PARENT_PID": str(os.getpid())},
            os.path.abspath(kwargs.get("cwd") or Path.cwd()),
            tuple((str(module), tuple(map(str, names))) for module, names in self.imports),
            tuple(options),
        )

    def _pool(self) -> ForkPool | None:
        try:
            return ForkPool(Workspace.find())
        except (WorkbenchError, OSError):
            return None


def _forked(pool: ForkPool, preparation: Preparation, cmd: list[str], kwargs: dict[str, Any]) -> Any:
    spec = find_spec(_LAUNCHER)
    launcher = spec.origin if spec and spec.origin else _LAUNCHER
    opened = [os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)]
    try:
        streams = [
            opened[0] if number == 0 else _descriptor(kwargs.get(name), number)
            for number, name in enumerate(("stdin", "stdout", "stderr"))
        ]
        argv = [launcher, *cmd[cmd.index("-m") + 2 :]]
        return pool.fork(preparation, argv, (streams[0], streams[1], streams[2]), command=cmd)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _descriptor(stream: Any, default: int) -> int:
    """The descriptor of a stream as for `subprocess.Popen`; pipes are not for kernels."""
    if stream is None or (isinstance(stream, int) and stream < 0):
        return default
    return stream if isinstance(stream, int) else int(stream.fileno())


def _same_python(executable: str) -> bool:
    """Whether it is this Python in this environment, whose folder decides which packages it has."""
    own = Path(sys.executable)
    try:
        return own.samefile(executable) and own.parent.samefile(Path(executable).parent)
    except OSError:
        return False

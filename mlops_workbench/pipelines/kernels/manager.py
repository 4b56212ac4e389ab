"""Kernel manager and client for notebooks that run without a person: warm kernels, and no waiting in fixed steps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from queue import Empty
from typing import Any

import zmq.asyncio
from jupyter_client import AsyncKernelManager
from jupyter_client.asynchronous import AsyncKernelClient
from traitlets import DottedObjectName, Type, default

from mlops_workbench.pipelines.kernels.specs import WarmKernelSpecs

_RECONNECT_MS = 5
_POLL_SECONDS = 0.001
#: Seconds after which a kernel that has not answered is asked again; doubled each time.
_FIRST_ANSWER_SECONDS, _LONGEST_ANSWER_SECONDS = 0.05, 1.0


def _prompt(context: zmq.asyncio.Context) -> zmq.asyncio.Context:
    """Have its sockets, which connect before the kernel listens, try again soon; by default it takes 100 ms."""
    context.reconnect_ivl = _RECONNECT_MS
    return context


class PromptKernelClient(AsyncKernelClient):
    """A client that goes on as soon as the kernel answers.

    Jupyter's own waits another 0.2 seconds, to skip messages that no request of this client has caused. It drops
    messages when a thousand wait to be read; this one drops none.

    Attributes
    ----------
    on_sent : callable or None
        Called when a request to execute code was sent, with the moment before: the kernel may be faster than the
        return of the call that sends.
    """

    on_sent: Callable[[datetime], object] | None = None

    def _context_default(self) -> zmq.asyncio.Context:
        context = _prompt(super()._context_default())
        context.rcvhwm = 0
        return context

    def start_channels(self, *args: Any, hb: bool = False, **kwargs: Any) -> None:
        """Open the channels, without that of the heartbeat: the manager knows whether the process lives."""
        super().start_channels(*args, hb=hb, **kwargs)

    def execute(self, *args: Any, **kwargs: Any) -> str:
        """Send a request to execute code, and return its id."""
        at = datetime.now(UTC)
        sent: str = super().execute(*args, **kwargs)
        if self.on_sent is not None:
            self.on_sent(at)
        return sent

    async def wait_for_ready(self, timeout: float | None = None) -> None:  # type: ignore[override]
        """Wait until the kernel answers requests and its messages arrive.

        Raises
        ------
        RuntimeError
            The kernel has died, or has not answered in time.
        """
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        patience = _FIRST_ANSWER_SECONDS
        while True:
            self.kernel_info()
            try:
                reply = await self.shell_channel.get_msg(timeout=patience)
                if reply["msg_type"] == "kernel_info_reply":
                    # The kernel announces each request; what it sent before this client was connected is lost.
                    await self.iopub_channel.get_msg(timeout=patience)
                    self._handle_kernel_info_reply(reply)
                    return
            except Empty:
                pass
            if not await self.is_alive():
                raise RuntimeError("Kernel died before replying to kernel_info")
            if time.monotonic() > deadline:
                raise RuntimeError(f"Kernel didn't respond in {timeout:g} seconds")
            patience = min(patience * 2, _LONGEST_ANSWER_SECONDS)


def _without_pause(method: Any) -> Any:
    """The method of a manager without the 10 ms that Jupyter waits at its end, to let its tests look at the state."""
    inner = getattr(method, "__wrapped__", method)

    @wraps(inner)
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        self._ready = ready = asyncio.get_running_loop().create_future()
        try:
            result = await inner(self, *args, **kwargs)
        except Exception as error:
            ready.set_exception(error)
            ready.exception()  # it is raised here, so that nobody has to ask for it
            raise
        ready.set_result(None)
        return result

    return call


class WarmKernelManager(AsyncKernelManager):
    """Starts warm kernels, where a kernel spec names no provisioner of its own."""

    client_class = DottedObjectName(f"{__name__}.{PromptKernelClient.__name__}", config=True)
    client_factory = Type(PromptKernelClient, config=True)

    def _context_default(self) -> zmq.asyncio.Context:
        # Its own socket, over which it asks the kernel to end.
        return _prompt(super()._context_default())

    @default("kernel_spec_manager")
    def _kernel_spec_manager_default(self) -> WarmKernelSpecs:
        return WarmKernelSpecs(parent=self)

    _async_start_kernel = start_kernel = _without_pause(AsyncKernelManager.start_kernel)
    _async_shutdown_kernel = shutdown_kernel = _without_pause(AsyncKernelManager.shutdown_kernel)

    async def _async_wait(self, pollinterval: float = 0.1) -> Any:
        return await super()._async_wait(min(pollinterval, _POLL_SECONDS))

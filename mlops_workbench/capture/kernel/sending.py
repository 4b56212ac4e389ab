"""How a kernel sends what it publishes."""

from __future__ import annotations

from typing import Any


def keep_until_sent(shell: Any) -> None:
    """Keep all messages until they are sent; by default a kernel drops new ones while a thousand wait.

    For the kernels of runs, whose client reads everything. A browser that is too slow must not fill the memory.
    """
    thread = getattr(getattr(shell, "kernel", None), "iopub_thread", None)
    if thread is None:
        return
    import zmq

    # The socket belongs to its thread. libzmq applies it to connections that exist, too.
    thread.schedule(lambda: thread.socket.set(zmq.SNDHWM, 0))

"""A front end of a kernel, as a notebook application is one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager, start_new_kernel

SHOWN = (
    "stream",
    "display_data",
    "update_display_data",
    "execute_result",
    "error",
    "comm_open",
    "comm_msg",
    "comm_close",
)


class Front:
    """A front end: a kernel, and its messages in the order they came."""

    def __init__(self, folder: Path) -> None:
        self.manager: KernelManager
        self.manager, self.client = start_new_kernel(kernel_name="python3", cwd=str(folder))

    def run(
        self, source: str, *, cell_id: str = "", when: Callable[[dict[str, Any]], None] | None = None
    ) -> list[dict[str, Any]]:
        """Execute a cell; with an id, as notebook applications do that somebody looks at; `when` sees each message."""
        content = {"code": source, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False,
                   "stop_on_error": True}  # fmt: skip
        message = self.client.session.msg("execute_request", content, metadata={"cellId": cell_id} if cell_id else {})
        self.client.shell_channel.send(message)
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + 120
        while True:
            answer = self.client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
            if answer["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            kind, content = answer["msg_type"], answer["content"]
            if kind in SHOWN:
                found.append({"type": kind, **content})
                if when is not None:
                    when(found[-1])
            if kind == "status" and content["execution_state"] == "idle":
                self.client.get_shell_msg(timeout=60)
                return found

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

"""What the client of a kernel and the kernel say to each other for a cell."""

from __future__ import annotations

import math
import time
from typing import Any

from nbclient.client import NotebookClient, timestamp
from nbclient.exceptions import CellExecutionComplete, CellTimeoutError, DeadKernelError
from nbclient.util import ensure_async

from mlops_workbench.pipelines.kernels.arrivals import Arrivals

#: Seconds without a message until the kernel is looked at; after the reply it is also asked whether there are more.
_SILENCE = 1.0


class Exchange:
    """The messages of a cell from its request to its reply and the last of its outputs.

    Output may take as long as it takes while messages arrive: megabytes that were printed come long after the reply.

    Parameters
    ----------
    client : NotebookClient
        Its settings say how long to wait, and it takes the outputs into the notebook.
    arrivals : Arrivals
        The messages of its kernel.
    sent : str
        Id of the request.
    cell, index : NotebookNode, int
        The cell.
    timeout : float or None
        Seconds until there must be a reply.
    """

    def __init__(
        self, client: NotebookClient, arrivals: Arrivals, sent: str, cell: Any, index: int, timeout: float | None
    ) -> None:
        self._client = client
        self._arrivals = arrivals
        self._sent = sent
        self._cell = cell
        self._index = index
        self._timeout = timeout
        self._reply: Any = None
        self._complete = False
        self._probe = ""
        self._heard = self._looked = time.monotonic()
        self._deadline = self._heard + timeout if timeout else math.inf

    async def reply(self) -> Any:
        """Return the reply when the outputs are complete.

        Raises
        ------
        DeadKernelError
            The kernel ended before its reply.
        CellTimeoutError
            There is no reply in time, or the outputs are not complete and none has come for the client's
            `iopub_timeout`.
        """
        while self._reply is None or not self._complete:
            limit = self._deadline if self._reply is None else math.inf
            replies, published = await self._arrivals.next(min(limit - time.monotonic(), _SILENCE))
            self._take(replies, published)
            now = time.monotonic()
            if self._reply is None and now >= self._deadline:
                await self._time_out()
            elif now - max(self._heard, self._looked) >= _SILENCE:
                self._looked = now
                if await self._is_over(now - self._heard):
                    break
        return self._reply

    def _take(self, replies: list[dict[str, Any]], published: list[dict[str, Any]]) -> None:
        for message in published:
            parent = message["parent_header"].get("msg_id")
            if parent == self._sent and not self._complete:
                self._heard = time.monotonic()
                try:
                    self._client.process_message(message, self._cell, self._index)
                except CellExecutionComplete:
                    self._complete = True
            elif parent == self._probe and not self._complete:
                self._client.log.warning(
                    "output of cell %d was lost: it came faster than it can be sent", self._index + 1
                )
                self._complete = True
        for message in replies:
            if message["parent_header"].get("msg_id") == self._sent:
                self._heard = time.monotonic()
                self._reply = message
                if self._client.record_timing:
                    self._cell["metadata"]["execution"]["shell.execute_reply"] = timestamp(message)

    async def _time_out(self) -> None:
        assert self._timeout is not None
        await self._client._async_check_alive()
        # None if the kernel was interrupted: it replies to that.
        self._reply = await self._client._async_handle_timeout(self._timeout, self._cell)
        self._deadline = time.monotonic() + self._timeout

    async def _is_over(self, silent: float) -> bool:
        """Whether nothing more is to be expected after so many silent seconds."""
        client = self._client
        assert client.kc is not None
        alive = await ensure_async(client.kc.is_alive())
        if self._reply is None:
            if not alive:
                raise DeadKernelError("Kernel died")
            return False
        if alive and not self._probe:
            # What the kernel sends for this request comes after all output of the cell, whose last message may have
            # been lost.
            self._probe = client.kc.kernel_info()
        if alive and silent < client.iopub_timeout:
            return False
        if alive and client.raise_on_iopub_timeout:
            raise CellTimeoutError.error_from_timeout_and_cell(
                "Timeout waiting for IOPub output", client.iopub_timeout, self._cell
            )
        return True

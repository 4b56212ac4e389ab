"""Standard output and error of a warm kernel."""

from __future__ import annotations

import ipykernel.iostream


class OutStream(ipykernel.iostream.OutStream):
    """Jupyter's stream, which does not wait for the thread that sends if there is nothing to send.

    A kernel flushes both streams three times in each cell; each of these waits took longer than a short cell. What is
    being sent keeps its place before what is sent later, since it is the same thread that sends both.
    """

    def flush(self) -> None:
        """Send what was written."""
        if self._buffers:
            super().flush()

"""The progress of a run in a terminal, drawn anew in place."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from mlops_workbench.core.shown.plain_text import visible

if TYPE_CHECKING:
    from mlops_workbench.core.pipelines import RunProgress


def can_draw() -> bool:
    """Whether standard error is a terminal in which lines can be drawn anew, and shows the signs that are used."""
    stream = sys.stderr
    return (
        stream.isatty()
        and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")
        and not any(os.environ.get(name) for name in ("NO_COLOR", "CI"))
        and (stream.encoding or "").lower().replace("-", "") == "utf8"
    )


class TerminalDisplay:
    """Draws a run on standard error, below what is printed there meanwhile."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._last: RunProgress | None = None
        self._console = Console(stderr=True, highlight=False)
        # Without a thread of its own: the run is drawn whenever its progress is read.
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()

    @property
    def is_open(self) -> bool:
        """Whether it is being drawn."""
        return bool(self._live.is_started)

    def show(self, progress: RunProgress) -> None:
        """Draw the run as it is now."""
        self._last = progress
        self._live.update(_Drawn(progress), refresh=True)

    def line(self, text: str) -> None:
        """Print a line above the run."""
        from rich.text import Text

        self._console.print(Text(visible(text)))

    def close(self) -> None:
        """End the drawing: the last one stays, unless the result tells the same."""
        told = self._last is None or self._last.run.state in ("succeeded", "not_published")
        self._live.transient = told
        if self._last is not None and not told:
            self._live.update(_Drawn(self._last, whole=True))
        self._live.stop()


class _Drawn:
    """A run as lines that fit the terminal at the time of drawing."""

    def __init__(self, progress: RunProgress, *, whole: bool = False) -> None:
        self._progress = progress
        self._whole = whole

    def __rich_console__(self, console: Any, options: Any) -> Any:
        from rich.text import Text

        from mlops_workbench.commands.progress.frame import frame
        from mlops_workbench.commands.progress.text import HEADER, lines

        width, height = console.size
        # A line of full width would make some terminals begin another one.
        room = 10_000 if self._whole else height - 1 - HEADER
        for spans in lines(frame(self._progress, room), width - 1):
            yield Text.assemble(*spans, no_wrap=True, overflow="crop", end="\n")

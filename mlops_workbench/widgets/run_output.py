"""The progress of a run in the output of a cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops_workbench.commands.progress.frame import Frame, frame, header
from mlops_workbench.commands.progress.text import plain
from mlops_workbench.commands.view import MARK
from mlops_workbench.core.ids import new_id
from mlops_workbench.core.pipelines import RunProgress
from mlops_workbench.widgets.live_output import LiveOutput, cell_id, in_vscode
from mlops_workbench.widgets.run_html import run_html

_WIDTH = 100
_LINES = 24
#: Of the output that stays in the notebook, text and HTML together.
_LARGEST = 4800


class RunOutput:
    """An output that shows a run while it goes on, and in static HTML and text how it ended.

    Parameters
    ----------
    shell : InteractiveShell
        The shell of the kernel, which is executing the cell.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._cell = self._running_cell()
        self._output = LiveOutput(
            shell.display_pub,
            f"mlops-run-{new_id()}",
            {MARK: {"view": "run"}},
            widget=not in_vscode(shell, cell_id(shell)),
        )
        self._last: RunProgress | None = None
        self._drawn = ""

    def show(self, progress: RunProgress) -> None:
        """Draw the run as it is now."""
        self._last = progress
        shown = frame(progress, _LINES)
        html = run_html(shown)
        if html != self._drawn:
            self._drawn = html
            self._output.draw(html, plain(shown, _WIDTH))

    def take(self, bundle: Mapping[str, str]) -> bool:
        """Show the result of the command in place of the run; False if another cell runs by now."""
        if self._last is None or self._running_cell() != self._cell:
            return False
        self._output.replace(bundle)
        return True

    def close(self) -> None:
        """Leave the last state: without its stages if they are in the result of the command."""
        if self._last is not None:
            told = self._last.run.state in ("succeeded", "not_published")
            self._output.replace(_static(header(self._last)) if told else still(self._last))
        self._output.close_widget()

    def _running_cell(self) -> object:
        return self._shell.get_parent().get("header", {}).get("msg_id")


def still(progress: RunProgress) -> dict[str, str]:
    """The run as a small MIME bundle for a saved notebook."""
    for lines in (15, 10, 5, 2):
        found = _static(frame(progress, lines))
        if sum(len(part.encode()) for part in found.values()) <= _LARGEST:
            return found
    return _static(header(progress))


def _static(shown: Frame) -> dict[str, str]:
    return {"text/plain": plain(shown, _WIDTH), "text/html": run_html(shown)}

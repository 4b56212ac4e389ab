"""The watch over a session's cells, made when the first one runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from mlops_workbench.magics.preloading import Preloading

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from mlops_workbench.capture.cells.autotrack import Autotrack
    from mlops_workbench.capture.cells.cell_run import CellRun
    from mlops_workbench.capture.cells.watch import CellOptions, CellWatch
    from mlops_workbench.magics.shown.display import CellDisplay

_watched: WeakKeyDictionary[InteractiveShell, ShellHooks] = WeakKeyDictionary()


class ShellHooks:
    """Ties a `CellWatch` to the events of an IPython session.

    Loading the extension imports nothing of capture; the reply to the cell that loads it does not wait for it.

    Parameters
    ----------
    shell : InteractiveShell
        The IPython session.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._broken = False
        self._preloading = Preloading(shell)

    @cached_property
    def watch(self) -> CellWatch:
        """The watch over the cells."""
        from mlops_workbench.capture.cells.watch import CellWatch
        from mlops_workbench.capture.provenance.cell_log import CellLog
        from mlops_workbench.capture.provenance.provenance_log import ProvenanceLog
        from mlops_workbench.capture.session.session import current_session

        session = current_session()
        watch = CellWatch(self._shell, session, self._show)
        cells = CellLog(self._shell, session, watch.deferred)
        # Where a run comes from is read from the log of the cells, which has to know the cell by then.
        watch.observers += [cells, ProvenanceLog(session, cells, watch.deferred), self.autotrack]
        return watch

    @cached_property
    def autotrack(self) -> Autotrack:
        """What makes runs of the cells that fit a model."""
        from mlops_workbench.capture.cells.autotrack import Autotrack
        from mlops_workbench.capture.session.session import current_session
        from mlops_workbench.core.errors import WorkbenchError

        try:
            on = current_session().workspace.settings.capture.autotrack
        except WorkbenchError:
            # Whoever needs the settings says what is wrong with them.
            on = False
        return Autotrack(self.track, on=on)

    @cached_property
    def display(self) -> CellDisplay:
        """What shows the runs of the cells."""
        from mlops_workbench.magics.shown.display import CellDisplay

        return CellDisplay(self._shell, self.watch.session, self.watch.current)

    def track(self, options: CellOptions) -> None:
        """Make the cell that is under way a run."""
        from mlops_workbench.capture.kernel.deferred import quietly

        self.watch.track(options)
        quietly("its live view", lambda: self.display.begun(self.watch.current()))

    def register(self) -> None:
        """Listen to the session's events."""
        self._shell.events.register("pre_run_cell", self._before)
        self._shell.events.register("post_run_cell", self._after)

    def _before(self, info: Any) -> None:
        self._quietly(lambda: self._look_before(info))

    def _after(self, result: Any = None) -> None:
        self._quietly(lambda: self._look_after(result))

    def _look_before(self, info: Any) -> None:
        self._preloading.end()
        # Made now: loops of any cell are shown, also of those that are no runs.
        display = self.display
        if not self.watch.under_way():
            display.beginning()
        self.watch.before(info)

    def _look_after(self, result: Any) -> None:
        if "watch" not in self.__dict__:
            # The cell that loaded the extension, and did no more with it: the next one takes it in.
            return
        self.display.ending()
        ended = None
        try:
            ended = self.watch.after(result)
        finally:
            self.display.ended(ended, self.watch.deferred)

    def _quietly(self, look: Callable[[], None]) -> None:
        if self._broken:
            return
        try:
            look()
        except KeyboardInterrupt:
            # It was meant for the cell; whoever looks at what is left misses this one only.
            return
        except BaseException as error:  # noqa: BLE001 IPython would show it below the user's cell, in each cell again
            self._broken = True
            sys.stderr.write(
                f"mlops: cells cannot be watched in this session ({type(error).__name__}: {error});\n"
                "  they run as they would without the extension\n"
            )

    def _show(self, cell: CellRun) -> None:
        self.display.show(cell)


def shell_hooks(shell: InteractiveShell) -> ShellHooks:
    """What watches this session, made at the first call."""
    if shell not in _watched:
        _watched[shell] = ShellHooks(shell)
    return _watched[shell]

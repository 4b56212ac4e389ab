"""Hooks of an IPython session that track its cells and show their cards."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from mlops_workbench.capture.kernel.cell_start import CellStart, on_session
from mlops_workbench.capture.kernel.exit import call_at_exit
from mlops_workbench.magics.first_cell import can_wait
from mlops_workbench.magics.preloading import Preloading

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from mlops_workbench.capture.cells.autotrack import Autotrack
    from mlops_workbench.capture.cells.cell_run import CellRun
    from mlops_workbench.capture.cells.watch import CellOptions, CellWatch
    from mlops_workbench.magics.shown.display import CellDisplay

#: Time after the reply to the first cell until it is observed, unless another cell begins.
_PAUSE_SECONDS = 0.05
_WATCH = "mlops_workbench.capture.cells.watch"

_hooks: WeakKeyDictionary[InteractiveShell, ShellHooks] = WeakKeyDictionary()


class ShellHooks:
    """Connects a `CellWatch` to the events of an IPython session.

    The watch is created, and its modules are imported, when it is needed: loading the extension stays fast, and the
    first cell is observed after its reply unless it uses the workbench.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._broken = False
        self._preloading = Preloading(shell)
        self._autotrack_on: bool | None = None
        #: The first cell, until it is observed; and its result, when it has ended.
        self._first: CellStart | None = None
        self._result: Any = None
        self._loading = True
        self._creating = False

    @cached_property
    def watch(self) -> CellWatch:
        """Records the cells."""
        from mlops_workbench.capture.cells.watch import CellWatch
        from mlops_workbench.capture.provenance.cell_log import CellLog
        from mlops_workbench.capture.provenance.provenance_log import ProvenanceLog
        from mlops_workbench.capture.session.session import current_session

        self._creating = True
        session = current_session()
        watch = CellWatch(self._shell, session, self._show)
        cells = CellLog(self._shell, session, watch.deferred)
        # In this order: the provenance of a run is read from the log of the cells.
        watch.observers += [cells, ProvenanceLog(session, cells, watch.deferred), self.autotrack]
        if self._observes_stage:
            from mlops_workbench.capture.cells.stage_cells import StageCells

            # After the others, which may make the cell a run of its own.
            watch.observers.append(StageCells(self._shell, session, watch.deferred))
        self._creating = False
        if (first := self._first) is not None:
            self._first = None
            watch.before(first.info, first)
        return watch

    @cached_property
    def autotrack(self) -> Autotrack:
        """Makes runs of the cells that fit a model."""
        from mlops_workbench.capture.cells.autotrack import Autotrack
        from mlops_workbench.capture.session.session import current_session
        from mlops_workbench.core.errors import WorkbenchError

        on = self._autotrack_on
        if on is None:
            try:
                # What the cells of a stage fit is recorded for the run of the stage.
                on = current_session().workspace.settings.capture.autotrack and not self._observes_stage
            except WorkbenchError:
                # The first call that needs the settings reports the error.
                on = False
        return Autotrack(self.track, on=on)

    @cached_property
    def _observes_stage(self) -> bool:
        """Whether this kernel belongs to the run of a stage, into which its cells are observed."""
        if not os.environ.get("MLOPS_RUN_UID"):
            return False
        from mlops_workbench.capture.session.session import current_session
        from mlops_workbench.core.errors import WorkbenchError

        try:
            return current_session().workspace.settings.capture.stages
        except WorkbenchError:
            return False

    def set_autotrack(self, on: bool) -> None:
        """Turn automatic tracking on or off."""
        self._autotrack_on = on
        if "autotrack" in self.__dict__:
            self.autotrack.on = on

    @cached_property
    def display(self) -> CellDisplay:
        """Shows the runs of the cells."""
        from mlops_workbench.magics.shown.display import CellDisplay

        return CellDisplay(self._shell, self.watch.session, self.watch.current)

    def track(self, options: CellOptions) -> None:
        """Make the running cell a run."""
        from mlops_workbench.capture.kernel.deferred import quietly

        self.watch.track(options)
        quietly("its live view", lambda: self.display.run_started(self.watch.current()))

    def register(self) -> None:
        """Register the hooks with the session's events."""
        self._shell.events.register("pre_run_cell", self._before)
        self._shell.events.register("post_run_cell", self._after)
        on_session.append(lambda: self._guard(self._session_created))

    def _before(self, info: Any) -> None:
        self._guard(lambda: self._before_cell(info))

    def _after(self, result: Any = None) -> None:
        self._guard(lambda: self._after_cell(result))

    def _before_cell(self, info: Any) -> None:
        self._observe_first()
        self._loading = False
        if self._can_wait(info):
            self._first = CellStart(self._shell, info, full=True)
            call_at_exit(self._observe_idle)
            return
        self._preloading.end()
        # Created before the cell runs: progress bars are shown in every cell, tracked or not.
        display = self.display
        if not self.watch.under_way():
            display.cell_started()
        self.watch.before(info)

    def _after_cell(self, result: Any) -> None:
        self._loading = False
        if self._first is not None:
            self._first.end()
            self._result = result
            if result is None:
                # Interrupted: its exception is being handled.
                self._observe_first()
            else:
                self._loop().call_later(_PAUSE_SECONDS, self._observe_idle)
            return
        if "watch" not in self.__dict__:
            # The cell that loaded the extension: it started before there was a watch.
            return
        self.display.collect_cards()
        execution = None
        try:
            execution = self.watch.after(result)
        finally:
            self.display.show_cards(execution, self.watch.deferred)

    def _can_wait(self, info: Any) -> bool:
        """Whether a cell may be observed after its reply."""
        if (
            "watch" in self.__dict__
            or _WATCH in sys.modules
            or self._loop() is None
            or threading.current_thread() is not threading.main_thread()
        ):
            return False
        return can_wait(getattr(info, "raw_cell", "") or "")

    def _observe_idle(self) -> None:
        self._guard(self._observe_first)

    def _observe_first(self) -> None:
        """Observe the first cell, when it has ended: no other cell has run since."""
        if self._first is None or not self._first.ended:
            return
        result, self._result = self._result, None
        self._preloading.end()
        display = self.display  # It creates the watch, which begins with the first cell.
        display.collect_cards()
        display.show_cards(self.watch.after(result), self.watch.deferred)

    def _session_created(self) -> None:
        """The code of the running cell uses the workbench: from here on it is observed."""
        if not self._creating and threading.current_thread() is threading.main_thread():
            waits = self._first is not None
            watch = self.watch
            if self._loading and not waits:
                watch.current()

    def _loop(self) -> Any:
        """The event loop of the kernel, if it runs."""
        loop = getattr(getattr(getattr(self._shell, "kernel", None), "io_loop", None), "asyncio_loop", None)
        return loop if loop is not None and loop.is_running() else None

    def _guard(self, hook: Callable[[], None]) -> None:
        """Call a hook; the first error turns all hooks of the session off, as IPython would show it in every cell."""
        if self._broken:
            return
        try:
            hook()
        except KeyboardInterrupt:
            # The interrupt was for the cell. Only this call of the hook is lost.
            return
        except BaseException as error:  # noqa: BLE001 a hook must not fail the user's cell
            self._broken = True
            # Imported here: loading the extension stays fast.
            from mlops_workbench.capture.kernel.notices import notify

            notify(
                f"cells are no longer tracked in this session, because of {type(error).__name__}: {error}\n"
                "  they run as without the extension; restart the kernel to track again"
            )

    def _show(self, cell: CellRun) -> None:
        self.display.run_ended(cell)


def shell_hooks(shell: InteractiveShell) -> ShellHooks:
    """The hooks of a session, created at the first call."""
    if shell not in _hooks:
        _hooks[shell] = ShellHooks(shell)
    return _hooks[shell]

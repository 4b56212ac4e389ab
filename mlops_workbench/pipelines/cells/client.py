"""The client of the kernel of a run: sends the cells, and takes down what becomes of them."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import KernelManager
from nbclient.client import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbclient.util import run_sync
from papermill.clientwrap import PapermillNotebookClient
from traitlets import Bool, Instance, Integer, Type, Unicode

from mlops_workbench.core.errors import NotFound, Unavailable, did_you_mean, first_line
from mlops_workbench.notebooks.document import code_cells, language
from mlops_workbench.pipelines.cells.exchange import Exchange
from mlops_workbench.pipelines.cells.outputs import CellOutputs, MaskedMessages
from mlops_workbench.pipelines.cells.reasons import is_normal_exit, kernel_death
from mlops_workbench.pipelines.cells.record import CellFailure, ExecutionRecord
from mlops_workbench.pipelines.cells.secret_values import MaskedPipe, SecretValues
from mlops_workbench.pipelines.kernels.arrivals import Arrivals
from mlops_workbench.pipelines.kernels.manager import PromptKernelClient, WarmKernelManager
from mlops_workbench.pipelines.kernels.preload import imports_of
from mlops_workbench.pipelines.kernels.specs import WarmKernelSpecs

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from mlops_workbench.pipelines.definition.nouns import Cause

#: Seconds between two looks whether the notebook is to be saved.
_TICK = 0.25
#: Loads the extension without a trace in the namespace, or in IPython's list, from which ``%load_ext`` would report it.
_EXTENSION = '__import__("mlops_workbench").load_ipython_extension(get_ipython())'
_EXTENSION_SECONDS = 60


class WorkbenchClient(PapermillNotebookClient):
    """Papermill's client with a true record of every end, and for cells with much output.

    Besides those of papermill it has these traits: `extension`, whether the kernel loads the extension of the workbench
    before the first cell; `closing`, code that it runs after the last cell, unless one failed; `max_output`, the bytes
    of output that are kept of a cell; `secrets`, what is kept out of outputs and logs.
    """

    nb_man: ExecutionRecord
    extension = Bool(False)
    closing = Unicode("")
    max_output = Integer(20_000_000)
    secrets = Instance(SecretValues, args=({},))
    kernel_manager_class = Type(WarmKernelManager, klass=KernelManager)

    def __init__(self, record: ExecutionRecord, **traits: Any) -> None:
        super().__init__(record, **traits)
        self._messages = MaskedMessages(self.secrets)
        self._outputs = CellOutputs(self.max_output)
        self._arrivals: Arrivals | None = None
        self._index = 0
        #: The records of the end of a cell and of the start of the next one, made while the kernel works on that.
        self._due: list[Callable[..., object]] = []
        self._task: asyncio.Task[Any] | None = None
        record.before_save = self._outputs.settle

    def execute(self, **kwargs: Any) -> Any:
        """Run all cells up to the first that fails; `kwargs` are for the start of the kernel, such as ``env``."""
        self.reset_execution_trackers()
        with self._masked_output(kwargs), self.setup_kernel(**kwargs):
            self.log.info(f"Executing notebook with kernel: {self.kernel_name}")
            try:
                self.papermill_execute_cells()
            except BaseException as error:
                self.shutdown_kernel = "immediate"  # without waiting for a busy kernel
                self._stop(error)
                raise
            finally:
                self.set_widgets_metadata()
            if self.nb_man.failure is not None:
                self.shutdown_kernel = "immediate" if self.nb_man.failure.cause != "error" else self.shutdown_kernel
        return self.nb

    def papermill_execute_cells(self) -> None:
        """Run the cells."""
        run_sync(self._run_cells)()

    async def _run_cells(self) -> None:
        self._task = asyncio.current_task()
        saving = asyncio.ensure_future(self._save_regularly())
        try:
            await self._meet_kernel()
            if Arrivals.can_read(self.kc):
                self._arrivals = Arrivals(self.kc)
            if isinstance(self.kc, PromptKernelClient):
                self.kc.on_sent = self._record_due
            for index, cell in enumerate(self.nb.cells):
                self._index = index
                self._outputs.clear()
                self._due.append(partial(self.nb_man.cell_start, cell, index))
                if not isinstance(self.kc, PromptKernelClient):
                    self._record_due()
                failure = await self._run_cell(cell, index)
                self._record_due()  # of a cell that is not executed
                if failure is not None:
                    self._outputs.settle()
                    self.nb_man.cell_fail(failure)
                self._due.append(partial(self.nb_man.cell_complete, self.nb.cells[index], cell_index=index))
                if failure is not None or self.nb_man.left_at is not None:
                    return
            if self.closing:
                await self._run_silently(self.closing, "what the cells have read is not known")
        finally:
            self._record_due()
            saving.cancel()
            if self._arrivals is not None:
                self._arrivals.close()

    def _record_due(self, at: datetime | None = None) -> None:
        # One moment for all: between the end of a cell and the start of the next the notebook may be saved.
        at = at or datetime.now(UTC)
        while self._due:
            self._due.pop(0)(at=at)

    async def _run_cell(self, cell: Any, index: int) -> CellFailure | None:
        """Run a cell, and return why it failed."""
        try:
            await self.async_execute_cell(cell, index)
        except CellExecutionError as error:
            if is_normal_exit(error.ename, error.evalue):
                self.nb_man.left_at = (index, "sys.exit()")
                return None
            # Wrong magics and groups of exceptions are reported as text on stderr, and not as an exception.
            shown = _exception(cell, error.ename)
            trace = list(shown.traceback) if shown else [f"{error.ename}: {error.evalue}"]
            return self._failure(index, error.ename, error.evalue, trace, "error")
        except DeadKernelError:
            reason = kernel_death(await self._exit_code())
            return CellFailure(index, "DeadKernelError", reason, [f"DeadKernelError: {reason}"], "kernel_died")
        except CellTimeoutError as error:
            reason = first_line(error)
            return CellFailure(index, "CellTimeoutError", reason, [f"CellTimeoutError: {reason}"], "timeout")
        # A script that %run starts, or a cell below %%capture, may fail without failing the cell.
        shown = _exception(cell)
        if shown is None or self._allows(cell, shown.ename):
            return None
        return self._failure(index, shown.ename, shown.evalue, list(shown.traceback), "error")

    def _failure(
        self, index: int, name: str, value: str, trace: list[str], cause: Cause | Literal["stopped"]
    ) -> CellFailure:
        """The failure of a cell, without the values of secrets: what a reply says is in no message of outputs."""
        mask = self.secrets.mask
        return CellFailure(index, mask(name), mask(value), [mask(line) for line in trace], cause)

    def _allows(self, cell: Any, name: str) -> bool:
        if cell.cell_type != "code" or self.force_raise_errors:
            return False
        tags = cell.metadata.get("tags", [])
        return self.allow_errors or name in self.allow_error_names or "raises-exception" in tags or self._skipped(cell)

    def _skipped(self, cell: Any) -> bool:
        return self.skip_cells_with_tag in cell.metadata.get("tags", [])

    def _stop(self, error: BaseException) -> None:
        """Record that the run was stopped in a cell, by an interrupt or by an error outside of the kernel."""
        task, self._task = self._task, None
        if task is not None:
            # It would go on while the loop runs to end the kernel.
            task.cancel()
        self._record_due()
        cell = self.nb.cells[self._index] if self.nb.cells else None
        if cell is None or cell.metadata.papermill["status"] != self.nb_man.RUNNING:
            return
        self._outputs.settle()
        name, reason = type(error).__name__, str(error) or "the run was stopped"
        self.nb_man.cell_fail(self._failure(self._index, name, reason, [f"{name}: {reason}"], "stopped"))
        self.nb_man.cell_complete(cell, cell_index=self._index)

    async def _save_regularly(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            self.nb_man.autosave_cell()

    async def _meet_kernel(self) -> None:
        """Record the kernel's language, and load the extension if it is IPython's."""
        assert self.kc is not None
        reply = await self.async_wait_for_reply(self.kc.kernel_info())
        info = reply["content"] if reply else {}
        if "language_info" in info:
            self.nb.metadata["language_info"] = info["language_info"]
        if not self.extension or info.get("implementation") != "ipython":
            return
        await self._run_silently(_EXTENSION, "the cells are not observed", "its environment needs mlops-workbench")

    async def _run_silently(self, code: str, consequence: str, hint: str = "") -> None:
        """Have the kernel run code that leaves no trace in the notebook, and report an error with its consequence."""
        assert self.kc is not None
        sent = self.kc.execute(code, silent=True, store_history=False)
        try:
            reply = await asyncio.wait_for(self.async_wait_for_reply(sent), _EXTENSION_SECONDS)
        except TimeoutError:
            reply = {"content": {"status": "error", "ename": "TimeoutError", "evalue": "it takes too long"}}
        except DeadKernelError:
            return  # The first cell reports it.
        if reply and reply["content"]["status"] == "error":
            said = reply["content"]
            print(  # noqa: T201 - the log of the stage, or papermill's terminal
                f"mlops: {consequence}: {said.get('ename')}: {said.get('evalue')}" + (f" ({hint})" if hint else ""),
                file=sys.stderr,
            )

    async def _exit_code(self) -> int | None:
        provisioner = getattr(self.km, "provisioner", None)
        code = await provisioner.poll() if provisioner is not None else None
        return code if isinstance(code, int) else None

    def create_kernel_manager(self) -> Any:
        """Create the kernel manager."""
        manager = super().create_kernel_manager()
        if isinstance(manager, WarmKernelManager):
            imports = imports_of(source for _, source in code_cells(self.nb))
            manager.kernel_spec_manager = WarmKernelSpecs(imports, parent=manager)
        return manager

    async def async_start_new_kernel(self, **kwargs: Any) -> None:
        """Start the process of the kernel.

        Raises
        ------
        NotFound
            There is no kernel of this name.
        Unavailable
            Its process cannot be started.
        """
        try:
            await super().async_start_new_kernel(**kwargs)
        except NoSuchKernel as error:
            known = sorted(KernelSpecManager().find_kernel_specs())
            raise NotFound(
                f"the kernel '{error.name}' is not installed",
                hint=f"{did_you_mean(error.name, known)} Install it, or choose another kernel for the notebook",
            ) from error
        except OSError as error:
            raise Unavailable(f"the kernel '{self.kernel_name}' cannot be started: {error}") from error
        # A kernel that is forked is no child of this process, so that others find it by this only.
        if pid := getattr(getattr(self.km, "provisioner", None), "pid", None):
            self.nb_man.kernel_started(pid)

    start_new_kernel = run_sync(async_start_new_kernel)

    async def async_start_new_kernel_client(self) -> Any:
        """Connect to the kernel; raises Unavailable if it ends, or does not answer in time."""
        try:
            return await super().async_start_new_kernel_client()
        except RuntimeError as error:
            raise Unavailable(
                f"the kernel '{self.kernel_name}' was not ready: {error}",
                hint="its last words are in the log of the process that started it",
            ) from error

    start_new_kernel_client = run_sync(async_start_new_kernel_client)

    @contextlib.contextmanager
    def _masked_output(self, kwargs: dict[str, Any]) -> Any:
        """What the kernel's process itself writes goes to this process's stderr, without the values of secrets."""
        if not self.secrets:
            yield
            return
        pipe = MaskedPipe(sys.stderr, self.secrets)
        kwargs |= {"stdout": pipe.descriptor, "stderr": pipe.descriptor}
        try:
            yield
        finally:
            pipe.opened()
            pipe.wait(1)

    async def _check_raise_for_error(self, cell: Any, cell_index: int, exec_reply: Any) -> None:
        if exec_reply is not None and any(
            part.get("source") == "ask_exit" and not part.get("keepkernel")
            for part in exec_reply["content"].get("payload") or []
        ):
            # The kernel ends itself now; cells that follow would die with it.
            self.nb_man.left_at = (cell_index, "exit")
        await super()._check_raise_for_error(cell, cell_index, exec_reply)

    async def _async_poll_kernel_alive(self) -> None:
        if self._arrivals is None:
            await super()._async_poll_kernel_alive()

    async def _async_poll_output_msg(self, parent_msg_id: str, cell: Any, cell_index: int) -> None:
        if self._arrivals is None:
            await super()._async_poll_output_msg(parent_msg_id, cell, cell_index)

    async def _async_poll_for_reply(
        self, msg_id: str, cell: Any, timeout: Any, task_poll_output_msg: Any, task_poll_kernel_alive: Any
    ) -> Any:
        if self._arrivals is None:
            return await super()._async_poll_for_reply(
                msg_id, cell, timeout, task_poll_output_msg, task_poll_kernel_alive
            )
        try:
            return await Exchange(self, self._arrivals, msg_id, cell, self._index, timeout).reply()
        finally:
            self._outputs.settle()

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> NotebookNode | None:
        """Take a message of the kernel into the notebook."""
        output = None
        for message in self._messages.of(msg):
            if message["msg_type"] == "stream":
                self.nb_man.printed(message["content"]["text"])
            output = NotebookClient.process_message(self, self._outputs.bounded(message), cell, cell_index)
            self.nb_man.changed()
            if output and (self.log_output or self.stderr_file or self.stdout_file):
                self.log_output_message(output)
        return output

    def output(
        self, outs: list[NotebookNode], msg: dict[str, Any], display_id: str | None, cell_index: int
    ) -> NotebookNode | None:
        """Append an output to those of a cell."""
        output = super().output(outs, msg, display_id, cell_index)
        if output is not None:
            self._outputs.added(outs, output, referred=display_id is not None)
        return output


def installed_kernel(notebook: Any, name: str) -> str:
    """Name of the kernel of a notebook.

    Parameters
    ----------
    notebook : NotebookNode
        The notebook; without the name of a kernel, its language decides.
    name : str
        The name in the notebook, or the default if it has none.

    Raises
    ------
    NotFound
        It names no kernel, and none of its language is installed.
    """
    spoken = language(notebook)
    if spoken == "python" or notebook.metadata.get("kernelspec", {}).get("name"):
        return name
    specs = KernelSpecManager().get_all_specs()
    found = sorted(kernel for kernel, about in specs.items() if about["spec"].get("language", "").lower() == spoken)
    if not found:
        raise NotFound(
            f"the notebook is written in {spoken}, and no kernel for that is installed",
            hint=f"install one; there are kernels {', '.join(sorted(specs)) or 'of no language'}",
        )
    return found[0]


def _exception(cell: Any, name: str = "") -> Any:
    """The last exception among the outputs of a cell, of this type if it is given."""
    outputs = reversed(cell.get("outputs", []))
    return next((o for o in outputs if o.output_type == "error" and o.ename == (name or o.ename)), None)

"""Imports of a fork server: made one by one, and left out where a forked process could tell the difference."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlops_workbench.pipelines.kernels.preload import Import

#: They start threads or servers in ways that a fork does not survive, or state that all processes would share.
_NEVER = frozenset(
    ("tensorflow", "jax", "jaxlib", "ray", "grpc", "pyspark", "mpi4py", "torch_xla", "antigravity", "this")
)
#: Threads of libraries that make them anew in a forked process.
_SURVIVING = frozenset(("jemalloc_bg_thd",))


class Unfit(Exception):
    """An import leaves something that a forked process must not have: module and reason."""

    def __init__(self, module: str, reason: str) -> None:
        super().__init__(f"{module}: {reason}")
        self.module = module
        self.reason = reason


def import_all(imports: Iterable[Import], left_out: Iterable[str]) -> None:
    """Import what can be imported, but for the modules left out.

    A module that is missing, or whose import fails, is left out: the code that imports it gets the error.

    Raises
    ------
    Unfit
        An import started a thread, or depends on a running IPython shell. It cannot be undone, so the process
        has to begin again without it.
    """
    skipped = frozenset(left_out)
    for module, names in imports:
        if module in skipped or module.partition(".")[0] in _NEVER:
            continue
        with _asks_for_shell() as asked:
            try:
                # As the statement does: names may be submodules.
                importlib.__import__(module, {}, {}, list(names) or ["__name__"])
            except Exception:  # noqa: BLE001, S112 - code of others; the notebook that imports it reports the error
                continue
            except SystemExit as error:
                raise Unfit(module, "its import ends the process") from error
        if asked:
            raise Unfit(module, "its import asks for the IPython shell")
        threads = threads_after_fork()
        if threads:
            raise Unfit(module, f"its import starts threads: {', '.join(threads)}")


def threads_after_fork() -> list[str]:
    """Names of the threads that do not survive a fork: they would be missing, with their locks held for ever.

    OpenBLAS ends its threads before each fork, and starts them when they are needed. Those of jemalloc, which
    pyarrow contains, are made anew in the forked process, with their locks.
    """
    if len(_threads()) == 1:
        return []
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return [name for task, name in _threads().items() if task != os.getpid() and name not in _SURVIVING]


def _threads() -> dict[int, str]:
    found = {}
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found[int(task.name)] = (task / "comm").read_text().strip()
    return found


@contextlib.contextmanager
def _asks_for_shell() -> Iterator[list[str]]:
    """Note in the list whether an import looks for the shell, which does not exist yet."""
    import IPython
    from IPython.core import getipython

    asked: list[str] = []
    real = getipython.get_ipython

    def get_ipython() -> object:
        asked.append(sys._getframe(1).f_globals.get("__name__", ""))
        return real()

    getipython.get_ipython = get_ipython
    IPython.get_ipython = get_ipython
    try:
        yield asked
    finally:
        getipython.get_ipython = real
        IPython.get_ipython = real

"""``python -m mlops_workbench.serving --wait``: import everything, and wait for an endpoint or for files to score.

Meanwhile, copies of it do dry runs.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal

import msgspec

#: What loading a model imports besides what an endpoint's process does.
_NEEDED = (
    *("pandas", "pyarrow.parquet", "skops.io", "yaml", "uvloop", "uvicorn.lifespan.on"),
    *("mlops_workbench.serving.signatures.keys", "mlops_workbench.serving.runtimes.estimator"),
    "mlops_workbench.serving.dry_run",
    *("sklearn.pipeline", "sklearn.compose", "sklearn.ensemble", "sklearn.linear_model", "sklearn.preprocessing"),
)


class Job(msgspec.Struct, frozen=True):
    """What to do: serve an endpoint, score files, or do a dry run.

    Attributes
    ----------
    folder, log : str
        Folder of an endpoint, and the file for the output of its process.
    socket : str
        Path of the socket at which somebody waits for a process that scores files.
    is_dry_run : bool
        Whether a copy of the process, made by a fork, does a dry run for them instead; the process itself waits on.
    """

    folder: str = ""
    log: str = ""
    socket: str = ""
    is_dry_run: bool = False


def wait() -> Job | None:
    """Return what to do; None if nobody will ask."""
    for name in _NEEDED:
        importlib.import_module(name)
    _check_a_table()
    # Before each fork the collector looks through all objects, but not through these, of which none is ever freed.
    gc.collect()
    gc.freeze()
    copies: set[int] = set()

    def reap(*_: object) -> None:
        """Let the system forget the copies that have ended, also when this process serves an endpoint."""
        for copy in list(copies):
            if os.waitpid(copy, os.WNOHANG)[0]:
                copies.discard(copy)

    signal.signal(signal.SIGCHLD, reap)
    # Without a buffer, which would keep what follows a line: a copy must not read it.
    with open(0, "rb", buffering=0, closefd=False) as lines:
        while (line := lines.readline()).endswith(b"\n"):
            job = msgspec.json.decode(line, type=Job)
            copy = os.fork() if job.is_dry_run else 0
            if copy:
                copies.add(copy)
                # It may have ended before it was among them.
                reap()
                continue
            if job.is_dry_run:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                # What it does to its group must not reach the process that waits.
                os.setsid()
            return job
    return None


def _check_a_table() -> None:
    """Import what scikit-learn imports when it checks the first table."""
    from pandas import DataFrame
    from sklearn.preprocessing import MaxAbsScaler

    MaxAbsScaler().fit(DataFrame({"a": [0.0]}))


def become(job: Job) -> None:
    """Make the log of an endpoint the output of this process."""
    log = os.open(job.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, place in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, place)
    os.close(log)
    os.close(nothing)

"""``python -m mlops_workbench.serving --wait``: import everything, and wait for an endpoint or for files to score."""

from __future__ import annotations

import gc
import importlib
import os
import sys

import msgspec

#: What loading a model imports besides what an endpoint's process does.
_NEEDED = (
    *("pandas", "pyarrow.parquet", "skops.io", "yaml", "uvloop", "uvicorn.lifespan.on"),
    *("mlops_workbench.serving.signatures.keys", "mlops_workbench.serving.runtimes.estimator"),
    *("sklearn.pipeline", "sklearn.compose", "sklearn.ensemble", "sklearn.linear_model", "sklearn.preprocessing"),
)


class Job(msgspec.Struct, frozen=True):
    """What to do: serve an endpoint, or score files.

    Attributes
    ----------
    folder, log : str
        Folder of an endpoint, and the file for the output of its process.
    socket : str
        Path of the socket at which somebody waits for a process that scores files.
    """

    folder: str = ""
    log: str = ""
    socket: str = ""


def wait() -> Job | None:
    """Return what to do; None if nobody will ask."""
    for name in _NEEDED:
        importlib.import_module(name)
    _check_a_table()
    # Before each fork the collector looks through all objects, but not through these, of which none is ever freed.
    gc.collect()
    gc.freeze()
    line = sys.stdin.buffer.readline()
    return msgspec.json.decode(line, type=Job) if line.endswith(b"\n") else None


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

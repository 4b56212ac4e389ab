"""``python -m mlops_workbench.serving --wait``: import everything, and wait for an endpoint folder."""

from __future__ import annotations

import importlib
import os
import sys

import msgspec

#: What loading a model imports besides what an endpoint's process does.
_NEEDED = (
    *("pandas", "pyarrow.parquet", "skops.io", "yaml", "uvloop", "uvicorn.lifespan.on"),
    *("sklearn.pipeline", "sklearn.compose", "sklearn.ensemble", "sklearn.linear_model", "sklearn.preprocessing"),
)


class Start(msgspec.Struct, frozen=True):
    """Folder of the endpoint, and the file for the output of its process."""

    folder: str
    log: str


def wait() -> str | None:
    """Return the folder of the endpoint to serve, with its log as the output; None if nobody will ask."""
    for name in _NEEDED:
        importlib.import_module(name)
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return None
    start = msgspec.json.decode(line, type=Start)
    log = os.open(start.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, place in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, place)
    os.close(log)
    os.close(nothing)
    return start.folder

"""The notebook and the cell that the user's code runs in."""

from __future__ import annotations

import os
import sys
from typing import Any


def shell() -> Any:
    """Return the IPython session, None in a plain interpreter."""
    ipython = sys.modules.get("IPython")
    get = getattr(ipython, "get_ipython", None)
    return get() if get is not None else None


def notebook_path() -> str:
    """Return the path of the notebook or script, empty when unknown."""
    session = shell()
    if session is not None:
        names = getattr(session, "user_ns", {})
        # VS Code sets the path in the namespace; Jupyter Server sets it when it starts the kernel.
        for name in ("__vsc_ipynb_file__", "__session__"):
            if isinstance(path := names.get(name), str) and path:
                return path
        return os.environ.get("JPY_SESSION_NAME", "")
    return getattr(sys.modules.get("__main__"), "__file__", None) or ""


def cell_source() -> str:
    """Return the source of the running cell, empty outside IPython."""
    session = shell()
    history = getattr(session, "user_ns", {}).get("In")
    return str(history[-1]) if isinstance(history, list) and history else ""


def execution() -> int:
    """Return the number of the running cell; 0 outside IPython."""
    return int(getattr(shell(), "execution_count", 0))

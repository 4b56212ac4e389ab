"""Where the user's code runs: which notebook, which source."""

from __future__ import annotations

import os
import sys
from typing import Any


def shell() -> Any:
    """The IPython session, None in a plain interpreter."""
    ipython = sys.modules.get("IPython")
    get = getattr(ipython, "get_ipython", None)
    return get() if get is not None else None


def notebook_path() -> str:
    """Path of the notebook or script, empty when unknown."""
    session = shell()
    if session is not None:
        names = getattr(session, "user_ns", {})
        # VS Code names the file in the namespace; Jupyter Server names it when it starts the kernel.
        for name in ("__vsc_ipynb_file__", "__session__"):
            if isinstance(path := names.get(name), str) and path:
                return path
        return os.environ.get("JPY_SESSION_NAME", "")
    return getattr(sys.modules.get("__main__"), "__file__", None) or ""


def cell_source() -> str:
    """Source of the cell that runs now, empty outside IPython."""
    session = shell()
    history = getattr(session, "user_ns", {}).get("In")
    return str(history[-1]) if isinstance(history, list) and history else ""


def execution() -> int:
    """Number of the cell that runs now; 0 outside IPython."""
    return int(getattr(shell(), "execution_count", 0))

"""The first record of a journal, about the process that writes it."""

from __future__ import annotations

import getpass
import os
import platform

from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.records import SessionStart
from mlops_workbench.core.version import __version__


def session_start(session: str, notebook: str = "") -> SessionStart:
    """Return the first record of a journal of this process."""
    identity = ProcessIdentity.of()
    return SessionStart(
        session=session,
        pid=os.getpid(),
        process_started=identity.started if identity else 0.0,
        host=platform.node(),
        user=user_name(),
        started_ms=now_ms(),
        notebook=notebook,
        python=platform.python_version(),
        workbench=__version__,
    )


def user_name() -> str:
    """Return the user of this process."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        # In a container the user id may have no name.
        return str(os.getuid()) if hasattr(os, "getuid") else ""

"""What a client says of itself in each request: for whom it acts, and where. Nobody verifies it."""

from __future__ import annotations

import getpass
import os
from urllib.parse import quote

from mlops_workbench.client.bodies import ACTOR, LONGEST_ACTOR, SOURCE


def user_name() -> str:
    """Name of the user of this process; empty when the system has none for it, as in some containers."""
    try:
        # In the containers of a hub, every user has the same name in the system.
        return os.environ.get("JUPYTERHUB_USER") or getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def caller_headers(name: str, source: str) -> dict[str, str]:
    """Headers of requests for a user; `source` is one of :data:`mlops_workbench.core.audit.DECLARED_SOURCES`."""
    known = quote(name[:LONGEST_ACTOR].encode("utf-8", "backslashreplace"), safe="")
    return {SOURCE: source, **({ACTOR: known} if known else {})}

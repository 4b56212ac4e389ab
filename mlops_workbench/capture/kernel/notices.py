"""Messages to the user about things that are not recorded."""

from __future__ import annotations

import contextlib
import sys

from mlops_workbench.core.shown.plain_text import visible

_shown: set[str] = set()


def notify(message: str, *, once: str = "") -> None:
    """Show a message on stderr.

    It is not a Python warning, which a filter could turn into an exception in the user's cell.

    Parameters
    ----------
    message : str
        What happened and what to do.
    once : str, optional
        Key under which the message is shown only once in this process, until `show_again`.
    """
    if once:
        if once in _shown:
            return
        _shown.add(once)
    # A closed or replaced stderr may raise anything, and there is no other place to report it.
    with contextlib.suppress(Exception):
        sys.stderr.write(f"mlops: {visible(message)}\n")
        sys.stderr.flush()


def show_again(once: str) -> None:
    """Allow a message to be shown again, after its cause was removed."""
    _shown.discard(once)

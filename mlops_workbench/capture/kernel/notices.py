"""What the user is told when something is not recorded."""

from __future__ import annotations

import contextlib
import sys

_told: set[str] = set()


def notify(message: str, *, once: str = "") -> None:
    """Show a message on stderr.

    Not a Python warning, which a filter could turn into an exception in the user's cell.

    Parameters
    ----------
    message : str
        What happened and what to do.
    once : str, optional
        Key under which the message is shown only once in this process, until `forget`.
    """
    if once:
        if once in _told:
            return
        _told.add(once)
    # A closed or replaced stderr may raise anything; there is nobody left to tell.
    with contextlib.suppress(Exception):
        sys.stderr.write(f"mlops: {message}\n")
        sys.stderr.flush()


def forget(once: str) -> None:
    """Let a message be shown again: the trouble it spoke of is over."""
    _told.discard(once)

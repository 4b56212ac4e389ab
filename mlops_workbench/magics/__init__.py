"""The magics: ``%mlops`` and ``%%track``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def register(shell: InteractiveShell) -> None:
    """Add the magics to an IPython session; doing it twice changes nothing."""
    from mlops_workbench.magics.mlops_magic import register_verbs
    from mlops_workbench.magics.tracebacks import register_tracebacks
    from mlops_workbench.magics.track import register_track

    register_tracebacks(shell)
    register_verbs(shell)
    register_track(shell)

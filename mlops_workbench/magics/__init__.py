"""The magics: ``%mlops`` and ``%%track``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

#: That of `mlops_workbench.core.reads`, whose import would delay every kernel.
_READS_VARIABLE = "MLOPS_READS"


def register(shell: InteractiveShell) -> None:
    """Add the magics to an IPython session; a second call has no effect."""
    if os.environ.get(_READS_VARIABLE):
        from mlops_workbench.capture.provenance.file_reads import observe_stage

        observe_stage(shell)
    if os.environ.get("MLOPS_RUN_UID"):
        from mlops_workbench.capture.kernel.sending import keep_until_sent

        keep_until_sent(shell)
    from mlops_workbench.magics.mlops_magic import register_commands
    from mlops_workbench.magics.tracebacks import register_tracebacks
    from mlops_workbench.magics.track import register_track

    register_tracebacks(shell)
    register_commands(shell)
    register_track(shell)

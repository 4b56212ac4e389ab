"""``python -m mlops_workbench.serving.runtimes.trial_process``: the process of a trial, see `trial`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

# Before NumPy is imported: the trial runs beside an endpoint that answers requests.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_name, "1")

from mlops_workbench.core.errors import WorkbenchError  # noqa: E402
from mlops_workbench.serving.runtimes.estimator import Runtime  # noqa: E402
from mlops_workbench.serving.runtimes.model_folder import ModelFolder  # noqa: E402
from mlops_workbench.serving.runtimes.proof import prove  # noqa: E402
from mlops_workbench.serving.runtimes.trial import REFUSED, Trial  # noqa: E402


def main() -> int:
    """Run the trial that standard input describes; returns the exit status."""
    trial = msgspec.json.decode(sys.stdin.buffer.read(), type=Trial)
    # Last, so that no module of the user shadows an installed one.
    sys.path += [entry for entry in trial.modules if entry not in sys.path]
    try:
        folder = ModelFolder.open(Path(trial.folder), trial.settings)
        if folder.digest != trial.digest:
            print("the files of the model have changed", file=sys.stderr)  # noqa: T201 the parent reads it
            return 1
        prove(Runtime.load(folder, trial.settings, tried=True), folder.golden, trial.folder)
    except WorkbenchError:
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())

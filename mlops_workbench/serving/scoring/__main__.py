"""``python -m mlops_workbench.serving.scoring``: see :mod:`mlops_workbench.serving.scoring.process`."""

import os
import sys

from mlops_workbench.serving.runtimes.skops_alone import import_skops

import_skops()

from mlops_workbench.serving.scoring.process import main  # noqa: E402

if __name__ == "__main__":
    # For the user's own transformers, as in the process of an endpoint.
    sys.path.append(os.getcwd())  # noqa: PTH109
    main()

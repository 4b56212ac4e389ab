"""``python -m mlops_workbench.control WORKSPACE``: the process of the control plane."""

import gc
import sys

# What is imported stays; the collector would look through it again and again, for a tenth of the time of the start.
gc.disable()

from mlops_workbench.control.process import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())

"""``python -m mlops_workbench.serving FOLDER``: the process of an endpoint."""

import os
import sys

# Before NumPy is imported: one request is served by one core, and pools of threads only get in each other's way.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_name, "1")

from mlops_workbench.serving.process import main  # noqa: E402

if __name__ == "__main__":
    # Last, so that a file beside the notebooks never stands in for an installed module; it is there for the
    # user's own transformers (serving.trusted_types).
    sys.path.append(os.getcwd())  # noqa: PTH109
    sys.exit(main(sys.argv[1:]))

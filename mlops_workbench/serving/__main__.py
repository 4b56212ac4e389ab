"""``python -m mlops_workbench.serving FOLDER``: the process of an endpoint."""

import os
import sys

# Before NumPy is imported: one request is served by one core, and thread pools would slow each other down.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_name, "1")

from mlops_workbench.serving.runtimes.skops_alone import import_skops  # noqa: E402

import_skops()

from mlops_workbench.serving.process import main  # noqa: E402
from mlops_workbench.serving.spare import become, wait  # noqa: E402

if __name__ == "__main__":
    # For the user's own transformers (serving.trusted_types); last, so that no file beside the notebooks shadows an
    # installed module.
    sys.path.append(os.getcwd())  # noqa: PTH109
    arguments = sys.argv[1:]
    if arguments == ["--wait"]:
        job = wait()
        if job is None:
            sys.exit(0)
        if job.socket:
            from mlops_workbench.serving.handover import give

            give(job.socket)
            if job.is_dry_run:
                from mlops_workbench.serving.dry_run import main as do_dry_run

                do_dry_run()
            from mlops_workbench.serving.scoring.process import main as score

            score()
        become(job)
        arguments = [job.folder]
    sys.exit(main(arguments))

"""What the processes of runs import, for the server that forks them."""

from __future__ import annotations

import IPython.paths
import nbformat.v4
import nbformat.validator
from jupyter_client.provisioning.factory import KernelProvisionerFactory

from mlops_workbench.pipelines.cells import client, record
from mlops_workbench.pipelines.execution import runner
from mlops_workbench.pipelines.kernels import provisioner
from mlops_workbench.pipelines.stages import engine, stage

__all__ = ["IPython", "client", "engine", "provisioner", "record", "runner", "stage"]

# nbformat compiles the schema of each version of the format when it is first used, once for each strictness.
for _minor in range(6):
    for _relaxed in (False, True):
        nbformat.validator.get_validator(4, _minor, relax_add_props=_relaxed)
# It reads the entry points of all installed distributions.
KernelProvisionerFactory.instance()

"""Kernel specs that ask for warm kernels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

from mlops_workbench.pipelines.kernels.preload import Import

PROVISIONER = "mlops-warm"
_KEY = "kernel_provisioner"


class WarmKernelSpecs(KernelSpecManager):
    """The installed kernel specs; one that names no provisioner of its own gets the warm one.

    Parameters
    ----------
    imports : iterable of Import
        Imports of the code that the kernels will run.
    """

    def __init__(self, imports: Iterable[Import] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._imports = [[module, list(names)] for module, names in imports]

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return the spec of a kernel."""
        spec = super().get_kernel_spec(kernel_name)
        if _KEY not in spec.metadata:
            provisioner = {"provisioner_name": PROVISIONER, "config": {"imports": self._imports}}
            spec.metadata = {**spec.metadata, _KEY: provisioner}
        return spec

"""The whole machine-learning life cycle from inside a Jupyter notebook.

Public names are imported on first use, so that loading the extension does not delay a kernel.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlops_workbench.core.version import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_EXPORTS = {
    **dict.fromkeys(
        ("track", "log", "log_param", "log_params", "log_figure",
         "log_table", "log_artifact", "log_model", "log_dataset", "tag"),
        "mlops_workbench.capture",
    ),
    **dict.fromkeys(("load", "save"), "mlops_workbench.capture.exchange.transfer"),
    "runs": "mlops_workbench.client.runs",
    "load_dataset": "mlops_workbench.client.datasets",
    "load_model": "mlops_workbench.client.endpoints",
    "predict": "mlops_workbench.client.endpoints",
    "feedback": "mlops_workbench.client.endpoints",
    "try_endpoint": "mlops_workbench.widgets.endpoint_form",
}  # fmt: skip

__all__ = [*_EXPORTS, "__version__", "load_ipython_extension"]


def __getattr__(name: str) -> Any:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module 'mlops_workbench' has no attribute '{name}'")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Add ``%mlops`` and ``%%track`` to an IPython session (``%load_ext mlops_workbench``)."""
    from mlops_workbench.magics import register

    register(shell)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "mlops-workbench"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from mlops_workbench.server.extension import WorkbenchExtension

    return [{"module": "mlops_workbench.server", "app": WorkbenchExtension}]

"""What the first cells of a kernel need, for the server that forks kernels."""

from importlib import import_module

from IPython.core.inputtransformer2 import TransformerManager

from mlops_workbench.magics import hooks
from mlops_workbench.magics.preloading import MODULES

__all__ = ["hooks"]

#: What IPython, ipykernel and the extension import when a kernel starts, and with its first cell.
_AT_START = (
    "IPython.core.completerlib", "IPython.core.debugger", "IPython.core.logger", "IPython.core.oinspect",
    "IPython.extensions.storemagic", "tornado.platform.asyncio", "mlops_workbench.capture.cells.stage_cells",
    "mlops_workbench.magics.mlops_magic", "mlops_workbench.magics.notebook", "mlops_workbench.magics.tracebacks",
    "mlops_workbench.magics.track",
)  # fmt: skip

for _module in (*_AT_START, *MODULES):
    import_module(_module)
# The standard library compiles the patterns of its tokenizer when they are first used.
TransformerManager().transform_cell("1")

"""What the first cells of a kernel need, for the server that forks kernels."""

from importlib import import_module

from IPython.core.inputtransformer2 import TransformerManager

from mlops_workbench.magics import hooks
from mlops_workbench.magics.preloading import MODULES

__all__ = ["hooks"]

for _module in MODULES:
    import_module(_module)
# The standard library compiles the patterns of its tokenizer when they are first used.
TransformerManager().transform_cell("1")

"""Networks as files of MLflow's flavors ``pytorch`` and ``keras``, written by the library of the network."""

from __future__ import annotations

import io
import pickle
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from mlops_workbench.capture.run.saved_files import SavedFiles
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.members import is_a

#: Module with which MLflow loads a PyTorch model: CloudPickle's pickler with the interface that PyTorch expects.
_PICKLE_MODULE = "mlflow.pytorch.pickle_module"


def network_files(model: Any) -> SavedFiles | None:
    """Return the files of a network, None for any other model.

    Raises
    ------
    InvalidInput
        Its library cannot save it.
    """
    # A Keras network with the PyTorch backend is also a PyTorch module.
    write = _keras if _is_of(model, "keras", "Model") else _pytorch if _is_of(model, "torch.nn", "Module") else None
    if write is None:
        return None
    try:
        return write(model)
    except Exception as error:
        raise InvalidInput(
            f"this {type(model).__name__} cannot be saved: {type(error).__name__}: {error}",
            hint="remove open files, connections, locks and generators from the network",
        ) from error


def _is_of(model: Any, module: str, name: str) -> bool:
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and is_a(model, kind)


def _pytorch(model: Any) -> SavedFiles:
    import cloudpickle

    torch: Any = sys.modules["torch"]
    # CloudPickle includes classes of the notebook.
    pickler = ModuleType(_PICKLE_MODULE)
    vars(pickler).update(vars(cloudpickle), Pickler=cloudpickle.CloudPickler, Unpickler=pickle.Unpickler)
    content = io.BytesIO()
    torch.save(model, content, pickle_module=pickler)
    files = {"data/model.pth": content.getvalue(), "data/pickle_module_info.txt": _PICKLE_MODULE.encode()}
    return SavedFiles("pytorch", "torch", files, {"torch", "cloudpickle", *_roots(model)}, str(torch.__version__))


def _keras(model: Any) -> SavedFiles:
    keras: Any = sys.modules["keras"]
    with tempfile.TemporaryDirectory(prefix="mlops-network-") as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        files = {"data/model.keras": path.read_bytes(), "data/keras_module.txt": b"keras"}
    libraries = {"keras", str(keras.backend.backend()), *_roots(model)}
    return SavedFiles("keras", "keras", files, libraries, str(keras.__version__))


def _roots(model: Any) -> set[str]:
    return {kind.__module__.partition(".")[0] for kind in type(model).__mro__} - {"__main__", "builtins", "abc"}

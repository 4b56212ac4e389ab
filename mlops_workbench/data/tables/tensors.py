"""Data of deep-learning libraries in a form that can be described: tensors, datasets of tensors, loaders.

They are recognized by protocols, without importing libraries or naming them: a tensor has DLPack's
``__dlpack__``, a dataset of tensors has ``tensors``, a loader has a ``dataset`` and a ``batch_size``, a stream of
elements an ``element_spec``. Tensors in the memory of the processor are read without a copy. Tensors on a device are
not copied from it, and datasets that create their elements on demand are not iterated: only their shape is known.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from mlops_workbench.core.members import has, own

#: DLPack devices with memory of the processor: ``kDLCPU``, ``kDLCUDAHost``, ``kDLROCMHost``.
_HOST_DEVICES = (1, 3, 11)
_DEEPEST = 8


@dataclass(frozen=True)
class Tensors:
    """Arrays whose rows belong together, as in a ``TensorDataset``.

    Attributes
    ----------
    parts : tuple of ndarray
        Views of equal length.
    chosen : ndarray or None
        Indices of the rows of a subset.
    kind : str
        Library and class of the dataset.
    """

    parts: tuple[Any, ...]
    chosen: Any = None
    kind: str = ""

    @property
    def shape(self) -> tuple[int]:
        """Number of rows."""
        return (len(self.parts[0] if self.chosen is None else self.chosen),)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(part.nbytes for part in self.parts)

    def arrays(self) -> list[Any]:
        """Return all arrays that make up the content."""
        return [*self.parts, *(() if self.chosen is None else (self.chosen,))]

    def take(self, rows: Any) -> Tensors:
        """Return some of the rows."""
        rows = rows if self.chosen is None else self.chosen[rows]
        return Tensors(tuple(part[rows] for part in self.parts), None, self.kind)


@dataclass(frozen=True)
class Unread:
    """Data whose values are not read.

    Attributes
    ----------
    shape : tuple of int
        At least the number of rows, 0 when it is unknown.
    elements : str
        Types and shapes of its elements, if they are known.
    kind : str
        Library and class.
    """

    shape: tuple[int, ...]
    elements: str = ""
    kind: str = ""


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor of any library but NumPy."""
    numpy: Any = sys.modules.get("numpy")
    return has(value, "__dlpack__", "__dlpack_device__", "shape") and not isinstance(
        value, (type, getattr(numpy, "ndarray", ()))
    )


def is_loader(value: Any) -> bool:
    """Whether it iterates over batches of a dataset."""
    return has(value, "__iter__") and {"dataset", "batch_size"} <= own(value).keys()


def is_feed(value: Any) -> bool:
    """Whether it is a loader, a dataset of tensors, a subset of one, or a stream of elements."""
    attributes = own(value)
    return (
        is_loader(value)
        or isinstance(attributes.get("tensors"), tuple)
        or {"dataset", "indices"} <= attributes.keys()
        or (has(value, "__iter__", "element_spec") and not isinstance(value, type))
    )


def readable(data: Any) -> Any:
    """Return tensors, datasets and loaders in a form that can be described; anything else unchanged."""
    return _readable(data, 0)


def _readable(data: Any, depth: int) -> Any:
    if is_tensor(data):
        return _view(data)
    if not is_feed(data) or depth > _DEEPEST:
        return data
    attributes = own(data)
    tensors = attributes.get("tensors")
    if isinstance(tensors, tuple) and tensors:
        views = tuple(_view(tensor) if is_tensor(tensor) else tensor for tensor in tensors)
        if all(has(view, "dtype", "nbytes") and view.ndim for view in views):
            return Tensors(views, None, kind_name(data))
    elif is_loader(data):
        inner = _readable(attributes["dataset"], depth + 1)
        return inner if isinstance(inner, (Tensors, Unread)) else _unread(attributes["dataset"])
    elif "indices" in attributes:
        inner = _readable(attributes["dataset"], depth + 1)
        numpy: Any = sys.modules.get("numpy")
        if isinstance(inner, Tensors) and numpy is not None:
            chosen = numpy.asarray(attributes["indices"], dtype=numpy.int64)
            return Tensors(inner.parts, chosen if inner.chosen is None else inner.chosen[chosen], inner.kind)
    return _unread(data)


def kind_name(data: Any) -> str:
    """Return library and class, such as ``torch.TensorDataset``."""
    return f"{type(data).__module__.partition('.')[0]}.{type(data).__qualname__}"


def _view(tensor: Any) -> Any:
    """Return an array that shares the memory of a tensor, or an `Unread` when there is none."""
    numpy: Any = sys.modules.get("numpy")
    try:
        device = int(tensor.__dlpack_device__()[0])
        if numpy is not None and device in _HOST_DEVICES:
            # A tensor that requires gradients does not export its memory.
            return numpy.from_dlpack(tensor.detach() if has(tensor, "detach") else tensor)
    except (TypeError, ValueError, RuntimeError, BufferError, AttributeError, NotImplementedError):
        pass  # A symbolic, quantised or sparse tensor, or a type that NumPy does not support.
    try:
        shape = tuple(int(side) for side in tensor.shape)
    except (TypeError, ValueError):
        shape = (0,)
    return Unread(shape or (1,), str(getattr(tensor, "dtype", "")), kind_name(tensor))


def _unread(data: Any) -> Unread:
    rows = 0
    if has(data, "__len__"):
        try:
            rows = len(data)
        except (TypeError, ValueError, NotImplementedError, RuntimeError):
            rows = 0  # Infinite, or unknown before iteration.
    spec = data.element_spec if has(data, "element_spec") else ""
    return Unread((rows,), str(spec)[:1000], kind_name(data))

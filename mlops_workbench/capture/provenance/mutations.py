"""Objects that a cell changed in place by calls of methods and functions, inferred from their types."""

from __future__ import annotations

import sys
import types
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_workbench.capture.provenance.live_names import is_defined_in_notebook
from mlops_workbench.core.members import is_a
from mlops_workbench.notebooks.names.nouns import ACCUMULATING, CellNames, FunctionNames, MethodCall

_CONTAINERS = (list, dict, set, deque, bytearray)
_CONTAINER_METHODS = frozenset(
    (
        "append", "appendleft", "extend", "extendleft", "insert", "pop", "popleft", "popitem", "remove", "clear",
        "sort", "reverse", "rotate", "update", "setdefault", "add", "discard", "difference_update",
        "intersection_update", "symmetric_difference_update", "subtract", "move_to_end", "__setitem__", "__delitem__",
    )
)  # fmt: skip
_FAMILY_METHODS: dict[str, frozenset[str]] = {
    "pandas": frozenset(("insert", "pop", "update")),
    "polars": frozenset(("insert_column", "replace_column", "drop_in_place", "extend")),
    "numpy": frozenset(("sort", "fill", "resize", "put", "itemset", "partition", "setflags", "byteswap")),
    "pyarrow": frozenset(),
    "scipy": frozenset(("sort_indices", "eliminate_zeros", "sum_duplicates", "setdiag", "resize")),
}
_IMMUTABLE = (
    int, float, complex, bool, str, bytes, tuple, frozenset, range, slice, type(None), type, types.ModuleType,
    types.FunctionType, types.BuiltinFunctionType, types.MethodType,
)  # fmt: skip
#: Methods of a training step, which change the networks that the cell uses.
_TRAINING = frozenset(("step", "backward", "apply_gradients", "train_on_batch", "minimize"))
_MAX_DEPTH = 3


@dataclass
class Mutations:
    """Names whose objects a cell changed in place.

    Attributes
    ----------
    sure : set of str
        Certainly changed.
    maybe : set of str
        Possibly changed: a method of an unknown class was called and its result discarded.
    slots : dict of str to set
        Changes that a repetition replaces, such as those of ``fit``.
    repeats : set of str
        Changed depending on the earlier state: a generator of random numbers, a training step.
    """

    sure: set[str] = field(default_factory=set)
    maybe: set[str] = field(default_factory=set)
    slots: dict[str, set[object]] = field(default_factory=dict)
    repeats: set[str] = field(default_factory=set)

    def add(self, name: str, effect: str, method: str) -> None:
        """Add the effect of a method call; see `method_changes`."""
        if effect == "again":
            self.sure.add(name)
            self.slots.setdefault(name, set()).add(f"{method}()")
        elif effect in ("sure", "adds"):
            self.sure.add(name)
            if effect == "adds":
                self.repeats.add(name)
        elif effect == "maybe":
            self.maybe.add(name)

    def settle(self, changed: set[str], same: set[str], updated: set[str]) -> None:
        """Correct the changes by a comparison of contents, which is more reliable than types.

        Parameters
        ----------
        changed, same : set of str
            Names whose objects have another content than before, or the same.
        updated : set of str
            Names that the syntax tree changes in place.
        """
        self.maybe -= changed | same
        self.sure -= same
        for name in same:
            self.slots.pop(name, None)
            self.repeats.discard(name)
        unexplained = changed - self.sure - updated
        self.sure |= unexplained
        # A function changed them, depending on their earlier state.
        self.repeats |= unexplained


def mutations(names: CellNames, values: Mapping[str, Any], functions: Mapping[str, FunctionNames]) -> Mutations:
    """Find in-place changes of a cell that its syntax tree does not show.

    Parameters
    ----------
    names : CellNames
        Names of the cell.
    values : mapping
        The notebook's namespace after the cell.
    functions : mapping
        Functions of the notebook.
    """
    found = Mutations()
    trains = False
    for call in names.methods:
        trains = trains or call.method in _TRAINING
        found.add(call.name, method_changes(values.get(call.name), call), call.method)
    trains |= _through_functions(names, values, functions, found)
    for name in names.reads:
        value = values.get(name)
        if _draws(value) or (trains and _is_module(value)):
            found.sure.add(name)
            found.repeats.add(name)
    for name in found.sure:
        if found.slots.get(name) and name in found.repeats:
            del found.slots[name]
    found.maybe -= found.sure
    return found


def method_changes(value: Any, call: MethodCall) -> str:
    """Return whether a method changes an object.

    Returns
    -------
    {"", "sure", "again", "adds", "maybe"}
        No; yes; yes, and a repetition replaces the change; yes, depending on the earlier state; possibly.
    """
    if is_a(value, _IMMUTABLE):
        return ""
    method = call.method
    if call.inplace:
        return "sure"
    kind = type(value)
    family = kind.__module__.partition(".")[0]
    if not call.direct:
        # A part of the object, whose type is unknown.
        return "sure" if method in ACCUMULATING and family not in _FAMILY_METHODS else ""
    if is_a(value, _CONTAINERS):
        return "sure" if method in _CONTAINER_METHODS else ""
    if family in _FAMILY_METHODS and not _draws(value):
        return "sure" if method in _FAMILY_METHODS[family] else ""
    if family in ("keras", "tensorflow") and method in ("fit", "train_on_batch"):
        return "adds"
    if hasattr(kind, "fit") and hasattr(kind, "get_params"):
        if method == "partial_fit":
            return "adds"
        return "again" if method.startswith(("fit", "set_")) else ""
    if _is_module(value):
        return "again" if method in ("train", "eval", "load_state_dict", "to", "requires_grad_", "half") else ""
    if is_defined_in_notebook(kind):
        return "maybe"
    return "maybe" if call.discarded else ""


def _through_functions(
    names: CellNames, values: Mapping[str, Any], functions: Mapping[str, FunctionNames], found: Mutations
) -> bool:
    """Add the changes of called functions to their arguments and to globals; return whether they train."""
    trains = False
    stack: list[tuple[FunctionNames, dict[str, str], int]] = [*_called(names, functions, {}, 0)]
    done = 0
    while stack and done < 200:
        function, given, depth = stack.pop()
        done += 1
        local = (
            set(function.parameters) | (function.names.writes - function.names.updates) | set(function.names.straight)
        )
        for name in function.names.updates:
            if target := given.get(name, "" if name in local else name):
                found.add(target, "sure" if not is_a(values.get(target), _IMMUTABLE) else "", "")
        for call in function.names.methods:
            trains = trains or call.method in _TRAINING
            if target := given.get(call.name, "" if call.name in local else call.name):
                found.add(target, method_changes(values.get(target), call), call.method)
        if trains:
            for target in given.values():
                if _is_module(values.get(target)):
                    found.add(target, "adds", "step")
        if depth < _MAX_DEPTH:
            stack.extend(_called(function.names, functions, given, depth + 1))
    return trains


def _called(
    names: CellNames, functions: Mapping[str, FunctionNames], given: Mapping[str, str], depth: int
) -> Iterator[tuple[FunctionNames, dict[str, str], int]]:
    """Yield the called functions of the notebook, each with the name of the notebook for each parameter."""
    for call in names.calls:
        function = functions.get(call.function)
        if function is None:
            continue
        arguments = {}
        for key, name in call.arguments.items():
            parameter = key if isinstance(key, str) else dict(enumerate(function.parameters)).get(key, "")
            target = given.get(name, name if depth == 0 else "")
            if parameter in function.parameters and target:
                arguments[parameter] = target
        yield function, arguments, depth


def _draws(value: Any) -> bool:
    """Whether it is a generator of random numbers, which every use changes."""
    kind = type(value)
    if kind.__module__ == "random":
        return kind.__name__ in ("Random", "SystemRandom")
    return kind.__module__.startswith("numpy.random") and kind.__name__ in ("Generator", "RandomState")


def _is_module(value: Any) -> bool:
    """Whether it is a PyTorch module."""
    modules = sys.modules.get("torch.nn.modules.module")
    return modules is not None and is_a(value, modules.Module)

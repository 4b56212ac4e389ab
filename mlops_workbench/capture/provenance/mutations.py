"""Which objects a cell changed in place by calling methods and functions, as far as their types tell."""

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
#: Methods of a training step: they change the modules that the cell works with, whatever they are called on.
_TRAINING = frozenset(("step", "backward", "apply_gradients", "train_on_batch", "minimize"))
_MAX_DEPTH = 3


@dataclass
class Mutations:
    """Names whose objects a cell changed in place.

    Attributes
    ----------
    sure : set of str
        Changed.
    maybe : set of str
        Perhaps changed: a method was called, nothing was made of its result, and its class is not known here.
    slots : dict of str to set
        What was changed, where doing it again takes its place, as with ``fit``.
    repeats : set of str
        Changed in a way that builds on what was there: a generator of random numbers, a step of training.
    """

    sure: set[str] = field(default_factory=set)
    maybe: set[str] = field(default_factory=set)
    slots: dict[str, set[object]] = field(default_factory=dict)
    repeats: set[str] = field(default_factory=set)

    def note(self, name: str, verdict: str, method: str) -> None:
        """Take what is known of one method call."""
        if verdict == "again":
            self.sure.add(name)
            self.slots.setdefault(name, set()).add(f"{method}()")
        elif verdict in ("sure", "adds"):
            self.sure.add(name)
            if verdict == "adds":
                self.repeats.add(name)
        elif verdict == "maybe":
            self.maybe.add(name)

    def settle(self, changed: set[str], same: set[str], shown: set[str]) -> None:
        """Take what the contents of objects say, which know better than the types.

        Parameters
        ----------
        changed, same : set of str
            Names whose objects hold something else than before, and those that hold the same.
        shown : set of str
            Names that the syntax tree shows to be changed in place.
        """
        self.maybe -= changed | same
        self.sure -= same
        for name in same:
            self.slots.pop(name, None)
            self.repeats.discard(name)
        unexplained = changed - self.sure - shown
        self.sure |= unexplained
        # What a function made of it, it made of what was there.
        self.repeats |= unexplained


def mutations(names: CellNames, values: Mapping[str, Any], functions: Mapping[str, FunctionNames]) -> Mutations:
    """What a cell changed in place beyond what its syntax tree shows.

    Parameters
    ----------
    names : CellNames
        The cell.
    values : mapping
        The notebook's namespace after the cell.
    functions : mapping
        Functions of the notebook, with what they do to their arguments.
    """
    found = Mutations()
    trains = False
    for call in names.methods:
        trains = trains or call.method in _TRAINING
        found.note(call.name, method_changes(values.get(call.name), call), call.method)
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
    """Whether a method changes an object.

    Returns
    -------
    {"", "sure", "again", "adds", "maybe"}
        No; yes; yes, and calling it again takes the place of it; yes, building on what was there; perhaps.
    """
    if is_a(value, _IMMUTABLE):
        return ""
    method = call.method
    if call.inplace:
        return "sure"
    kind = type(value)
    family = kind.__module__.partition(".")[0]
    if not call.direct:
        # A part of the object, of which only the source is known.
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
    """Note what functions of the notebook do to what they are given, and to globals; whether they train."""
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
                found.note(target, "sure" if not is_a(values.get(target), _IMMUTABLE) else "", "")
        for call in function.names.methods:
            trains = trains or call.method in _TRAINING
            if target := given.get(call.name, "" if call.name in local else call.name):
                found.note(target, method_changes(values.get(target), call), call.method)
        if trains:
            for target in given.values():
                if _is_module(values.get(target)):
                    found.note(target, "adds", "step")
        if depth < _MAX_DEPTH:
            stack.extend(_called(function.names, functions, given, depth + 1))
    return trains


def _called(
    names: CellNames, functions: Mapping[str, FunctionNames], given: Mapping[str, str], depth: int
) -> Iterator[tuple[FunctionNames, dict[str, str], int]]:
    """Functions of the notebook that are called, each with the names of the notebook that its parameters hold."""
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
    """Whether it is a generator of random numbers, which any use moves on."""
    kind = type(value)
    if kind.__module__ == "random":
        return kind.__name__ in ("Random", "SystemRandom")
    return kind.__module__.startswith("numpy.random") and kind.__name__ in ("Generator", "RandomState")


def _is_module(value: Any) -> bool:
    """Whether it is a network of torch."""
    modules = sys.modules.get("torch.nn.modules.module")
    return modules is not None and is_a(value, modules.Module)

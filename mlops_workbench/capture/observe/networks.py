"""Networks, optimizers and loaders, which are recognized by their protocols.

They have no ``get_params()``: their settings are the arguments in the call of their class.
"""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Sequence
from typing import Any

from mlops_workbench.capture.observe.estimators import is_estimator
from mlops_workbench.capture.observe.literals import bounded, literal
from mlops_workbench.capture.observe.loops import candidates
from mlops_workbench.capture.observe.scope import Before, Loop, Names, Placed, code_of, is_new, resolve
from mlops_workbench.core.members import has, own
from mlops_workbench.data.tables.tensors import is_loader
from mlops_workbench.notebooks.source import called_name

_PLAIN = (bool, int, float, str)
_MOVED = {"to", "cuda", "cpu", "double", "float", "half", "train", "eval"}
_MAX_LINES = 100
_MAX_TEXT = 20_000


def keeps_state(value: Any) -> bool:
    """Whether its state can be saved and restored: a network, an optimizer, a loss."""
    return not isinstance(value, type) and (
        has(value, "state_dict", "load_state_dict") or has(value, "get_config", "from_config")
    )


def is_network(value: Any) -> bool:
    """Whether it has trainable weights."""
    if not keeps_state(value):
        return False
    attributes = own(value)
    if attributes.get("_parameters") == {} and attributes.get("_modules") == {}:
        # A loss or an activation: a module without weights.
        return False
    return has(value, "forward", "parameters") or has(value, "get_weights", "set_weights", "layers")


def trained_networks(here: Placed, names: Names) -> list[tuple[str, Any]]:
    """Return the networks that a loop calls and trains with ``backward`` and ``step``."""
    statement = here.statement
    if not isinstance(statement, (ast.For, ast.AsyncFor, ast.While)):
        return []
    calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
    if not {"backward", "step"} <= {called_name(call) for call in calls}:
        return []
    return _called_networks(calls, names)


def fed_from(here: Placed, names: Names) -> tuple[ast.expr, str] | None:
    """Return the loader of a loop's batches, and ``training`` or, in a loop that does not train, an empty text."""
    statement = here.statement
    if not isinstance(statement, (ast.For, ast.AsyncFor)):
        return None
    node = _wrapped(statement.iter)
    if not is_loader(resolve(node, names)):
        return None
    calls = [part for line in statement.body for part in ast.walk(line) if isinstance(part, ast.Call)]
    if "backward" in {called_name(call) for call in calls}:
        return node, "training"
    return (node, "") if _called_networks(calls, names) else None


def trainer_of(call: ast.Call, names: Names, loops: Sequence[Loop] = ()) -> tuple[ast.expr, Any] | None:
    """Return the network passed to ``trainer.fit(network, data)`` and its expression, or None."""
    node = next((word.value for word in call.keywords if word.arg == "model"), call.args[0] if call.args else None)
    if node is None or isinstance(node, ast.Starred):
        return None
    return next(((node, value) for value in candidates(node, names, loops) if is_network(value)), None)


def part_params(tree: ast.Module | None, names: Names, before: Before, fitted: Sequence[Any] = ()) -> dict[str, Any]:
    """Return the arguments of the parts of training that a cell built, such as ``optimizer.lr``.

    Parts are objects with a state, loaders, and `fitted`: fitted models and their trainers.
    """
    found: dict[str, Any] = {}
    for here in code_of(tree):
        for target, value in here.assigned:
            if isinstance(target, ast.Name) and is_new(target.id, names, before):
                part = names[target.id]
                if not target.id.startswith("_") and _is_part(part, fitted):
                    found.update(_part_params(target.id, part, _constructor_call(value), names))
        for call, _ in here.calls:
            if called_name(call) == "compile" and isinstance(call.func, ast.Attribute):
                found.update(_compiled(call, names))
    return found


def network_structure(network: Any) -> str:
    """Return the layers of a network, one per line, and the number of its weights."""
    if has(network, "named_parameters", "forward"):
        lines = repr(network)[:_MAX_TEXT].splitlines()
        weights = [(int(part.numel()), bool(part.requires_grad)) for part in network.parameters()]
        total, trained = sum(size for size, _ in weights), sum(size for size, learns in weights if learns)
    else:
        layers = list(network.layers)
        lines = [type(network).__name__, *(f"  {layer.name}: {_layer(layer)}" for layer in layers[:_MAX_LINES])]
        sizes = [_size(weight) for weight in network.weights]
        total, trained = sum(sizes), sum(_size(weight) for weight in network.trainable_weights)
    if len(lines) > _MAX_LINES:
        lines = [*lines[:_MAX_LINES], "…"]
    return "\n".join([*lines, f"{total:,} weights, {trained:,} of them trainable"])


def _is_part(value: Any, fitted: Sequence[Any]) -> bool:
    if is_estimator(value) and not keeps_state(value):
        return False
    return keeps_state(value) or is_loader(value) or any(value is other for other in fitted)


def _part_params(name: str, part: Any, call: ast.Call | None, names: Names) -> dict[str, Any]:
    kind = type(part)
    found: dict[str, Any] = {} if is_network(part) or not keeps_state(part) else {name: kind.__name__}
    # The arguments of other functions, or of other classes, are not those of the part.
    if call is not None and resolve(call.func, names) in kind.__mro__:
        found.update({f"{name}.{word}": value for word, value in _arguments(kind, call, names).items()})
    return found


def _constructor_call(node: ast.expr) -> ast.Call | None:
    """Return the call of a class in ``Net(8).to(device)``."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and called_name(node) in _MOVED:
        node = node.func.value
    return node if isinstance(node, ast.Call) else None


def _arguments(kind: type, call: ast.Call, names: Names) -> dict[str, Any]:
    """Return the arguments of a call that are settings, by the names of the parameters."""
    words: list[tuple[str, ast.expr]] = []
    if call.args and not any(isinstance(argument, ast.Starred) for argument in call.args):
        try:
            parameters = inspect.signature(kind).parameters.values()
        except (TypeError, ValueError):
            parameters = ()
        places = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        words += zip(places, call.args, strict=False)
    words += [(word.arg, word.value) for word in call.keywords if word.arg]
    found = {}
    for word, node in words:
        known, value = _setting(node, names)
        if known:
            found[word] = bounded(value)
    return found


def _setting(node: ast.expr, names: Names) -> tuple[bool, Any]:
    try:
        return True, literal(node)
    except (ValueError, TypeError, MemoryError, RecursionError):
        value = resolve(node, names)
        return isinstance(value, _PLAIN), value


def _compiled(call: ast.Call, names: Names) -> dict[str, Any]:
    """Return the settings of ``model.compile(optimizer=Adam(learning_rate=0.01), loss="mse", metrics=["mae"])``."""
    assert isinstance(call.func, ast.Attribute)
    network = resolve(call.func.value, names)
    if not is_network(network):
        return {}
    found: dict[str, Any] = {}
    words = [*zip(("optimizer", "loss"), call.args, strict=False), *((word.arg, word.value) for word in call.keywords)]
    for word, node in words:
        known, value = _setting(node, names)
        if word and known and value is not None:
            found[word] = bounded(value)
        elif word and isinstance(node, ast.Call) and called_name(node)[:1].isupper():
            found[word] = called_name(node)
            arguments = [(part.arg, *_setting(part.value, names)) for part in node.keywords]
            found.update({f"{word}.{name}": bounded(value) for name, known, value in arguments if name and known})
    return found


def _called_networks(calls: list[ast.Call], names: Names) -> list[tuple[str, Any]]:
    found: dict[int, tuple[str, Any]] = {}
    for call in calls:
        value = resolve(call.func, names)
        if is_network(value):
            found.setdefault(id(value), (ast.unparse(call.func), value))
    return list(found.values())


def _wrapped(node: ast.expr) -> ast.expr:
    """Return the iterable in ``enumerate(loader)`` or ``tqdm(loader)``."""
    while isinstance(node, ast.Call) and node.args and called_name(node) in ("enumerate", "tqdm", "progress", "islice"):
        node = node.args[0]
    return node


def _layer(layer: Any) -> str:
    width = own(layer).get("units", own(layer).get("filters"))
    return type(layer).__name__ + (f"({width})" if isinstance(width, int) else "")


def _size(weight: Any) -> int:
    return math.prod(map(int, weight.shape))

"""Forward the methods of an MLflow store interface to another store."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any


def delegate(
    kind: type,
    interface: type,
    target: Callable[[Any], Any],
    shown: Callable[[Any, Any], Any],
    keep: Collection[str] = (),
) -> None:
    """Add to `kind` a forwarding method for every one of `interface` that it does not define itself.

    Parameters
    ----------
    kind : type
        Class derived from `interface`.
    interface : type
        MLflow's abstract store, which has more methods with each version.
    target : callable
        Returns the store to which an instance of `kind` forwards a call.
    shown : callable
        Returns what an instance of `kind` shows of a result.
    keep : collection of str
        Methods of `interface` that are not replaced.
    """
    own = {name for parent in kind.__mro__ if parent not in interface.__mro__ for name in vars(parent)}
    for name in dir(interface):
        method = getattr(interface, name)
        if name.startswith("__") or name in own or name in keep or not callable(method):
            continue
        setattr(kind, name, _forwarder(name, method, target, shown))


def _forwarder(
    name: str, method: Callable[..., Any], target: Callable[[Any], Any], shown: Callable[[Any, Any], Any]
) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return shown(self, getattr(target(self), name)(*args, **kwargs))

    call.__isabstractmethod__ = False  # type: ignore[attr-defined]
    return call

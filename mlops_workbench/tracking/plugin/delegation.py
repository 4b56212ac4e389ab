"""Hand the methods of one of MLflow's store interfaces on to a store that has them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any


def delegate(kind: type, interface: type, target: Callable[[Any], Any], keep: Collection[str] = ()) -> None:
    """Give `kind` a method for every one of `interface` that it does not define itself.

    Parameters
    ----------
    kind : type
        Class derived from `interface`.
    interface : type
        MLflow's abstract store: its methods are many, and more come with each version.
    target : callable
        Gives the store that an instance of `kind` hands a call on to.
    keep : collection of str
        Methods of `interface` that are right as they are.
    """
    own = {name for parent in kind.__mro__ if parent not in interface.__mro__ for name in vars(parent)}
    for name in dir(interface):
        method = getattr(interface, name)
        if name.startswith("__") or name in own or name in keep or not callable(method):
            continue
        setattr(kind, name, _handing_on(name, method, target))


def _handing_on(name: str, method: Callable[..., Any], target: Callable[[Any], Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(target(self), name)(*args, **kwargs)

    call.__isabstractmethod__ = False  # type: ignore[attr-defined]
    return call

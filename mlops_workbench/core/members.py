"""What objects are and have, told by their types: to ask the objects themselves would run code of the user's."""

from __future__ import annotations

from typing import Any


def is_a(value: Any, kinds: type | tuple[type, ...]) -> bool:
    """Whether an object's type is one of `kinds` or derived from one.

    `isinstance` also asks the object for its ``__class__``, which a proxy answers by making what it stands for.
    """
    return issubclass(type(value), kinds)


def has(value: Any, *names: str) -> bool:
    """Whether an object has all these attributes by its type.

    `hasattr` would call its properties and its ``__getattr__``, which may take long, change something or raise.
    """
    kind = type(value)
    return all(hasattr(kind, name) for name in names)


def own(value: Any) -> dict[str, Any]:
    """Attributes that an object was given, as it keeps them."""
    try:
        found = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}

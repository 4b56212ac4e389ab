"""Types and attributes of objects, read without running code of the objects."""

from __future__ import annotations

from typing import Any


def is_a(value: Any, kinds: type | tuple[type, ...]) -> bool:
    """Return whether an object's type is one of `kinds` or derived from one.

    `isinstance` also reads the object's ``__class__``; a proxy may create its target object for this.
    """
    return issubclass(type(value), kinds)


def has(value: Any, *names: str) -> bool:
    """Return whether an object's type has all these attributes.

    `hasattr` on the object calls properties and ``__getattr__``, which may be slow, have effects or raise.
    """
    kind = type(value)
    return all(hasattr(kind, name) for name in names)


def own(value: Any) -> dict[str, Any]:
    """Return the instance attributes of an object, from its ``__dict__``; empty when it has none."""
    try:
        found = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}

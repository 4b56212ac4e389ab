"""Types of parameters, which convert and check values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Literal

from mlops_workbench.core.errors import InvalidInput, did_you_mean
from mlops_workbench.notebooks.parameters.bounds import NO_BOUNDS, Bounds
from mlops_workbench.notebooks.parameters.scalars import SCALARS, Unfit
from mlops_workbench.notebooks.parameters.text import NO_VALUE, Text, guessed, parse_literal

Kind = Literal[
    "any", "bool", "int", "float", "complex", "str", "bytes", "date", "datetime", "time", "timedelta", "decimal",
    "path", "choice", "list", "tuple", "set", "frozenset", "dict", "union",
]  # fmt: skip
_COLLECTIONS = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}


@dataclass(frozen=True)
class ParameterType:
    """Type of a parameter.

    Attributes
    ----------
    kind : str
        ``any`` accepts every value; annotations with other classes have this kind.
    optional : bool
        Whether None is allowed.
    items : tuple of ParameterType
        ``list``, ``set``, ``frozenset``: type of the items; ``dict``: of keys and values; ``tuple``: of each item, or
        of all (`endless`); ``union``: the alternatives. Empty when not declared.
    choices : tuple
        Allowed values of a ``choice``.
    endless : bool
        Whether it is a ``tuple[X, ...]``.
    bounds : Bounds
        Bounds of the value.
    """

    kind: Kind
    optional: bool = False
    items: tuple[ParameterType, ...] = ()
    choices: tuple[object, ...] = ()
    endless: bool = False
    bounds: Bounds = NO_BOUNDS

    def __str__(self) -> str:
        return self._text(ParameterType.__str__)

    def described(self) -> str:
        """Return the type as text, with its bounds: ``int (1 to 12) or None``."""
        return self._text(ParameterType.described, f" ({self.bounds})" if self.bounds else "")

    def _text(self, of: Callable[[ParameterType], str], bounds: str = "") -> str:
        inner = ", ".join(of(item) for item in self.items)
        if self.kind == "union":
            text = " | ".join(of(item) for item in self.items)
        elif self.kind == "choice":
            text = "one of " + ", ".join(repr(choice) for choice in self.choices)
        elif inner:
            text = f"{self.kind}[{inner}{', ...' if self.endless else ''}]"
        else:
            text = self.kind
        return f"{text}{bounds} or None" if self.optional and self.kind != "any" else text + bounds

    def convert(self, value: object) -> object:
        """Convert a value or its text (``"3"`` to 3) to this type, without loss.

        Raises
        ------
        InvalidInput
            The value does not represent exactly one value of this type, or is out of its bounds.
        """
        value = _unboxed(value)
        if value is None and (self.optional or self.kind == "any"):
            return None
        if self.optional and isinstance(value, str) and self._stands_for_none(value):
            return None
        try:
            converted = self._converted(value)
        except Unfit as error:
            raise self._refusal(value, str(error) or None) from None
        problem = self.bounds.problem(converted) if self.bounds else None
        if problem is not None:
            raise InvalidInput(f"{_shown(converted)} {problem}")
        return converted

    def required(self) -> ParameterType:
        """Return the type without None."""
        return replace(self, optional=False)

    def all(self) -> Iterator[ParameterType]:
        """Yield this type and the types in it."""
        yield self
        for item in self.items:
            yield from item.all()

    def _stands_for_none(self, text: str) -> bool:
        if text.strip().lower() not in NO_VALUE:
            return False
        if self.kind == "choice":
            return text not in map(str, self.choices)
        kinds = {item.kind for item in (self.items if self.kind == "union" else (self,))}
        # An optional text may be "None"; only what was typed in a shell or a form can stand for None.
        return isinstance(text, Text) or not kinds & {"any", "str", "bytes"}

    def _converted(self, value: object) -> object:
        if self.kind in SCALARS:
            return SCALARS[self.kind](value)
        if self.kind == "any":
            return guessed(value) if isinstance(value, Text) else value
        if self.kind == "choice":
            return self._choice(value)
        if self.kind == "union":
            return self._union(value)
        return self._dict(value) if self.kind == "dict" else self._collection(value)

    def _choice(self, value: object) -> object:
        for choice in self.choices:
            if type(choice) is type(value) and choice == value:
                return choice
        if isinstance(value, str):
            for choice in self.choices:
                if str(choice) == value:
                    return choice
        for choice in self.choices:
            kind = type_of_value(choice)
            if kind.kind in SCALARS:
                try:
                    if SCALARS[kind.kind](value) == choice:
                        return choice
                except Unfit:
                    continue
        raise Unfit(did_you_mean(str(value), [str(choice) for choice in self.choices]))

    def _union(self, value: object) -> object:
        if not isinstance(value, Text):
            for item in self.items:
                # Of list[int] | list[str], ["1"] is already the second.
                found = item._attempt(value)
                if found is not None and type(found[0]) is type(value) and repr(found[0]) == repr(value):
                    return found[0]
            if (kind := type_of_value(value).kind) not in ("any", "str"):
                for item in self.items:
                    if item.kind == kind and (found := item._attempt(value)) is not None:
                        return found[0]
        # Every text is a str and bytes, so these are the last to read it.
        texts = ("str", "bytes", "path")
        for item in sorted(self.items, key=lambda item: texts.index(item.kind) + 1 if item.kind in texts else 0):
            if (found := item._attempt(value)) is not None:
                return found[0]
        raise Unfit

    def _attempt(self, value: object) -> tuple[object] | None:
        try:
            return (self.convert(value),)
        except InvalidInput:
            return None

    def _collection(self, value: object) -> object:
        make = _COLLECTIONS[self.kind]
        items = self._listed(value) if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)):
            # The order of a set says nothing, so that no list is made of it.
            if make in (list, tuple) or not isinstance(items, (set, frozenset)):
                raise Unfit
            items = list(items)
        converted: list[object]
        if self.kind != "tuple" or self.endless or not self.items:
            item = self.items[0] if self.items else ParameterType("any", optional=True)
            converted = [item.convert(part) for part in items]
        elif len(items) == len(self.items):
            converted = [item.convert(part) for item, part in zip(self.items, items, strict=True)]
        else:
            raise Unfit(f"it has {len(self.items)} items")
        return _hashed(make, converted)

    def _listed(self, text: str) -> object:
        """Return the items of a bracketed or a comma-separated text."""
        plain = text.strip()
        if plain.startswith(("[", "(", "{")) or plain in ("set()", "frozenset()"):
            return () if plain.endswith("set()") else self._parsed(plain)
        parts = [part.strip() for part in text.split(",") if part.strip()]
        # A part is as little known as the whole text was.
        return [Text(part) for part in parts] if isinstance(text, Text) or not self.items else parts

    def _dict(self, value: object) -> object:
        given = self._parsed(value) if isinstance(value, str) else value
        if not isinstance(given, Mapping):
            raise Unfit
        if len(self.items) != 2:
            return dict(given)
        keys, values = self.items
        pairs = [(keys.convert(key), values.convert(item)) for key, item in given.items()]
        found = _hashed(dict, pairs)
        if len(found) < len(pairs):
            raise Unfit("two of its keys are the same value")
        return found

    def _parsed(self, text: str) -> object:
        try:
            return parse_literal(text)
        except ValueError:
            example = '{"a": 1}' if self.kind == "dict" else "[1, 2]"
            raise Unfit(f"write it as {example}") from None

    def _refusal(self, value: object, hint: str | None) -> InvalidInput:
        article = "" if self.kind == "choice" else "an " if str(self)[0] in "aiou" else "a "
        return InvalidInput(f"{_shown(value)} is not {article}{self}", hint=hint)


_TYPES: dict[type, Kind] = {
    bool: "bool", int: "int", float: "float", complex: "complex", str: "str", bytes: "bytes",
    date: "date", datetime: "datetime", time: "time", timedelta: "timedelta", Decimal: "decimal",
    tuple: "tuple", set: "set", frozenset: "frozenset", dict: "dict",
}  # fmt: skip


def type_of_value(value: object) -> ParameterType:
    """Return the type of a default value."""
    if value is None:
        return ParameterType("any", optional=True)
    if isinstance(value, PurePath):
        return ParameterType("path")
    if isinstance(value, list):
        items = {type_of_value(item) for item in value}
        return ParameterType("list", items=tuple(items) if len(items) == 1 else ())
    return ParameterType(_TYPES.get(type(value), "any"))


def choice_type(choices: tuple[object, ...]) -> ParameterType:
    """Return the type whose values are these; None among them makes it optional."""
    # 1 and True are equal, but two choices.
    different = {(type(choice), choice): choice for choice in choices}
    present = tuple(choice for choice in different.values() if choice is not None)
    return ParameterType("choice", optional=any(choice is None for choice in choices), choices=present)


def union_type(alternatives: list[ParameterType]) -> ParameterType:
    """Return the type whose values are those of all alternatives."""
    types: list[ParameterType] = []
    optional = any(kind.optional for kind in alternatives)
    for kind in alternatives:
        if kind == ParameterType("any", optional=True):
            continue
        plain = kind.required()
        nested = plain.kind == "union" and not plain.bounds
        types += [item for item in (plain.items if nested else (plain,)) if item not in types]
    if len(types) == 1:
        return replace(types[0], optional=optional)
    if not types or any(kind.kind == "any" for kind in types):
        return ParameterType("any", optional=optional)
    return ParameterType("union", optional, tuple(types))


def _unboxed(value: object) -> object:
    # NumPy scalars are recognized by their module, so that NumPy is not imported.
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == () and hasattr(value, "item"):
        item: object = value.item()
        return item
    return value


def _hashed(make: Callable[[list[Any]], Collection[object]], items: list[Any]) -> Collection[object]:
    try:
        return make(items)
    except TypeError:
        raise Unfit("a set or the keys of a dict cannot hold lists, sets or dicts") from None


def _shown(value: object) -> str:
    text = repr(str(value) if isinstance(value, Text) else value)
    return text if len(text) <= 80 else text[:77] + "..."

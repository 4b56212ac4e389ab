"""YAML read node by node, so that every error can name file, line and column."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from mlops_workbench.core.errors import SpecError, did_you_mean
from mlops_workbench.pipelines.definition.nouns import Place
from mlops_workbench.pipelines.definition.problems import Problems

_WORDS = {"null": "nothing", "map": "a mapping", "seq": "a list", "str": "text", "int": "a whole number",
          "float": "a number", "bool": "true or false", "timestamp": "a date"}  # fmt: skip

#: Levels of a document; a pipeline has seven.
_MOST_LEVELS = 50


@dataclass(frozen=True)
class YamlNode:
    """A value in a YAML file.

    Attributes
    ----------
    place : Place
        Where the value begins, or its key if the value begins on a later line.
    key : Place
        Where its key begins; `place` for items of a list.
    """

    node: yaml.Node
    file: str
    place: Place
    key: Place

    @property
    def line(self) -> int:
        """Line of the value, or of its key."""
        return self.place.line

    @property
    def where(self) -> str:
        """``file:line:column``."""
        return f"{self.file}:{self.place}"

    @property
    def empty(self) -> bool:
        """Whether the key has no value."""
        return self._kind == "null"

    @property
    def is_mapping(self) -> bool:
        """Whether the value has keys."""
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        """Whether the value is a list."""
        return isinstance(self.node, yaml.SequenceNode)

    @property
    def _kind(self) -> str:
        return str(self.node.tag).rpartition(":")[2]

    @property
    def kind(self) -> str:
        """Type of the value for messages."""
        return _WORDS.get(self._kind, f"'{self.node.tag}'")

    def error(self, message: str, hint: str | None = None) -> SpecError:
        """An error with the place of this value."""
        return SpecError(message, where=self.where, hint=hint)

    def key_error(self, message: str, hint: str | None = None) -> SpecError:
        """An error with the place of the value's key."""
        return SpecError(message, where=f"{self.file}:{self.key}", hint=hint)

    def mapping(self, what: str) -> dict[str, YamlNode]:
        """Keys and values of a mapping; an empty value counts as an empty mapping."""
        if self.empty:
            return {}
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error(f"{what} must be a mapping, not {self.kind}", "write 'name: value' lines below it")
        found: dict[str, YamlNode] = {}
        problems = Problems()
        for key, value in self.node.value:
            place = _place(key)
            name = YamlNode(key, self.file, place, place)
            if not isinstance(key, yaml.ScalarNode) or (name._kind != "str" and not _is_on(key)):
                text = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
                hint = f'write "{text}"' if text else None
                problems.add(name.error(f"a key of {what} must be text, not {name.kind}", hint))
            elif key.value in found:
                hint = f"first on line {found[key.value].key.line}"
                problems.add(name.error(f"'{key.value}' is given twice in {what}", hint))
            else:
                begin = _place(value)
                here = begin if begin.line == place.line and not _is_empty(value) else place
                found[key.value] = YamlNode(value, self.file, here, place)
        problems.check()
        return found

    def record(self, what: str, known: Iterable[str], required: Iterable[str] = ()) -> dict[str, YamlNode]:
        """A mapping with only known keys; all unknown and all missing ones are reported."""
        entries = self.mapping(what)
        names = list(known)
        problems = Problems()
        for key, value in entries.items():
            if key not in names:
                problems.add(value.key_error(f"unknown key '{key}' in {what}", did_you_mean(key, names)))
        for key in required:
            if key not in entries or entries[key].empty:
                problems.add(self.error(f"{what} lacks '{key}'", f"add '{key}: ...'"))
        problems.check()
        return entries

    def items(self, what: str) -> list[YamlNode]:
        """Items of a list; an empty value counts as an empty list."""
        if self.empty:
            return []
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error(f"{what} must be a list, not {self.kind}", "write [a, b], or '- a' lines below it")
        return [YamlNode(item, self.file, _place(item), _place(item)) for item in self.node.value]

    def text(self, what: str) -> str:
        """A value that must be non-empty text."""
        value = self.value()
        if not isinstance(value, str) or not value:
            raise self.error(f"{what} must be text, not {self.kind}", "put it in quotes" if not self.empty else None)
        return value

    def value(self) -> object:
        """The value as a Python object."""
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_object(self.node, deep=True)
        except yaml.MarkedYAMLError as error:
            raise self.error(f"cannot be read: {error.problem}") from error
        except ValueError as error:  # a timestamp such as 2026-13-01
            raise self.error(f"cannot be read: {error}") from error
        except RecursionError as error:
            raise self.error("is nested too deeply") from error
        except TypeError as error:  # a list or mapping as a key
            raise self.error("cannot be read: a key is a list or a mapping") from error
        finally:
            loader.dispose()


def _place(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def _is_empty(node: yaml.Node) -> bool:
    return str(node.tag).endswith(":null")


def _is_on(key: yaml.ScalarNode) -> bool:
    """Whether it is the plain word ``on``, which YAML 1.1 reads as true."""
    return bool(key.value == "on")


class _Loader(yaml.SafeLoader):
    """Composes a document of limited depth: the interpreter's limit is met only after seconds."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > _MOST_LEVELS:
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "it is nested too deeply", event.start_mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def read_text(path: Path) -> str:
    """Text of a YAML file, with its line ends as they are.

    Raises
    ------
    SpecError
        The file cannot be read.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"cannot be read: {error}", where=str(path)) from error


def parse_yaml(text: str, path: Path) -> YamlNode:
    """Root of a YAML document.

    Raises
    ------
    SpecError
        The text is not YAML.
    """
    try:
        root = yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        reason = " ".join(part for part in (error.context, error.problem) if part)
        hint = "check the indentation and the quotes"
        raise SpecError(f"is not valid YAML: {reason}", where=f"{path}:{place}", hint=hint) from error
    except yaml.YAMLError as error:
        raise SpecError(f"is not valid YAML: {error}", where=str(path)) from error
    if root is None:
        raise SpecError("is empty", where=f"{path}:1:1", hint="begin with 'version: 2' and 'stages:'")
    return YamlNode(root, str(path), _place(root), _place(root))

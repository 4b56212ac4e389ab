"""YAML read node by node, so that every error can name file and line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from mlops_workbench.core.errors import SpecError, did_you_mean

_WORDS = {"null": "nothing", "map": "a mapping", "seq": "a list", "str": "text", "int": "a whole number",
          "float": "a number", "bool": "true or false", "timestamp": "a date"}  # fmt: skip

#: Levels of a document; a pipeline has five.
_MOST_LEVELS = 50


@dataclass(frozen=True)
class YamlNode:
    """A value in a YAML file, with its line or that of its key."""

    node: yaml.Node
    file: str
    line: int

    @property
    def where(self) -> str:
        """``file:line``."""
        return f"{self.file}:{self.line}"

    @property
    def empty(self) -> bool:
        """Whether the key has no value."""
        return self._kind == "null"

    @property
    def is_mapping(self) -> bool:
        """Whether the value has keys."""
        return isinstance(self.node, yaml.MappingNode)

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

    def mapping(self, what: str) -> dict[str, YamlNode]:
        """Keys and values of a mapping; an empty value counts as an empty mapping."""
        if self.empty:
            return {}
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error(f"{what} must be a mapping, not {self.kind}", "write 'name: value' lines below it")
        found: dict[str, YamlNode] = {}
        for key, value in self.node.value:
            line = key.start_mark.line + 1
            name = YamlNode(key, self.file, line)
            if not isinstance(key, yaml.ScalarNode) or name._kind != "str":
                text = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
                raise name.error(f"a key of {what} must be text, not {name.kind}", f'write "{text}"' if text else None)
            if key.value in found:
                raise name.error(f"'{key.value}' is given twice in {what}", f"first on line {found[key.value].line}")
            found[key.value] = YamlNode(value, self.file, line)
        return found

    def record(self, what: str, known: Iterable[str], required: Iterable[str] = ()) -> dict[str, YamlNode]:
        """A mapping with only known keys."""
        entries = self.mapping(what)
        names = list(known)
        for key, value in entries.items():
            if key not in names:
                raise value.error(f"unknown key '{key}' in {what}", did_you_mean(key, names))
        for key in required:
            if key not in entries or entries[key].empty:
                raise self.error(f"{what} lacks '{key}'", f"add '{key}: ...'")
        return entries

    def items(self, what: str) -> list[YamlNode]:
        """Items of a list; an empty value counts as an empty list."""
        if self.empty:
            return []
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error(f"{what} must be a list, not {self.kind}", "write [a, b], or '- a' lines below it")
        return [YamlNode(item, self.file, item.start_mark.line + 1) for item in self.node.value]

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
        finally:
            loader.dispose()


class _Loader(yaml.SafeLoader):
    """Composes a document of limited depth: the interpreter's limit is met only after seconds."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > _MOST_LEVELS:
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "it is nested too deeply", event.start_mark)
        try:
            return super().compose_node(parent, index)  # type: ignore[no-any-return]
        finally:
            self.depth -= 1


def read_yaml(path: Path) -> YamlNode:
    """Root of a YAML file.

    Raises
    ------
    SpecError
        The file cannot be read or is not YAML.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"cannot be read: {error}", where=str(path)) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        reason = " ".join(text for text in (error.context, error.problem) if text)
        raise SpecError(f"is not valid YAML: {reason}", where=f"{path}:{line}", hint="check the indentation") from error
    except yaml.YAMLError as error:
        raise SpecError(f"is not valid YAML: {error}", where=str(path)) from error
    if root is None:
        raise SpecError("is empty", where=f"{path}:1", hint="begin with 'version: 1' and 'stages:'")
    return YamlNode(root, str(path), root.start_mark.line + 1)

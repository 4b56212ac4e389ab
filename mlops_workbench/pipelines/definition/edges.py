"""Inputs and outputs of a stage in a spec."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePosixPath
from typing import get_args
from urllib.parse import urlsplit

from mlops_workbench.core.errors import UNREADABLE
from mlops_workbench.pipelines.definition.nouns import InputSpec, OutputSpec, OutputType
from mlops_workbench.pipelines.definition.values import environment_variable, one_of
from mlops_workbench.pipelines.definition.yaml_nodes import YamlNode

OUTPUT_TYPES: tuple[OutputType, ...] = get_args(OutputType)
OUTPUT_KEYS = ("path", "type")
DATASET_KEYS = ("dataset",)
SQL_KEYS = ("sql", "connection")
SECRET = "secret:"  # noqa: S105 - the word before the name of a variable

_TYPES: dict[str, OutputType] = {
    ".parquet": "table", ".csv": "table", ".feather": "table", ".npy": "array", ".npz": "array", ".skops": "model",
    ".json": "json", ".png": "figure", ".svg": "figure", ".html": "figure",
}  # fmt: skip
_CHOICE = re.compile(r"(?P<output>[^.\[\]]+)\[\s*(?P<how>[a-z]+)\s+(?P<metric>[^\[\]]*[^\[\]\s])\s*\]\Z")
_DATASET = re.compile(r"[^@\s](?:[^@]*[^@\s])?(?:@[A-Za-z0-9]+)?\Z")
_CHOOSE_HINT = "write STAGE.OUTPUT[max METRIC], or [min METRIC]; without brackets the notebook gets a list of all"


def read_input(node: YamlNode, name: str, stages: Collection[str], version: int) -> InputSpec:
    """Read an input of a stage: text, or a mapping for a data set or a query."""
    what = f"input '{name}'"
    if version == 1 or not node.is_mapping:
        return _text_input(node, node.text(f"'{name}'"), stages, version)
    keys = node.mapping(what)
    if "dataset" in keys:
        entries = node.record(what, DATASET_KEYS)
        text = entries["dataset"].text("dataset")
        if not _DATASET.match(text):
            raise entries["dataset"].error(f"'{text[:80]}' is not a data set", "write NAME or NAME@VERSION")
        return InputSpec("dataset", text, place=node.place)
    if "sql" in keys or "connection" in keys:
        entries = node.record(what, SQL_KEYS, required=SQL_KEYS)
        return InputSpec(
            "sql", entries["sql"].text("sql"), connection=_connection(entries["connection"]), place=node.place
        )
    node.record(what, (*DATASET_KEYS, *SQL_KEYS))
    raise node.error(f"{what} is an empty mapping", "write {dataset: NAME}, or {sql: QUERY, connection: URL}")


def _text_input(node: YamlNode, text: str, stages: Collection[str], version: int) -> InputSpec:
    if "\0" in text:
        raise node.error("a path cannot contain a NUL character")
    stage, dot, output = text.partition(".")
    if dot and stage in stages:
        if output.isidentifier():
            return InputSpec("stage", stage, output, place=node.place)
        if version > 1 and (match := _CHOICE.match(output)):
            how = {"best": "max"}.get(match["how"], match["how"])
            if how not in ("max", "min"):
                raise node.error(f"'{match['how']}' does not choose an instance of stage '{stage}'", _CHOOSE_HINT)
            choose = f"{how} {match['metric'].strip('`')}"
            return InputSpec("stage", stage, match["output"], choose, place=node.place)
        if version > 1 and output.endswith("]"):
            raise node.error(f"'{text[:80]}' does not choose an instance of stage '{stage}'", _CHOOSE_HINT)
    return InputSpec("url" if "://" in text else "file", text, place=node.place)


def _connection(node: YamlNode) -> str:
    text = node.text("connection")
    if text.startswith(SECRET):
        environment_variable(node, text.removeprefix(SECRET))
        return text
    hint = f"write a URL such as sqlite:///data/orders.db, or '{SECRET}NAME' for one in an environment variable"
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise node.error(f"'{text[:80]}' is not a connection", hint)
    try:
        password = urlsplit(text).password
    except UNREADABLE as error:
        raise node.error("the connection is not a URL", hint) from error
    if password:
        raise node.error(
            "the connection contains a password", f"keep the URL in an environment variable: '{SECRET}DB_URL'"
        )
    return text


def read_output(node: YamlNode, name: str, version: int) -> OutputSpec:
    """Read an output of a stage: a path, or a mapping of path and type."""
    if version == 1 or not node.is_mapping:
        path = _output_path(node, node.text(f"'{name}'"))
        return OutputSpec(path, type_of_path(path), place=node.place)
    entries = node.record(f"output '{name}'", OUTPUT_KEYS, required=("path",))
    path = _output_path(entries["path"], entries["path"].text("path"))
    kind = type_of_path(path)
    if "type" in entries:
        text = one_of(entries["type"], "type", OUTPUT_TYPES)
        kind = next(known for known in OUTPUT_TYPES if known == text)
    return OutputSpec(path, kind, place=node.place)


def type_of_path(path: str) -> OutputType:
    """Type of an output by the ending of its path."""
    return _TYPES.get(PurePosixPath(path).suffix.lower(), "file")


def _output_path(node: YamlNode, text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or path == PurePosixPath(".") or "\0" in text:
        raise node.error(
            f"output '{text}' must be inside the stage's output folder", "give a relative path such as model.txt"
        )
    return str(path)

"""The JSON Schema of a notebook's parameters describes the values that they take."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, FormatChecker

from mlops_workbench.notebooks.parameters.declared import parse_parameters
from mlops_workbench.notebooks.parameters.json_schema import json_schema

CELL = """\
rate: Annotated[float, Gt(0), Le(1)] = 0.1  # learning rate
depth: int
kind: Literal["a", 1, None] = "a"
since: date | None = None
names: Annotated[list[str], Len(1, 3)] = ["x"]
pair: tuple[int, str] = (1, "a")
tags: set[str] = {"b", "a"}
share: dict[str, float] = {}
code: Annotated[str, Field(min_length=1, max_length=3, pattern="^[a-z]+$")] = "a"
either: int | list[int] = 1
limit: float = inf
moment: datetime = datetime(2026, 1, 1, tzinfo=UTC)
local: datetime = datetime(2026, 1, 1)
price: Annotated[Decimal, Ge(Decimal("0.5"))] = Decimal("1.10")
wrong: int = "x"
now = datetime.now()
seed = 42
anything = None
"""


def schema_of(source: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(json.dumps(json_schema(parse_parameters(source)), allow_nan=False))
    Draft7Validator.check_schema(schema)
    return schema


def test_every_part_of_a_declaration_is_in_the_schema() -> None:
    schema = schema_of(CELL)
    assert schema["required"] == ["depth"]
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert all(entry.pop("title") == name for name, entry in properties.items())
    assert properties == {
        "rate": {
            "description": "learning rate", "type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 0.1,
        },
        "depth": {"type": "integer"},
        "kind": {"enum": ["a", 1, None], "default": "a"},
        "since": {"type": ["string", "null"], "format": "date", "default": None},
        "names": {
            "type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3, "default": ["x"],
        },
        "pair": {
            "type": "array", "items": [{"type": "integer"}, {"type": "string"}], "additionalItems": False,
            "minItems": 2, "maxItems": 2, "default": [1, "a"],
        },
        "tags": {"type": "array", "uniqueItems": True, "items": {"type": "string"}, "default": ["a", "b"]},
        "share": {
            "type": "object", "propertyNames": {"type": "string"}, "additionalProperties": {"type": "number"},
            "default": {},
        },
        "code": {"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^[a-z]+$", "default": "a"},
        "either": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}], "default": 1},
        "limit": {"anyOf": [{"type": "number"}, {"enum": ["inf", "-inf", "nan"]}], "default": "inf"},
        "moment": {"type": "string", "format": "date-time", "default": "2026-01-01T00:00:00+00:00"},
        "local": {"type": "string", "x-format": "local-date-time", "default": "2026-01-01T00:00:00"},
        "price": {
            "type": "string", "x-format": "decimal", "x-minimum": "0.5", "default": "1.10",
            "pattern": "^[-+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][-+]?[0-9]{1,9})?$",
        },
        "wrong": {"type": "integer"},
        "now": {"x-computed": "datetime.now()"},
        "seed": {"type": "integer", "default": 42},
        "anything": {"default": None},
    }  # fmt: skip


def test_a_notebook_without_parameters_has_a_schema_too() -> None:
    assert Draft7Validator(schema_of("")).is_valid({})


scalar_types = st.sampled_from(
    [
        "bool", "int", "float", "str", "Any", "Literal[1, 'a', True]", "Literal['none', 2.5]",
        "Annotated[int, Ge(-2), Lt(9)]",
        "Annotated[float, Gt(0)]", "Annotated[float, MultipleOf(0.1)]", "Annotated[int, MultipleOf(3)]",
        "Annotated[str, MinLen(1), MaxLen(2)]", "Annotated[str, Field(pattern='^[a-c]')]", "date",
    ]
)  # fmt: skip
types = st.recursive(
    scalar_types,
    lambda inner: st.one_of(
        inner.map("list[{}]".format),
        inner.map("Optional[{}]".format),
        inner.map("tuple[{}, ...]".format),
        inner.map("dict[str, {}]".format),
        inner.map("dict[int, {}]".format),
        inner.map("Annotated[list[{}], Len(1, 2)]".format),
        st.tuples(inner, inner).map(lambda pair: f"tuple[{pair[0]}, {pair[1]}]"),
        st.tuples(inner, inner).map(lambda pair: f"Union[{pair[0]}, {pair[1]}]"),
        scalar_types.map("set[{}]".format),
    ),
    max_leaves=4,
)
json_scalars = (
    st.none() | st.booleans() | st.integers(-10, 10) | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["a", "none", "null", "1", "2026-01-31", "", 0.3, 1.0, 2.5, "Infinity"]) | st.text(max_size=3)
)  # fmt: skip
json_values = st.recursive(
    json_scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["1", "-2", "a"]), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=400)
@given(types, st.lists(json_values, min_size=5, max_size=5))
def test_what_the_schema_accepts_is_a_value(annotation: str, values: list[object]) -> None:
    source = f"x: {annotation}"
    validator = Draft7Validator(schema_of(source), format_checker=FormatChecker(["date"]))
    parameter = parse_parameters(source)["x"]
    for value in values:
        if validator.is_valid({"x": value}):
            parameter.convert(value)


defaults = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.dates() | st.times() | st.timedeltas()
    | st.datetimes(timezones=st.none() | st.just(None)) | st.complex_numbers() | st.binary(max_size=3) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.integers()
        | st.text(), inner, max_size=2)
        | st.sets(st.integers() | st.text(max_size=2), min_size=1, max_size=3)
    ),
    max_leaves=4,
)  # fmt: skip


@given(defaults)
def test_every_default_that_is_known_is_valid(default: object) -> None:
    schema = schema_of(f"from math import inf, nan\nx = {default!r}")
    entry = schema["properties"]["x"]
    if "x-computed" not in entry:
        Draft7Validator(entry, format_checker=FormatChecker()).validate(entry["default"])


@pytest.mark.parametrize(
    "annotation", ["int", "list[int]", "dict[str, int]", "int | str", "Literal['a']", "date", "float"]
)
def test_the_default_of_an_optional_parameter_is_null(annotation: str) -> None:
    entry = schema_of(f"x: {annotation} = None")["properties"]["x"]
    assert entry["default"] is None
    assert Draft7Validator(entry).is_valid(None)


@pytest.mark.parametrize(
    ("annotation", "default"),
    [("int", 2**70), ("list[float]", "[float('nan')]"), ("dict[float, int]", "{inf: 1}"), ("float | int", "-inf"),
     ("dict[bool, int]", "{True: 1}"), ("dict[int, int]", "{-1: 1}"), ("Decimal", "Decimal('NaN')")],
)  # fmt: skip
def test_defaults_that_json_has_no_word_for_are_valid(annotation: str, default: object) -> None:
    source = f"x: {annotation} = {default}"
    entry = schema_of(source)["properties"]["x"]
    Draft7Validator(entry).validate(entry["default"])
    parameter = parse_parameters(source)["x"]
    assert repr(parameter.convert(entry["default"])) == repr(parameter.default)

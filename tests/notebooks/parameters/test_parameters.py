"""Declared parameters of a notebook."""

from __future__ import annotations

import ast
import contextlib
import datetime
import keyword
import string
from decimal import Decimal
from pathlib import Path

import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.notebooks.parameters.annotations import parse_type
from mlops_workbench.notebooks.parameters.declared import notebook_parameters, parse_parameters

CELL = """\
%matplotlib inline
import datetime
from pathlib import Path

formula = "a=b"          # an equals sign and a # sign are plain text: "#fff"
colour = "#fff"
rate: int = 3  # a = b
options = dict(a=1)
limit: int | None = None
kind: Literal["a", "b"] = "a"  # which
since: datetime.date = None
first, second = 1, "two"
low = 1; high = 2
day = datetime.date(2026, 1, 31)
folder = Path("data dir")
must: float
names: list[str] = [
    "x",  # not this one
    "y",
]  # of columns
count = 5  # type: float how many
computed = len(names)
if rate:
    nested = 1
"""


def test_every_top_level_assignment_is_a_parameter_with_its_type_and_default() -> None:
    found = parse_parameters(CELL)
    described = {name: (str(p.type), p.default if p.known else ...) for name, p in found.items()}
    assert described == {
        "formula": ("str", "a=b"),
        "colour": ("str", "#fff"),
        "rate": ("int", 3),
        "options": ("dict", {"a": 1}),
        "limit": ("int or None", None),
        "kind": ("one of 'a', 'b'", "a"),
        "since": ("date or None", None),
        "first": ("int", 1),
        "second": ("str", "two"),
        "low": ("int", 1),
        "high": ("int", 2),
        "day": ("date", datetime.date(2026, 1, 31)),
        "folder": ("path", Path("data dir")),
        "must": ("float", ...),
        "names": ("list[str]", ["x", "y"]),
        "count": ("float", 5),
        "computed": ("any", ...),
    }
    assert found["must"].required and not found["computed"].required
    assert found["computed"].expression == "len(names)"
    assert found["rate"].line == 7


def test_help_is_the_comment_behind_the_assignment() -> None:
    helps = {name: p.help for name, p in parse_parameters(CELL).items() if p.help}
    assert helps == {
        "formula": 'an equals sign and a # sign are plain text: "#fff"',
        "rate": "a = b",
        "kind": "which",
        "names": "of columns",
        "count": "how many",
    }


def test_broken_code_is_named_with_cell_and_line() -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("# title"),
            nbformat.v4.new_code_cell("x = 1\ny = = 2", metadata={"tags": ["parameters"]}),
        ]
    )
    with pytest.raises(InvalidInput) as caught:
        notebook_parameters(notebook, where="train.ipynb")
    assert caught.value.where == "train.ipynb, cell 2, line 2"


def test_a_notebook_without_the_tag_has_no_parameters() -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")])
    assert notebook_parameters(notebook) == {}


@pytest.mark.parametrize(
    ("annotation", "given", "value"),
    [
        ("int", "3", 3), ("int", 3.0, 3), ("int", np.int64(3), 3), ("float", "1e-3", 1e-3), ("float", 2, 2.0),
        ("bool", "False", False), ("bool", "yes", True), ("str", "3", "3"), ("str", Path("a b"), "a b"),
        ("date", "2026-01-31", datetime.date(2026, 1, 31)),
        ("datetime.datetime", "2026-01-31T01:02+00:00", datetime.datetime(2026, 1, 31, 1, 2, tzinfo=datetime.UTC)),
        ("Path", "ä b/c", Path("ä b/c")), ("Decimal", "1.10", Decimal("1.10")),
        ("Literal[1, 'x']", "1", 1), ("Literal['x', None]", None, None),
        ("Optional[int]", "None", None), ("int | None", "4", 4), ("str | None", "None", "None"),
        ("list[int]", "[1, 2]", [1, 2]), ("list[int]", "1,2", [1, 2]), ("list[int]", (1, 2), [1, 2]),
        ("list[str]", "1,2", ["1", "2"]), ("list", "1,x", [1, "x"]), ("list[int]", "", []),
        ("list[date]", "2026-01-01,2026-02-01", [datetime.date(2026, 1, 1), datetime.date(2026, 2, 1)]),
        ("tuple[int, str]", [1, "a"], (1, "a")), ("tuple[int, ...]", "1,2,3", (1, 2, 3)),
        ("dict[str, int]", '{"a": "1"}', {"a": 1}), ("int | str", "a", "a"), ("int | str", 3, 3),
        ("Annotated[int, 'unit']", "3", 3), ("'list[int]'", "3", [3]), ("pd.DataFrame", 5, 5),
    ],
)  # fmt: skip
def test_values_are_converted_to_the_declared_type(annotation: str, given: object, value: object) -> None:
    converted = parse_type(annotation).convert(given)
    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    ("annotation", "given"),
    [
        ("int", "3x"), ("int", 3.5), ("int", True), ("int", None), ("float", "a"), ("float", True), ("bool", 1),
        ("bool", "maybe"), ("str", 3), ("date", "31.1.2026"), ("date", datetime.datetime(2026, 1, 1)), ("Path", 3),
        ("Literal['a']", "b"), ("Literal[1]", True), ("list[int]", "[1, 2"), ("list[int]", [1, "x"]), ("list[int]", 3),
        ("tuple[int, int]", [1]), ("dict[str, int]", "[1]"), ("int | date", "x"), ("float", 10**400),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_refused(annotation: str, given: object) -> None:
    with pytest.raises(InvalidInput):
        parse_type(annotation).convert(given)


def test_a_declared_type_converts_text_and_refuses_other_values_by_name() -> None:
    parameters = parse_parameters("seed: int = 1\nmust: float")
    with pytest.raises(InvalidInput, match="seed: 'x' is not an int"):
        parameters["seed"].convert("x")
    assert [parameters["seed"].convert("7"), parameters["must"].convert("0.5")] == [7, 0.5]


def test_a_type_derived_from_the_default_converts_text_and_accepts_other_values() -> None:
    parameters = parse_parameters("threshold = 1\nname = None")
    assert [parameters["threshold"].convert(0.5), parameters["name"].convert("x")] == [0.5, "x"]
    assert parameters["threshold"].convert("2") == 2


names = st.text(string.ascii_letters + "_äß", min_size=1, max_size=8).filter(
    lambda name: name.isidentifier() and not keyword.iskeyword(name)
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
literals = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=6
)
comments = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="#:"), max_size=20)


@given(st.dictionaries(names, st.tuples(literals, comments), max_size=5))
def test_any_literal_default_and_any_comment_are_read_back(cell: dict[str, tuple[object, str]]) -> None:
    source = "\n".join(f"{name} = {value!r}  # {comment}" for name, (value, comment) in cell.items())
    found = parse_parameters(source)
    assert {name: p.default for name, p in found.items()} == {
        name: ast.literal_eval(repr(value)) for name, (value, _) in cell.items()
    }
    assert all(p.known and not p.declared for p in found.values())
    assert {name: p.help for name, p in found.items()} == {name: comment for name, (_, comment) in cell.items()}


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(source: str) -> None:
    with contextlib.suppress(InvalidInput):
        parse_parameters(source)

"""Declared parameters of a notebook."""

from __future__ import annotations

import ast
import contextlib
import datetime
import keyword
import math
import string
import zoneinfo
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
from mlops_workbench.notebooks.parameters.text import Text

PARIS = zoneinfo.ZoneInfo("Europe/Paris")
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


@pytest.mark.parametrize(
    ("annotation", "given", "value"),
    [
        ("int", "3.0", 3), ("int", "1e3", 1000), ("int", "0x1F", 31), ("int", str(10**400), 10**400),
        ("float", "inf", math.inf), ("float", ".inf", math.inf), ("float", "-Infinity", -math.inf),
        ("complex", "1 + 2j", 1 + 2j), ("complex", 2, 2 + 0j), ("bytes", "ä", "ä".encode()),
        ("bytes", "b'\\x00'", b"\0"), ("bytes", bytearray(b"a"), b"a"),
        ("time", "12:30", datetime.time(12, 30)), ("timedelta", "1h30m", datetime.timedelta(minutes=90)),
        ("timedelta", "-1 day, 1:00:00", datetime.timedelta(days=-1, hours=1)),
        ("timedelta", "P1DT2H", datetime.timedelta(days=1, hours=2)),
        ("timedelta", "1.5s", datetime.timedelta(seconds=1, milliseconds=500)),
        ("datetime", datetime.date(2026, 1, 31), datetime.datetime(2026, 1, 31)),
        ("datetime", "2026-07-01T12:00[Europe/Paris]", datetime.datetime(2026, 7, 1, 12, tzinfo=PARIS)),
        ("datetime",
        "2026-10-25T02:30:00+01:00[Europe/Paris]", datetime.datetime(2026, 10, 25, 2, 30, tzinfo=PARIS, fold=1)),
        ("Decimal", 1.1, Decimal("1.1")), ("Decimal", " 1.10 ", Decimal("1.10")),
        ("set[int]", "1,2", {1, 2}), ("set[int]", [1, "2"], {1, 2}), ("set", "{1, 2}", {1, 2}), ("set", "set()", set()),
        ("frozenset[str]", ["a"], frozenset(["a"])), ("Set[int]", {1}, {1}),
        ("dict[int, float]", {"1": 2}, {1: 2.0}), ("dict[int, float]", "{1: 2}", {1: 2.0}),
        ("dict[str, list[tuple[int, ...]]]", {"a": [[1, 2]]}, {"a": [(1, 2)]}),
        ("Literal[1, 'a', True]", True, True), ("Literal[1, 'a', True]", 1.0, 1), ("Literal[1, Literal[b'x']]",
        "x", b"x"),
        ("Literal['none', 'x'] | None", "none", "none"), ("Literal['x'] | None", "none", None),
        ("list[int] | list[str]", ["1"], ["1"]), ("int | str", "3", "3"), ("int | str", Text("3"), 3),
        ("int | str", Text("x"), "x"), ("float | str", Text("nan!"), "nan!"), ("str | None", Text("null"), None),
        ("str", Text("null"), "null"), ("Any", Text("3"), 3), ("Any", Text("[1, a"), "[1, a"), ("Any", "3", "3"),
        ("list", Text("1,null,x"), [1, None, "x"]), ("date | datetime",
        "2026-01-31T01:00", datetime.datetime(2026, 1, 31, 1)),
        ("'int | None'", "none", None), ("Final[int]", "3", 3), ("typing.List[int]", "3", [3]),
        ("t.Optional['int']", None, None),
        ("Union[int, 'str', None]", None, None), ("PositiveInt", "1", 1), ("torch.float", "1", "1"),
    ],
)  # fmt: skip
def test_more_types_are_read_from_values_and_texts_alike(annotation: str, given: object, value: object) -> None:
    converted = parse_type(annotation).convert(given)
    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    ("annotation", "given", "message"),
    [
        ("Annotated[int, Ge(1)]", 0, "0 must be at least 1"),
        ("Annotated[int, annotated_types.Gt(1)]", "1", "1 must be greater than 1"),
        ("Annotated[float, Interval(ge=0, lt=1)]", 1, "1.0 must be less than 1"),
        ("Annotated[float, Field(le=1e-1 * 5)]", "nan", "nan must be at most 0.5"),
        ("Annotated[int, MultipleOf(3)]", 4, "must be a multiple of 3"),
        ("Annotated[float, Field(multiple_of=0.1)]", 0.25, "must be a multiple of 0.1"),
        ("Annotated[str, MinLen(2), MaxLen(3)]", "abcd", "must have at most 3 characters"),
        ("Annotated[list[int], Len(1, 2)]", [], "must have at least 1 items"),
        ("Annotated[str, msgspec.Meta(pattern='^a')]", "b", "must match"),
        ("Annotated[date, Ge(date(2026, 1, 1))]", "2025-12-31", "must be at least 2026-01-01"),
        ("Annotated[datetime, Ge(datetime(2026, 1, 1))]", "2026-01-02T00:00Z", "must be at least"),
        ("list[Annotated[int, Le(12)]]", "1,13", "13 must be at most 12"),
        ("Annotated[int | None, Ge(1)]", "0", "must be at least 1"),
        ("Optional[Annotated[int, Ge(1)]]", "0", "must be at least 1"),
        ("set", [[1]], "is not a set"), ("dict[int, int]", {"1": 1, 1: 2}, "is not a dict"),
        ("list", {1, 2}, "is not a list"),
        ("float", "1e999", "is not a float"), ("int", "1e999999999", "is not an int"), ("int", "inf", "is not an int"),
        ("time", 750, "is not a time"), ("timedelta", "90", "is not a timedelta"), ("timedelta", "0.1us", "is not"),
        ("datetime", "2026-07-01T12:00+05:00[Europe/Paris]", "is not a datetime"), ("datetime",
        "2026-01-01T00[No/Zone]", "is not"),
        ("bytes", "\ud800", "is not a bytes"), ("str", datetime.date(2026, 1, 1), "is not a str"), ("complex", "x",
        "is not"),
        ("tuple[int, int]", "1,2,3", "is not a tuple"), ("Literal['red', 'blue']", "rad", "is not one of"),
    ],
)  # fmt: skip
def test_bounds_are_checked_and_what_would_be_lost_is_refused(annotation: str, given: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_type(annotation).convert(given)


def test_bounds_that_only_running_tells_are_left_out() -> None:
    kind = parse_type("Annotated[int, Ge(lowest()), Le(9), Field(pattern='('), Unknown(3), len]")
    assert kind.convert(-5) == -5
    assert kind.described() == "int (at most 9)"


def test_defaults_are_known_without_running_the_cell() -> None:
    source = """\
import datetime as dt, math, numpy as np
seconds = 60 * 60
rate = 1e-3 * 2
low = -1
data = Path("data") / "raw"
day = dt.date(2026, 1, 31)
moment = datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Paris"))
pause = dt.timedelta(minutes=5) * 2
limit = np.inf
fill = float("nan")
most = -math.inf
pair = (1,
        -2)
text = "a" "b"
zeros = [0] * 3
price = decimal.Decimal("1.10")
"""
    found = parse_parameters(source)
    assert {name: (str(p.type), repr(p.default)) for name, p in found.items()} == {
        "seconds": ("int", "3600"),
        "rate": ("float", "0.002"),
        "low": ("int", "-1"),
        "data": ("path", "PosixPath('data/raw')"),
        "day": ("date", "datetime.date(2026, 1, 31)"),
        "moment": ("datetime", repr(datetime.datetime(2026, 1, 1, tzinfo=PARIS))),
        "pause": ("timedelta", repr(datetime.timedelta(minutes=10))),
        "limit": ("float", "inf"),
        "fill": ("float", "nan"),
        "most": ("float", "-inf"),
        "pair": ("tuple", "(1, -2)"),
        "text": ("str", "'ab'"),
        "zeros": ("list[int]", "[0, 0, 0]"),
        "price": ("decimal", "Decimal('1.10')"),
    }


@pytest.mark.parametrize(
    "expression",
    [
        "datetime.now()", "dt.date.today()", "other * 2", 'f"{other}"', "10 ** 10 ** 10", "1 << 10 ** 9",
        '"%099999999d" % 1',
        '"ab" * 10 ** 9', "1 / 0", "np.float32(1)", "mylib.Path('a')", "Path.home()", "open('x')", "bytes(10 ** 10)",
        "a.b",
        "dict(**other)", "{**other}", "[*other]", "(lambda: 1)()", "'a' if 1 else 'b'",
    ],
)  # fmt: skip
def test_what_only_running_tells_is_computed(expression: str) -> None:
    found = parse_parameters(f"other = 1\nvalue = {expression}")["value"]
    assert (found.known, found.required, found.expression) == (False, False, expression)


def test_a_default_that_later_statements_change_is_computed() -> None:
    source = """\
a = 1
a += 1
b = [1]
b.append(2)
c = {}
c["x"] = 1
d = 1
if a:
    d = 2
e = 1
del e
f = 1
def f(): ...
g = 1
print(g)
"""
    found = parse_parameters(source)
    assert {name: p.known for name, p in found.items()} == {"a": False, "b": False, "c": False, "d": False, "g": True}


def test_help_may_stand_in_the_annotation() -> None:
    source = """\
a: Annotated[int, "days"] = 1
b: Annotated[int, Field(description="weeks")] = 1
c: Annotated[int, msgspec.Meta(description="months")] = 1
d: Annotated[int, Doc("years")] = 1  # in words of its own
e = {}  # type: dict[str, int] counts
"""
    found = parse_parameters(source)
    assert [p.help for p in found.values()] == ["days", "weeks", "months", "in words of its own", "counts"]
    assert str(found["e"].type) == "dict[str, int]"


def test_a_bare_final_takes_the_type_of_its_value() -> None:
    found = parse_parameters("a: Final = 3\nb: typing.Final = 'x'")
    assert [(str(p.type), p.declared) for p in found.values()] == [("int", False), ("str", False)]


def test_a_default_of_none_makes_its_parameter_optional() -> None:
    parameter = parse_parameters("since: date = None")["since"]
    assert parameter.convert(None) is None
    assert parameter.convert("null") is None


def test_a_cell_of_another_language_has_no_parameters_and_magics_have_none() -> None:
    assert parse_parameters("%%bash\nx=1") == {}
    assert list(parse_parameters("%%time\nfiles = !ls\nx = 1\n?x")) == ["x"]


def test_a_declared_type_converts_text_and_refuses_other_values_by_name() -> None:
    parameters = parse_parameters("seed: int = 1\nmust: float")
    with pytest.raises(InvalidInput, match="seed: 'x' is not an int"):
        parameters["seed"].convert("x")
    assert [parameters["seed"].convert("7"), parameters["must"].convert("0.5")] == [7, 0.5]


def test_a_type_derived_from_the_default_converts_text_and_accepts_other_values() -> None:
    parameters = parse_parameters("threshold = 1\nname = None")
    assert [parameters["threshold"].convert(0.5), parameters["name"].convert("x")] == [0.5, "x"]
    assert parameters["threshold"].convert("2") == 2
    assert [parameters["threshold"].convert("0.5"), parameters["name"].convert(Text("null"))] == [0.5, None]


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

"""Given values are checked all at once, and mean the same however they arrive."""

from __future__ import annotations

import datetime
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.notebooks.parameters.annotations import parse_type
from mlops_workbench.notebooks.parameters.check import check_values
from mlops_workbench.notebooks.parameters.declared import parse_parameters
from mlops_workbench.notebooks.parameters.shown import plain_value, shown
from mlops_workbench.notebooks.parameters.text import Text

CELL = """\
rate: float = 0.1
depth: int = 3
since: date
token = ""
"""


def test_values_are_converted_by_name() -> None:
    values = check_values(parse_parameters(CELL), {"since": "2026-01-31", "rate": "inf"}, supplied=["token"])
    assert values == {"since": datetime.date(2026, 1, 31), "rate": math.inf}


def test_all_problems_are_one_error_with_the_nearest_names() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_values(parse_parameters(CELL), {"rat": 1, "depth": "x", "token": "a"}, supplied=["token"])
    message = caught.value.message
    for part in (
        "the notebook has no parameter 'rat' (did you mean 'rate'?)",
        "depth: 'x' is not an int",
        "token: its value comes from elsewhere",
        "the notebook needs a value for parameter 'since' (it is of type date)",
    ):
        assert part in message


def test_a_single_problem_has_its_own_hint_and_place() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_values(parse_parameters("depth = 1"), {"dept": 1}, owner="notebook 'a.ipynb'", where="a.ipynb, cell 1")
    assert caught.value.to_dict() == {
        "code": "invalid_input",
        "message": "notebook 'a.ipynb' has no parameter 'dept'",
        "where": "a.ipynb, cell 1",
        "hint": "did you mean 'depth'?",
    }
    with pytest.raises(InvalidInput, match="needs the tag 'parameters'"):
        check_values({}, {"x": 1})


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        ("int", "3", 3), ("float", "1e-3", 0.001), ("float", "2", 2.0), ("bool", "true", True), ("str", "a=b", "a=b"),
        ("date", "2026-01-31", datetime.date(2026, 1, 31)), ("Decimal", "1.1", Decimal("1.1")), ("Path",
        "a/b", Path("a/b")),
        ("datetime", "2026-01-31T12:00:00Z", datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)),
        ("list[int]", "[1, 2]", [1, 2]), ("dict[str, float]", '{"a": 1}', {"a": 1.0}), ("int | None", "null", None),
        ("str | None", "null", None), ("int | str", "3", 3), ("Literal[1, 2]", "1", 1), ("set[int]", "[1]", {1}),
        ("tuple[int, str]", '[1, "a"]', (1, "a")), ("list[int | None]", "[1, null]", [1, None]), ("Any", "3", 3),
    ],
)  # fmt: skip
def test_a_shell_yaml_and_json_give_the_same_value(annotation: str, text: str, value: object) -> None:
    kind = parse_type(annotation)
    ways: list[Any] = [Text(text), yaml.safe_load(text)]
    try:
        ways.append(json.loads(text))
    except json.JSONDecodeError:
        ways.append(json.loads(json.dumps(text)))
    for way in ways:
        converted = kind.convert(way)
        assert (converted, type(converted)) == (value, type(value))


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (math.inf, "inf"), (-math.inf, "-inf"), (math.nan, "nan"), (0.1, 0.1), (10**30, "1" + "0" * 30), (True, True),
        (None, None), ("inf", "inf"), ([1, math.inf], '[1, "inf"]'), ({1: (2,)}, '{"1": [2]}'), ({3, 1}, "[1, 3]"),
        (datetime.date(2026, 1, 31), "2026-01-31"), (Path("a"), "a"), (Decimal("1.10"), "1.10"), (b"\0", "b'\\x00'"),
        (np.float64("inf"), "inf"), (np.int8(3), 3), (1 + 2j, "(1+2j)"), (datetime.timedelta(hours=1), "1:00:00"),
        ("\ud800", "\\ud800"),
    ],
)  # fmt: skip
def test_values_are_shown_and_recorded_as_what_they_are(value: object, seen: object) -> None:
    assert (shown(value), type(shown(value))) == (seen, type(seen))


plain = st.one_of(
    st.tuples(st.just("int"), st.integers()),
    st.tuples(st.just("float"), st.floats()),
    st.tuples(st.just("complex"), st.complex_numbers(allow_nan=False)),
    st.tuples(st.just("bytes"), st.binary()),
    st.tuples(st.just("date"), st.dates()),
    st.tuples(st.just("time"), st.times()),
    st.tuples(st.just("datetime"), st.datetimes(timezones=st.none() | st.timezones(), allow_imaginary=False)),
    st.tuples(st.just("timedelta"), st.timedeltas()),
    st.tuples(st.just("Decimal"), st.decimals(allow_nan=False)),
    st.tuples(st.just("Path"), st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).map(Path)),
    st.tuples(st.just("set[int]"), st.sets(st.integers())),
    st.tuples(st.just("dict[int, tuple[date, ...]]"), st.dictionaries(st.integers(), st.lists(st.dates()).map(tuple))),
)


@given(plain)
def test_what_is_shown_is_read_back(case: tuple[str, object]) -> None:
    annotation, value = case
    found = parse_type(annotation).convert(json.loads(json.dumps(plain_value(value))))
    assert found == value or repr(found) == repr(value)
    assert type(found) is type(value)

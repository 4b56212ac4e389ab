"""What is typed for a parameter means exactly these values, and each is one that the parameter takes."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.notebooks.parameters.declared import Parameter, parse_parameters
from mlops_workbench.pipelines.sweeps.parse import read_space
from mlops_workbench.pipelines.sweeps.space import Choices, Dimension, Normal, Range, Space

CELL = """\
from typing import Annotated, Literal
lr: float = 0.1
depth: int = 3
plain = 2
name: str = "a"
kind: Literal["rf", "xgb"] = "rf"
maybe: int | None = None
months: list[int] = []
flag: bool = False
settings: dict[str, int] = {}
share: Annotated[float, Ge(0), Le(1)] = 0.5
even: Annotated[int, MultipleOf(2)] = 2
"""
PARAMETERS = parse_parameters(CELL)


def space(params: dict[str, object] | None = None, **texts: str) -> Space:
    return read_space(PARAMETERS, params or {}, texts, "notebook 't.ipynb'")


def values(dimension: Dimension) -> list[object]:
    assert not isinstance(dimension, Normal)
    return [dimension.point(index) for index in range(dimension.size or 0)]


def listed(name: str, text: str) -> list[object]:
    found = space(**{name: text})
    return [found.fixed[name]] if name in found.fixed else values(found.dimensions[name])


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("lr", "0.1,0.2,3", [0.1, 0.2, 3.0]),
        ("lr", "[0.1, 1e-3]", [0.1, 0.001]),
        ("lr", "0..1..0.25", [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("lr", "0..0.3..0.1", [0.0, 0.1, 0.2, 0.3]),
        ("lr", "inf,nan", [math.inf, math.nan]),
        ("lr", "linspace(0..1, 3)", [0.0, 0.5, 1.0]),
        ("depth", "2..5", [2, 3, 4, 5]),
        ("depth", " 2 .. 8 .. 3 ", [2, 5, 8]),
        ("depth", "-2..1", [-2, -1, 0, 1]),
        ("depth", "randint(1, 3)", [1, 2, 3]),
        ("depth", "7", [7]),
        ("depth", "1,1,2", [1, 2]),
        ("depth", "log(1..64, 7)", [1, 2, 4, 8, 16, 32, 64]),
        ("plain", "1..2..0.5", [1.0, 1.5, 2.0]),
        ("plain", "1,2.5", [1, 2.5]),
        ("name", "a,b", ["a", "b"]),
        ("name", "'a,b',c", ["a,b", "c"]),
        ("name", "it's,2..8", ["it's", "2..8"]),
        ("name", "''", [""]),
        ("name", "uniform(0; 1)", ["uniform(0; 1)"]),
        ("kind", "choice(rf, xgb)", ["rf", "xgb"]),
        ("maybe", "3,none", [3, None]),
        ("maybe", "1..3", [1, 2, 3]),
        ("months", "1,2", [[1, 2]]),
        ("months", "[1, 2]", [[1, 2]]),
        ("months", "[[1, 2], [3]]", [[1, 2], [3]]),
        ("flag", "true,false", [True, False]),
        ("even", "2..6..2", [2, 4, 6]),
    ],
)
def test_a_text_means_these_values(name: str, text: str, expected: list[object]) -> None:
    found = listed(name, text)
    assert list(map(repr, found)) == list(map(repr, expected))


@pytest.mark.parametrize(
    ("given_value", "name", "expected"),
    [
        ([0.1, 0.2], "lr", [0.1, 0.2]),
        ({"values": [1, 2]}, "depth", [1, 2]),
        ({"value": 4}, "depth", [4]),
        ({"low": 1, "high": 2}, "depth", [1, 2]),
        ({"low": 0, "high": 1, "step": 0.5}, "lr", [0.0, 0.5, 1.0]),
        ({"low": 0.01, "high": 1, "log": True, "count": 3}, "lr", [0.01, 0.1, 1.0]),
        ("1..3..1", "lr", [1.0, 2.0, 3.0]),
        ("a,b", "name", ["a,b"]),
        ([[1], [2]], "months", [[1], [2]]),
        ([1, 2], "months", [[1, 2]]),
        ({"low": 1}, "settings", [{"low": 1}]),
    ],
)
def test_a_request_or_a_file_can_say_it_too(given_value: object, name: str, expected: list[object]) -> None:
    found = space({name: given_value})
    got = [found.fixed[name]] if name in found.fixed else values(found.dimensions[name])
    assert got == pytest.approx(expected) if name == "lr" else got == expected


def test_a_distribution_stays_within_the_bounds_of_its_parameter() -> None:
    (normal,) = space(share="normal(0.9, 5)").dimensions.values()
    drawn = [normal.at(index / 100) for index in range(100)]
    assert all(isinstance(value, float) and 0 <= value <= 1 for value in drawn)
    assert drawn == sorted(drawn)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("depth", "8..2", "write the smaller one first: 2..8"),
        ("depth", "2..8..0", "step above zero"),
        ("depth", "1,x", "'x' is not an int"),
        ("lr", "log(0..1)", "begin above zero"),
        ("lr", "unifrom(0, 1)", "uniform"),
        ("lr", "uniform(1)", "two numbers"),
        ("lr", "0.1,,0.2", "lacks a value"),
        ("share", "0..2", "at most 1"),
        ("share", "0.5,7", "at most 1"),
        ("even", "2..5", "multiple of 2"),
        ("kind", "rf,svm", "svm"),
        ("rl", "1,2", "did you mean 'lr'"),
        ("depth", "normal(0, 1)", "whole numbers"),
    ],
)
def test_an_error_names_the_parameter_and_says_what_to_write(name: str, text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as error:
        space(**{name: text})
    assert says in str(error.value)
    assert name in str(error.value)


finite = st.floats(-1e9, 1e9).map(lambda value: value + 0.0)


@given(st.lists(finite, min_size=1, max_size=6))
def test_a_list_of_numbers_gives_each_of_them_once_and_in_order(numbers: list[float]) -> None:
    assert listed("lr", ",".join(map(repr, numbers))) == list({repr(number): number for number in numbers}.values())


@given(st.integers(-1000, 1000), st.integers(1, 500), st.integers(1, 50))
def test_a_range_of_integers_has_its_ends_and_equal_steps(low: int, width: int, step: int) -> None:
    assert listed("depth", f"{low}..{low + width}..{step}") in (
        list(range(low, low + width + 1, step)),
        [low],  # one value is no range
    )


@given(st.integers(-50, 50), st.integers(1, 60), st.sampled_from(["0.1", "0.25", "0.3", "1e-2", "2"]))
def test_decimal_steps_are_exact(low: int, width: int, step: str) -> None:
    count = int(width / Fraction(step)) + 1
    expected = [float(low + index * Fraction(step)) for index in range(count)]
    assert listed("lr", f"{low}..{low + width}..{step}") == expected


@given(st.lists(st.text(max_size=8).filter(lambda text: '"' not in text), min_size=1, max_size=5, unique=True))
def test_texts_in_quotes_are_taken_as_they_are(texts: list[str]) -> None:
    assert listed("name", ",".join(f'"{text}"' for text in texts)) == texts


@given(st.floats(1e-6, 1e3), st.floats(1.01, 1e6), st.booleans(), st.booleans(), st.floats(0, 1, exclude_max=True))
def test_every_share_is_a_value_within_the_range(
    low: float, factor: float, log: bool, whole: bool, share: float
) -> None:
    first, last = (math.ceil(low), math.ceil(low * factor) + 1) if whole else (low, low * factor)
    value = Range(first, last, whole=whole, log=log).at(share)
    assert first <= value <= last
    assert isinstance(value, int if whole else float)


@given(st.text(max_size=30))
def test_no_text_makes_the_reader_fail_otherwise(text: str) -> None:
    for name in PARAMETERS:
        try:
            found = space(**{name: text})
        except InvalidInput:
            continue
        dimension = found.dimensions.get(name) or Choices((found.fixed[name],))
        parameter: Parameter = PARAMETERS[name]
        for share in (0.0, 0.3, 0.999):
            parameter.convert(dimension.at(share))

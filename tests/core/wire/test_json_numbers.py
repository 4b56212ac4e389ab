"""Numbers that JSON has no word for keep their value where they pass through JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.core.wire.json_numbers import finite_number, json_number, json_value, real_number

#: Also integers beyond the range of a double, and beyond the digits that Python writes.
huge = st.builds(lambda sign, exponent: sign * 10**exponent, st.sampled_from([1, -1]), st.integers(300, 6000))
numbers = st.floats() | st.integers() | huge
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=())), inner),
)


def same(first: Any, second: Any) -> bool:
    return bool(first == second) or (first != first and second != second)


@given(numbers)
def test_a_number_is_itself_after_json(number: float) -> None:
    # An integer that a double can hold is rounded to one, as MLflow and the index do.
    expected = float(number) if abs(number) < 2**1023 else number
    written = msgspec.json.encode(json_number(number))
    assert same(real_number(msgspec.json.decode(written, type=float | str)), expected)


@given(numbers)
def test_a_number_is_never_the_missing_value(number: float) -> None:
    assert json_number(number) is not None
    shown = finite_number(json_number(number))
    assert (shown is None) == (isinstance(json_number(number), str))


@given(values)
def test_any_plain_value_is_json_that_every_reader_takes(value: Any) -> None:
    text = msgspec.json.encode(json_value(value))
    assert json.loads(text, parse_constant=lambda word: 1 / 0) == msgspec.json.decode(text)


def test_the_words_are_those_of_pydantic_and_javascript() -> None:
    assert json_value([math.nan, math.inf, -math.inf, 10**400, 1, True, None, np.float64(0.5), np.float64("nan")]) == [
        "NaN", "Infinity", "-Infinity", str(10**400), 1, True, None, 0.5, "NaN",
    ]  # fmt: skip

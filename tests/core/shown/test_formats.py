"""One rule for numbers, shares and durations; the lab extension's tests read the same table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.core.shown import formats
from mlops_workbench.core.wire.json_numbers import real_number

TABLE = json.loads((Path(__file__).parent / "formats.json").read_text())
EXAMPLES = [(kind, *example) for kind, examples in TABLE.items() for example in examples]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: " ".join(map(str, example)))
def test_a_value_reads_as_in_the_table(example: tuple[object, ...]) -> None:
    kind, *arguments, text = example
    given_values = [real_number(value) if isinstance(value, str) else value for value in arguments]
    assert getattr(formats, str(kind))(*given_values) == text


@given(st.floats(-1e300, 1e300))
def test_a_number_reads_as_itself_to_four_digits(value: float) -> None:
    text = formats.number(value).replace("−", "-").replace(",", "")
    assert float(text) == pytest.approx(value, rel=5.1e-4)


@given(st.integers())
def test_a_whole_number_of_any_size_can_be_read(value: int) -> None:
    assert formats.number(value)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_numbers_beside_each_other_can_be_told_apart(first: float, second: float) -> None:
    texts = formats.pair(first, second)
    assert abs(first - second) <= 1e-12 * max(abs(first), abs(second)) or texts[0] != texts[1]


def test_numbers_that_differ_late_get_more_digits() -> None:
    assert formats.pair(0.97778, 0.97779) == ("0.97778", "0.97779")
    assert formats.pair(0.5, 0.75) == ("0.5", "0.75")


@given(st.floats(), st.integers(0, 2))
def test_any_number_can_be_a_share_or_a_change(value: float, digits: int) -> None:
    assert formats.share(value, digits) and formats.change(value)


@given(st.floats(0, 1e12))
def test_any_time_can_be_read(seconds: float) -> None:
    assert formats.duration(seconds)

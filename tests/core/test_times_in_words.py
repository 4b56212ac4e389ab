"""Times as people write them in a shell, in the local zone."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.moments import span_of

#: A Wednesday.
NOW = datetime(2026, 11, 25, 10, 30)


def ends(text: str) -> tuple[datetime, datetime]:
    span = span_of(text, NOW)
    return datetime.fromtimestamp(span.first_ms / 1000), datetime.fromtimestamp(span.last_ms / 1000)


def day(text: str) -> str:
    first, last = ends(text)
    assert (last - first) == timedelta(days=1) - timedelta(milliseconds=1)
    return first.strftime("%a %Y-%m-%d %H:%M")


def test_days_are_those_of_the_calendar() -> None:
    assert day("today") == "Wed 2026-11-25 00:00"
    assert day(" Yesterday ") == "Tue 2026-11-24 00:00"
    assert day("last Tuesday") == day("tue") == "Tue 2026-11-24 00:00"
    # The name of today means the one of last week.
    assert day("wednesday") == "Wed 2026-11-18 00:00"
    assert day("last sunday") == "Sun 2026-11-22 00:00"
    assert day("2026-11-01") == "Sun 2026-11-01 00:00"
    assert [one.strftime("%m-%d %H:%M") for one in ends("last week")] == ["11-16 00:00", "11-22 23:59"]
    assert [one.strftime("%m-%d %H:%M") for one in ends("last month")] == ["10-01 00:00", "10-31 23:59"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", NOW),
        ("2 days ago", datetime(2026, 11, 23, 10, 30)),
        ("a week ago", datetime(2026, 11, 18, 10, 30)),
        ("an hour ago", datetime(2026, 11, 25, 9, 30)),
        ("90 minutes ago", datetime(2026, 11, 25, 9, 0)),
        ("yesterday 14:00", datetime(2026, 11, 24, 14, 0)),
        ("last tuesday at 2 pm", datetime(2026, 11, 24, 14, 0)),
        ("last tuesday, 14:00:05", datetime(2026, 11, 24, 14, 0, 5)),
        ("9:15", datetime(2026, 11, 25, 9, 15)),
        ("yesterday at 12 am", datetime(2026, 11, 24, 0, 0)),
        ("2026-11-01 14:00", datetime(2026, 11, 1, 14, 0)),
        ("2026-11-01T14:00", datetime(2026, 11, 1, 14, 0)),
    ],
)
def test_moments(text: str, moment: datetime) -> None:
    assert ends(text) == (moment, moment)


def test_a_time_with_a_zone_is_that_of_the_zone() -> None:
    assert span_of("2026-11-01T14:00:00+05:00", NOW).first_ms == 1_793_523_600_000
    assert span_of("2026-11-01T09:00:00Z", NOW).first_ms == 1_793_523_600_000


@pytest.mark.parametrize(
    "text",
    ["", "soon", "last", "tuesday tuesday", "25:00", "yesterday 14", "13 pm", "ago", "-1 days ago", "2026-13-01",
     "0001-01-01", "last year", "99999999 days ago", "999999 weeks ago", "yesterday at", "\x00", "two days ago"],
)  # fmt: skip
def test_what_means_nothing_is_an_error_with_examples(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a time") as raised:
        span_of(text, NOW)
    assert "last tuesday" in str(raised.value.hint)


@pytest.mark.parametrize("text", ["2026-11-26", "2027-01-01 10:00", "today 10:31"])
def test_the_future_is_not_known(text: str) -> None:
    with pytest.raises(InvalidInput, match="is in the future"):
        span_of(text, NOW)


@settings(max_examples=50)
@given(st.datetimes(min_value=datetime(1990, 1, 1), max_value=NOW))
def test_every_time_in_iso_is_read_back(moment: datetime) -> None:
    for text in (moment.isoformat(), moment.isoformat(" "), moment.astimezone().isoformat()):
        assert span_of(text, NOW).first_ms == int(moment.timestamp() * 1000)


_LIKE_TIMES = st.text(alphabet=st.sampled_from(list("0123456789:-+TZ ,abdeghiklmnoprstuwy")), max_size=24)


@given(_LIKE_TIMES | st.text(max_size=30))
def test_any_text_is_a_time_or_an_error(text: str) -> None:
    try:
        span = span_of(text, NOW)
    except InvalidInput as error:
        assert error.hint
    else:
        assert span.first_ms <= span.last_ms and span.first_ms <= NOW.timestamp() * 1000

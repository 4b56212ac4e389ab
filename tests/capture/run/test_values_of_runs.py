"""What is logged is in the journal as it was, whatever it is."""

from __future__ import annotations

import datetime
import enum
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_workbench.capture import log, log_param, log_params, tag, track
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.records import Metrics, Params, Tags, as_float
from mlops_workbench.magics.shown.card import card


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (0.1, 0.1),
        (3, 3),
        (True, 1),
        (math.inf, math.inf),
        (-math.inf, -math.inf),
        (2**53 + 1, 2**53 + 1),
        (2**64, 2**64),
        (-(10**400), -(10**400)),
        (np.float64(0.1), 0.1),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.int64(-7), -7),
        (np.uint64(2**63 + 5), 2**63 + 5),
        (np.bool_(True), 1),
        (np.array(2.5), 2.5),
        (np.array([2.5]), 2.5),
    ],
)
def test_a_metric_is_kept_exactly(session, records, value, kept):
    with track("r"):
        log(m=value)
    found = records.values(Metrics, "r")["m"]
    assert found == kept and type(found) is type(kept)


def test_not_a_number_is_kept(session, records):
    with track("r"):
        log(a=float("nan"), b=np.float32("nan"))
    found = records.values(Metrics, "r")
    assert math.isnan(found["a"]) and math.isnan(found["b"])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.integers())
def test_any_int_comes_back(session, records, value):
    with track("ints") as run:
        log(m=value)
        log_param("p", value)
    assert records.values(Metrics, run.uid) == {"m": value}
    assert records.values(Params, run.uid) == {"p": value}
    assert as_float(value) == pytest.approx(value, rel=1e-12)


def test_a_number_too_large_for_a_float_becomes_infinite_for_stores_of_floats():
    assert as_float(10**400) == math.inf and as_float(-(10**400)) == -math.inf


@pytest.mark.parametrize("value", ["0.5", None, 1j, [1.0], np.arange(3), {"a": 1}, object()])
def test_what_is_no_number_is_refused_by_name(session, value):
    with track("r") as run, pytest.raises(InvalidInput, match="'loss'"):
        log(loss=value)
    assert run.status == "FINISHED"


def test_names_of_any_kind_are_kept(session, records):
    names = {"val/auc": 1.0, "größe μ 北": 2.0, "a b\tc": 3.0, "x" * 5000: 4.0, "half \ud800": 5.0}
    with track("nämen 🚀"):
        log(names)
    found = records.values(Metrics, "nämen 🚀")
    assert list(found.values()) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert list(found)[:4] == list(names)[:4] and list(found)[4] == "half \\ud800"


@pytest.mark.parametrize("values", [{"": 1.0}, {3: 1.0}, [("a", 1.0)], "auc"])
def test_a_bad_name_is_refused(session, values):
    with track("r"), pytest.raises(InvalidInput):
        log(values)


@pytest.mark.parametrize("step", [2**63, -(2**70), 1.5, "1", float("nan")])
def test_a_step_that_no_database_keeps_is_refused_where_it_is_given(session, records, step):
    with track("r"):
        log(loss=1.0, step=7)
        with pytest.raises(InvalidInput, match="step"):
            log(loss=2.0, step=step)
    assert [record.step for record in records.of(Metrics, "r")] == [7]


def test_a_card_can_be_sent_whatever_the_names_and_values_are(session):
    with track("half \ud800") as run:
        log({"half \ud800": 10**400})
        log_param("p\ud800", "\ud800")
    for shown in card(run).values():
        assert "\\ud800" in shown.encode().decode()


def test_steps_count_on_by_themselves_and_can_be_given(session, records):
    with track("r"):
        for _ in range(3):
            log(loss=1.0)
        log(loss=1.0, step=10)
        log(loss=1.0, lr=0.1)
        log(lr=0.1, step=np.int64(99))
        with pytest.raises(InvalidInput, match="step"):
            log(lr=0.1, step=1.5)
    assert [record.step for record in records.of(Metrics, "r")] == [0, 1, 2, 10, 11, 99]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("text", "text"),
        (None, None),
        (False, False),
        (0.1, 0.1),
        (10**40, 10**40),
        ("x" * 10_000, "x" * 10_000),
        ((1, 2), [1, 2]),
        ({"a": {1: np.float64(2.0)}}, {"a": {"1": 2.0}}),
        ({3, 1, 2}, [1, 2, 3]),
        (np.arange(3), [0, 1, 2]),
        (np.str_("s"), "s"),
        (Path("/a b/c"), "/a b/c"),
        (Colour.RED, "Colour.RED"),
        (datetime.date(2024, 2, 29), "2024-02-29"),
        (np.datetime64("2024-02-29T10:00"), "2024-02-29T10:00:00"),
        (math.sqrt, "math.sqrt"),
        (b"\x00\xff", b"\x00\xff"),
    ],
)
def test_a_parameter_is_kept_as_what_it_is(session, records, value, kept):
    with track("r"):
        log_param("p", value)
    found = records.values(Params, "r")["p"]
    assert found == kept and type(found) is type(kept)


def test_a_parameter_of_any_other_kind_is_kept_as_its_repr(session, records):
    class Odd:
        def __repr__(self):
            raise RuntimeError("no")

    nested = []
    nested.append(nested)
    with track("r"):
        log_params(big=np.zeros((100, 100)), odd=Odd(), loop=nested)
    found = records.values(Params, "r")
    assert found["big"].startswith("array(") and "RuntimeError" in found["odd"] and "loop" in found


def test_a_thousand_parameters_are_kept(session, records):
    with track("r"):
        log_params({f"p{i}": i for i in range(1000)})
    assert records.values(Params, "r") == {f"p{i}": i for i in range(1000)}


def test_tags_can_be_given_in_three_ways(session, records):
    with track("r", tags={"zero": 0}) as run:
        tag("one", 1)
        tag({"a/b": 2})
        tag(three="drei")
    assert records.values(Tags, "r") == {"one": 1, "a/b": 2, "three": "drei"}
    assert records.start("r").tags == {"zero": 0}
    assert run.tags == {"zero": 0, "one": 1, "a/b": 2, "three": "drei"}

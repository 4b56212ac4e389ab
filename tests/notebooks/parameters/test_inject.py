"""Injected values are the given ones, to the last bit and type."""

from __future__ import annotations

import copy
import datetime
import enum
import math
import os
import zoneinfo
from collections import OrderedDict, namedtuple
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath

import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from papermill.parameterize import parameterize_notebook

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.notebooks.parameters.inject import inject, injected_source


class Colour(enum.IntEnum):
    RED = 1


class Words(str):
    pass


class Numbers(list[int]):
    pass


class MyPath(PurePosixPath):
    pass


def run(source: str) -> dict[str, object]:
    namespace: dict[str, object] = {}
    exec(compile(source, "injected", "exec"), namespace)
    return namespace


def same(left: object, right: object) -> bool:
    """Equal in value and type, at every depth; NaN equals NaN and -0.0 does not equal 0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return same(list(left), list(right)) and same(list(left.values()), list(right.values()))
    if isinstance(left, (set, frozenset)):
        return left == right
    if isinstance(left, (np.longdouble, np.clongdouble)):
        return np.array_equal(left, right, equal_nan=True) and left.dtype == right.dtype
    if isinstance(left, np.generic):
        return left.tobytes() == right.tobytes() and left.dtype == right.dtype
    if isinstance(left, float):
        return (math.isnan(left) and math.isnan(right)) or (left == right and repr(left) == repr(right))
    if isinstance(left, complex):
        return same(left.real, right.real) and same(left.imag, right.imag)
    if isinstance(left, Decimal):
        return left.as_tuple() == right.as_tuple()
    if isinstance(left, (datetime.datetime, datetime.time)):
        return left.replace(tzinfo=None) == right.replace(tzinfo=None) and (left.tzinfo, left.fold) == (
            right.tzinfo,
            right.fold,
        )
    return left == right


zones = st.none() | st.just(datetime.UTC) | st.builds(
    lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes)), st.integers(-1439, 1439)
) | st.sampled_from([zoneinfo.ZoneInfo("Europe/Paris"), zoneinfo.ZoneInfo("UTC")])  # fmt: skip
hashable = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates()
    | st.datetimes(timezones=zones, allow_imaginary=True) | st.times() | st.timedeltas() | st.decimals()
    | st.builds(Path, st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9))
    | st.integers(-(2**63), 2**63 - 1).map(np.int64) | st.integers(0, 255).map(np.uint8)
    | st.floats(width=32).map(np.float32) | st.floats().map(np.float64) | st.booleans().map(np.bool_)
)  # fmt: skip
values = st.recursive(
    hashable | st.complex_numbers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner) | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        | st.sets(st.integers() | st.text(), max_size=3) | st.frozensets(st.dates(), max_size=2)
    ),
    max_leaves=6,
)  # fmt: skip


@given(values)
def test_what_runs_is_what_was_given(value: object) -> None:
    assert same(run(injected_source({"value": value}))["value"], value)


@pytest.mark.parametrize(
    "value",
    [
        10**5000, -(10**5000), "\ud800", "quote ' \" \\ \n", (), set(), frozenset(), {1: {2: (3,)}},
        PurePosixPath("a"), np.datetime64("2026-01-31T01:02:03.5", "ms"), np.timedelta64(3, "D"),
        np.datetime64("NaT"), np.str_("ä"), np.bytes_(b"x"), np.float16(0.1), np.complex64(1 + 2j), np.longlong(3),
        np.longdouble("0.1"), np.longdouble("inf"), np.array(["0.1", "nan"], "g").view("G")[0], np.float16(-0.0),
        np.datetime64(3, "25s"), np.timedelta64(3), np.timedelta64("NaT", "ns"), np.ulonglong(2**64 - 1), np.intc(-1),
        np.str_("\0a"), {(1, "a"): frozenset([1]), frozenset([2]): None}, {frozenset([1]), (1, (2,))},
        datetime.datetime(2026, 10, 25, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Paris"), fold=1),
        datetime.timezone(datetime.timedelta(hours=1), "CET"), datetime.time(1, fold=1), PureWindowsPath("C:/a"),
        Decimal("sNaN12"), Decimal("-0E+5"), ..., complex("nan-infj"), {float("nan"): float("nan")},
        [np.float64("nan"), float("-inf"), -0.0], -np.float32("nan"), np.complex64(complex(1, -np.float32("nan"))),
        np.frombuffer(b"\1\0\xc0\x7f", "=f4")[0], np.float64("inf"), np.float16("nan"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_rare_values_are_exact_too(value: object) -> None:
    assert same(run(injected_source({"value": value}))["value"], value)


def test_the_deepest_value_that_is_taken_runs() -> None:
    deep: object = frozenset()
    for _ in range(89):
        deep = frozenset([deep])
    assert run(injected_source({"deep": deep}))["deep"] == deep


def test_names_that_the_notebook_uses_otherwise_do_not_harm() -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("set = frozenset = float = complex = None\nimport os as _decimal"),
            nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]}),
        ]
    )
    values = {"x": [set(), frozenset(), math.inf, 1j, Decimal(1)], "RuntimeError": 1, "_os": 2}
    cells = inject(notebook, values, {"token": "HOME"}).cells
    namespace = run("\n".join(cell.source for cell in cells))
    assert same({name: namespace[name] for name in values}, values)
    assert namespace["token"] == os.environ["HOME"]
    assert run(injected_source({"float": 1, "y": -math.inf}))["y"] == -math.inf


def test_a_secret_is_read_where_the_notebook_runs_and_its_value_is_not_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "s3cret")
    source = injected_source({"x": 1}, {"token": "API_TOKEN"})
    assert "s3cret" not in source
    assert run(source)["token"] == "s3cret"
    monkeypatch.delenv("API_TOKEN")
    with pytest.raises(RuntimeError, match="secret 'token' is read from the environment variable API_TOKEN"):
        run(source)


@pytest.mark.parametrize("variable", ["", "A B", "1A", 'A"]; import os; ["', "A\n"])
def test_the_name_of_a_secrets_variable_is_checked(variable: str) -> None:
    with pytest.raises(InvalidInput, match="is not the name of an environment variable"):
        injected_source({}, {"token": variable})
    with pytest.raises(InvalidInput, match="is a secret"):
        injected_source({"token": 1}, {"token": "API_TOKEN"})


def test_imported_modules_leave_the_notebooks_names_free() -> None:
    values = {"_datetime": 1, "date": datetime.date(2026, 1, 1), "datetime": "mine"}
    namespace = run(injected_source(values))
    assert {name: namespace[name] for name in values} == values


def test_what_cannot_be_written_exactly_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match=r"frame: a value of type numpy\.ndarray"):
        injected_source({"frame": np.zeros(3)})
    with pytest.raises(InvalidInput, match="is not a valid parameter name"):
        injected_source({"not a name": 1})
    for value in (
        Colour.RED,
        Words("a"),
        Numbers(),
        namedtuple("Pair", "a")(1),
        MyPath("a"),
        range(3),
        OrderedDict(),
        1j.real.__add__,
    ):
        with pytest.raises(InvalidInput, match="cannot be injected"):
            injected_source({"value": [value]})
    deep: object = 1
    for _ in range(300):
        deep = (deep,)
    with pytest.raises(InvalidInput, match="nested too deeply"):
        injected_source({"deep": deep})
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(InvalidInput, match="contains itself"):
        injected_source({"endless": endless})


@pytest.mark.parametrize("tags", [[], ["parameters"], ["parameters", "injected-parameters"]])
def test_the_cell_is_where_papermill_puts_it_and_the_given_notebook_stays_as_it_was(tags: list[str]) -> None:
    cells = [nbformat.v4.new_markdown_cell("# title")]
    cells += [nbformat.v4.new_code_cell("depth = 1", metadata={"tags": [tag]}) for tag in tags]
    notebook = nbformat.v4.new_notebook(
        cells=[*cells, nbformat.v4.new_code_cell("depth")],
        metadata={"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}, "papermill": {}},
    )
    for cell in notebook.cells:
        cell.metadata.setdefault("tags", [])
    before = copy.deepcopy(notebook)
    ours = inject(notebook, {"depth": 3})
    assert notebook == before
    papermills = parameterize_notebook(copy.deepcopy(notebook), {"depth": 3})
    assert [cell.source for cell in ours.cells] == [cell.source.strip() for cell in papermills.cells]
    assert [cell.metadata.tags for cell in ours.cells] == [cell.metadata.tags for cell in papermills.cells]
    nbformat.validate(ours)


def test_a_notebook_of_an_older_format_stays_valid() -> None:
    notebook = nbformat.v4.new_notebook(cells=[], nbformat_minor=4)
    nbformat.validate(inject(notebook, {"depth": 3}))

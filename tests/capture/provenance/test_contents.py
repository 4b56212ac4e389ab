"""What cells change in place is known by the contents of objects."""

from __future__ import annotations

import collections
import copy
import datetime
import decimal
import threading

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.capture.provenance import contents as contents_module
from mlops_workbench.capture.provenance.contents import Contents
from mlops_workbench.core.records import CellExecuted

plain = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5) | st.dates()
    | st.decimals() | st.complex_numbers()
)  # fmt: skip
objects = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
        | st.sets(st.integers() | st.text(max_size=2), max_size=4) | st.lists(inner, max_size=3).map(collections.deque)
    ),
    max_leaves=12,
)  # fmt: skip
CHANGES = {
    list: lambda value: value.append(0),
    dict: lambda value: value.update(__added=1),
    set: lambda value: value.add(object),
    collections.deque: lambda value: value.appendleft(None),
}


@pytest.fixture(autouse=True)
def enough_time(monkeypatch):
    monkeypatch.setattr(contents_module, "_SECONDS", 10.0)


def changed(contents, values, *touched):
    return contents.compare(touched or values, values)


@given(objects)
def test_unchanged_objects_are_the_same_and_changed_ones_are_not(value):
    contents, values = Contents(), {"a": value}
    assert changed(contents, values) == (set(), set())
    seen = type(value) in CHANGES or type(value) is tuple
    altered, same = changed(contents, values)
    assert altered == set() and (same == {"a"} or not seen)
    if type(value) in CHANGES:
        CHANGES[type(value)](value)
        assert changed(contents, values) == ({"a"}, set())


@given(st.lists(objects, min_size=1, max_size=3))
def test_a_change_of_a_nested_object_is_detected(inner):
    deep = {"k": [(1, {"here": inner})]}
    contents, values = Contents(), {"deep": deep}
    changed(contents, values)
    inner.append("x")
    assert changed(contents, values)[0] == {"deep"}


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.__setitem__(0, 9), lambda a: a.sort(), lambda a: np.random.default_rng(0).shuffle(a),
        lambda a: a.__setitem__(2, np.nan), lambda a: setattr(a, "shape", (3, 1)),
    ],
)  # fmt: skip
def test_changes_of_arrays_and_their_views_are_detected(change):
    array = np.array([3.0, 2.0, 1.0])
    contents, values = Contents(), {"array": array, "view": array[1:], "copy": array.copy(), "more": [array]}
    changed(contents, values)
    change(array)
    altered, _ = changed(contents, values, "array")
    assert "array" in altered and "copy" not in altered and "more" in altered
    if array.ndim == 1 and array[0] == 9:
        assert "view" not in altered
    elif array.ndim == 1:
        assert "view" in altered


def test_an_object_inside_of_another_changes_it_too():
    config = {"depth": 3}
    contents, values = Contents(), {"config": config, "all": [config], "other": [{"depth": 3}]}
    changed(contents, values)
    config["depth"] = 4
    assert changed(contents, values, "config")[0] == {"config", "all"}
    # It was told once.
    assert changed(contents, values) == (set(), {"config", "all", "other"})


def test_another_object_under_the_name_is_no_change():
    contents = Contents()
    one, two = [1], [2]
    changed(contents, {"x": one})
    assert changed(contents, {"x": two}) == (set(), set())


def test_tables_are_known_by_their_shape_and_numbers():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    mixed = pd.DataFrame({"a": [1, 2], "t": ["x", "y"]})
    contents, values = Contents(), {"frame": frame, "mixed": mixed, "column": pd.Series([1, 2])}
    changed(contents, values)
    # That they are the same cannot be said.
    assert changed(contents, values) == (set(), set())
    frame.iloc[0, 0] = 9.0
    mixed.insert(2, "new", [0, 0])
    values["column"].iloc[0] = 5
    assert changed(contents, values)[0] == {"frame", "mixed", "column"}


class Loud:
    """Raises when it is read."""

    def __getattribute__(self, name):
        raise AssertionError(name)

    def __reduce_ex__(self, protocol):
        raise AssertionError

    def __str__(self):
        raise AssertionError

    __repr__ = __hash__ = __eq__ = __str__


class Text(str):
    __slots__ = ()

    def __str__(self):
        raise AssertionError


def test_no_code_of_the_users_is_run():
    values = {
        "loud": Loud(), "inside": [Loud(), 1], "text": Text("a"), "lock": [threading.Lock()],
        "array": np.array([1]).view(type("A", (np.ndarray,), {})), "generator": (i for i in range(3)),
        "dict": type("D", (dict,), {"items": None})(a=1),
    }  # fmt: skip
    contents = Contents()
    changed(contents, values)
    assert changed(contents, values) == (set(), set())
    values["inside"].append(2)
    assert changed(contents, values)[0] == {"inside"}
    assert next(values["generator"]) == 0


def test_recursive_and_huge_objects_are_handled():
    loop: list[object] = [1]
    loop.append(loop)
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    values = {
        "loop": loop, "deep": deep, "huge": list(range(10**6)), "parts": [[i] for i in range(10**5)],
        "array": np.zeros(10**7), "bytes": bytearray(10**7), "texts": ["x" * 10**5] * 300,
        "odd": [10**50, "\ud800"], "empty": np.zeros((0, 3)),
        "dates": [datetime.datetime(2026, 1, 1), decimal.Decimal("NaN")], "times": np.array(["2026"], "M8[D]"),
    }  # fmt: skip
    contents = Contents()
    changed(contents, values)
    altered, same = changed(contents, values)
    assert altered == set() and {"loop", "odd", "empty", "dates", "times"} <= same
    assert not same & {"deep", "huge", "parts", "array", "bytes", "texts"}
    loop.append(2)
    values["array"].shape = (10, 10**6)
    assert changed(contents, values)[0] == {"loop", "array"}


def test_deleted_names_are_removed():
    contents = Contents()
    values = {"a": [1], "b": [2]}
    changed(contents, values)
    kept = copy.copy(values)
    del values["a"]
    changed(contents, values, "b")
    assert changed(contents, kept, "a") == (set(), set())


def written(kernel, code):
    kernel.run(code)
    kernel.run("pass")
    (record,) = [one for one in kernel.records.of(CellExecuted) if one.source == code and one.status != "running"][-1:]
    return record


@pytest.mark.process
@pytest.mark.parametrize(
    ("made", "code", "writes"),
    [
        ("import random\nwords = list('abcdefgh')", "random.shuffle(words)", ["words"]),
        ("import heapq\nheap = [3, 4]", "heapq.heappush(heap, 1)", ["heap"]),
        ("import numpy as np\nrow = np.arange(9.0)", "np.random.default_rng(0).shuffle(row)", ["row"]),
        ("config = {'depth': 1}\nall_ = [config]", "config.update(depth=2)", ["all_", "config"]),
        ("words = ['a', 'b']", "print(words, len(words), sorted(words))", []),
        ("words = ['a', 'b']", "words.sort()", []),
        ("import copy\nwords = ['b', 'a']", "other = copy.copy(words); other.sort()", ["other"]),
    ],
)
def test_the_log_of_cells_knows_what_functions_changed(kernel, made, code, writes):
    kernel.run(made)
    assert written(kernel, code).writes == writes


def test_without_time_nothing_is_said(monkeypatch):
    contents, values = Contents(), {"a": [1]}
    changed(contents, values)
    monkeypatch.setattr(contents_module, "_SECONDS", -1.0)
    values["a"].append(2)
    assert changed(contents, values) == (set(), set())
    monkeypatch.setattr(contents_module, "_SECONDS", 10.0)
    assert changed(contents, values) == (set(), set()), "what was not looked at in between is seen for the first time"

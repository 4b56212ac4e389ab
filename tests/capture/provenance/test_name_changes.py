"""Changes of names, found from the source of a cell and the namespaces before and after it."""

from __future__ import annotations

import pytest

from mlops_workbench.capture.provenance.contents import Contents
from mlops_workbench.capture.provenance.name_changes import NameChanges, changes_of
from mlops_workbench.notebooks.names.cell_names import cell_names
from mlops_workbench.notebooks.source import parse_cell


def run(source: str, values: dict[str, object], **options: object) -> NameChanges:
    """Execute a cell in a namespace and return its changes."""
    before = {name: id(value) for name, value in values.items()}
    kept = list(values.values())
    try:
        exec(source, {"__builtins__": __builtins__}, values)
    except ZeroDivisionError:
        options["completed"] = False
    found = changes_of(cell_names(parse_cell(source)), before, values, **options)  # type: ignore[arg-type]
    del kept
    return found


@pytest.mark.parametrize(
    ("source", "reads", "writes", "deletes", "kills"),
    [
        ("x = a", {"a"}, {"x"}, set(), {"x"}),
        ("a = a + [1]", {"a"}, {"a"}, set(), set()),
        ("a.append(1)", {"a"}, {"a", "b"}, set(), set()),
        ("a[0] = 1", {"a"}, {"a", "b"}, set(), set()),
        ("del a", set(), set(), {"a"}, set()),
        ("_ = 1; In = []; x = _3", {"_3"}, {"x"}, set(), {"x"}),
        ("exec('y = 1')", set(), {"y"}, set(), set()),
        ("if a:\n    x = 1\nelse:\n    pass", {"a"}, {"x"}, set(), set()),
        ("x = 1\n1 / 0\nz = 2", set(), {"x"}, set(), {"x"}),
    ],
)
def test_names_that_a_cell_reads_binds_changes_and_deletes(source, reads, writes, deletes, kills):
    shared = [0]
    found = run(source, {"a": shared, "b": shared, "_3": 5})
    assert (found.reads, found.writes, found.deletes, found.kills) == (reads, writes, deletes, kills)


def test_a_name_whose_object_was_replaced_is_rebound_and_one_that_may_be_unchanged_is_unsure():
    found = run("a = [1]\nif not a:\n    b = 2\nnew = 3", {"a": [0], "b": 1})
    assert (found.rebound, found.unsure) == ({"a", "new"}, {"b"})


def test_changes_that_repeat_or_replace_earlier_ones_are_distinguished():
    found = run("count += 1\ntable['a'] = 1", {"count": 1, "table": {}})
    assert (found.repeats, found.slots["table"]) == ({"count"}, {"a"})


def test_a_comparison_of_contents_corrects_what_the_source_shows():
    contents = Contents()
    values: dict[str, object] = {"names": [1, 2], "same": [3], "change": lambda value: value.reverse()}
    contents.compare(values, values)
    found = run("change(names)\nchange(same)", values, compare=contents.compare)
    assert (found.writes, found.repeats) == ({"names"}, {"names"})
    assert run("same.sort()", values).writes == {"same"}
    assert run("same.sort()", values, compare=contents.compare).writes == set()


def test_names_bound_by_another_thread_are_not_attributed_to_the_cell():
    values: dict[str, object] = {}
    assert run("exec('other = 1')\nx = 2", values).writes == {"other", "x"}
    changes = changes_of(cell_names(parse_cell("x = 2")), {}, {"x": 2, "other": 1}, overlaps=True)
    assert (changes.writes, changes.rebound) == ({"x"}, {"x"})

"""The lineage of values equals that of an implementation that compares all pairs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import reference_lineage
import reference_objections
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_workbench.core.records import CellExecuted
from mlops_workbench.notebooks.lineage.graph import DRAWN, RANDOM, Lineage, Step
from mlops_workbench.notebooks.lineage.reproducibility import SavedCell, SavedNotebook, objections
from mlops_workbench.notebooks.names.nouns import CellNames

NAMES = ["df", "model", "x"]
CELLS = ["a", "b", "c", "d", ""]
SOURCES = ["one", "two", "three", "three\n", "four"]
EFFECTS = [RANDOM, f"{DRAWN}numpy", f"{DRAWN}random", "@file:x", "@file:f.csv", "@write:f.csv", "@cwd"]

_names = st.lists(st.sampled_from(NAMES), unique=True, max_size=3)
_some = st.frozensets(st.sampled_from(NAMES), max_size=2)
_slots = st.dictionaries(st.sampled_from(NAMES), st.frozensets(st.integers(0, 3), max_size=3), max_size=2)


@st.composite
def _step(draw: st.DrawFn, number: int) -> Step:
    writes = draw(_names)
    execution = CellExecuted(
        uid=f"u{number}",
        count=draw(st.sampled_from([number + 1] * 9 + [0, 1])),
        cell_id=draw(st.sampled_from(CELLS)),
        source=draw(st.sampled_from(SOURCES)),
        started_ms=number,
        duration_us=0,
        status="ok",
        reads=[*draw(_names), *draw(st.lists(st.sampled_from(["_1", "_2"]), unique=True, max_size=1))],
        writes=writes,
        kills=draw(st.lists(st.sampled_from(writes), unique=True, max_size=1)) if writes else [],
        deletes=draw(st.lists(st.sampled_from(NAMES), max_size=1)) if number % 7 == 6 else [],
        effects=draw(st.lists(st.sampled_from(EFFECTS), unique=True, max_size=3)),
    )
    rebound = draw(st.sampled_from([frozenset[str]()] * 4 + [frozenset(writes)]))
    return Step(execution, rebound, draw(_some) & draw(_some), draw(_slots), draw(_some), draw(_some) & draw(_some))


@st.composite
def _sessions(draw: st.DrawFn) -> list[Step]:
    return [draw(_step(number)) for number in range(draw(st.integers(1, 14)))]


_notebooks = st.builds(
    SavedNotebook,
    st.lists(st.tuples(st.sampled_from(CELLS), st.sampled_from(SOURCES)), max_size=6).map(
        lambda cells: tuple(SavedCell(*cell) for cell in cells)
    ),
    st.integers(-1, 15),
)


def _names_of(source: str) -> CellNames:
    return CellNames(writes={"df"} if source == "two" else set())


@settings(max_examples=150)
@given(_sessions(), st.one_of(st.none(), _notebooks), _some)
def test_dependencies_and_objections_equal_those_of_comparing_all_pairs(steps, notebook, given_names):
    new, old = Lineage(), reference_lineage.Lineage()
    for step in steps:
        new.add(step)
        old.add(step)
        uid = step.execution.uid
        found, expected = new.in_effect(uid), old.in_effect(uid)
        assert list(found) == list(expected)
        for reader, links in expected.items():
            assert {name: tuple(link) for name, link in found[reader].items()} == links
        assert set(expected) <= set(new.upstream(uid))
        assert new.unknown(uid) == old.unknown(uid)
        options = {"given": given_names, "names_of": _names_of}
        expected = reference_objections.objections(old, uid, notebook, **options)
        assert objections(new, uid, notebook, **options) == expected


def _execution(number: int, cell: str, source: str, **names: list[str]) -> CellExecuted:
    return CellExecuted(f"u{number}", number + 1, cell, source, number, 0, "ok", **names)


def _draws(count: int) -> tuple[list[Step], SavedNotebook]:
    """A seed, then cells of their own that draw."""
    steps = [Step(_execution(0, "c0", "seed", effects=[RANDOM, f"{DRAWN}numpy"]))]
    steps += [
        Step(_execution(number, f"c{number}", f"x{number} = draw()", effects=[f"{DRAWN}numpy"]))
        for number in range(1, count)
    ]
    return steps, _saved(steps)


def _one_cell_again(count: int) -> tuple[list[Step], SavedNotebook]:
    """A cell that draws, run again and again."""
    steps = [Step(_execution(0, "c0", "seed", effects=[RANDOM, f"{DRAWN}numpy"]))]
    steps += [Step(_execution(number, "c1", "draw()", effects=[f"{DRAWN}numpy"])) for number in range(1, count)]
    return steps, _saved(steps[:2])


def _columns(count: int) -> tuple[list[Step], SavedNotebook]:
    """A table that gets column after column."""
    steps = [Step(_execution(0, "c0", "df = make()", writes=["df"], kills=["df"]))]
    steps += [
        Step(
            _execution(number, f"c{number}", f"df[{number}] = 1", reads=["df"], writes=["df"]),
            slots={"df": frozenset((number,))},
        )
        for number in range(1, count)
    ]
    return steps, _saved(steps)


def _upside_down(count: int) -> tuple[list[Step], SavedNotebook]:
    """Cells that append to a list, run from the last one of the notebook to the first."""
    steps = [Step(_execution(0, "c0", "xs = []", writes=["xs"], kills=["xs"]))]
    steps += [
        Step(
            _execution(number, f"c{number}", f"xs.append({number})", reads=["xs"], writes=["xs"]),
            repeats=frozenset(("xs",)),
        )
        for number in range(1, count)
    ]
    return steps, _saved([steps[0], *reversed(steps[1:])])


def _saved(steps: list[Step]) -> SavedNotebook:
    return SavedNotebook(tuple(SavedCell(step.execution.cell_id, step.execution.source) for step in steps), 0)


def _calls(work: Callable[[], Any]) -> int:
    """How many lines of the package's functions were executed."""
    counted: Counter[str] = Counter()

    def trace(frame: Any, event: str, argument: object) -> Any:
        if "mlops_workbench" not in frame.f_code.co_filename:
            return None
        counted[event] += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return counted["line"]


def _judge(make: Callable[[int], tuple[list[Step], SavedNotebook]], count: int) -> int:
    steps, notebook = make(count)
    lineage = Lineage()

    def work() -> None:
        for step in steps:
            lineage.add(step)
        lineage.upstream(steps[-1].execution.uid)
        objections(lineage, steps[-1].execution.uid, notebook)

    return _calls(work)


def test_judging_a_run_takes_steps_in_proportion_to_the_cells_it_depends_on():
    for make in (_draws, _one_cell_again, _columns, _upside_down):
        few, many = _judge(make, 100), _judge(make, 400)
        assert many < 6 * few, make.__name__

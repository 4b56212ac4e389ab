"""An alias that is moved here and in MLflow: no move is lost, and both agree in the end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.registry.aliases import Alias, reconciled

VERSIONS = st.integers(min_value=0, max_value=3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ours"), st.integers(min_value=1, max_value=3)),
        st.tuples(st.just("theirs"), VERSIONS),
        st.tuples(st.just("look"), st.just(0)),
        # The write to MLflow, and whether the process ends before it notes that.
        st.tuples(st.just("write"), st.booleans()),
    ),
    max_size=20,
)


@given(steps=STEPS)
def test_the_last_move_holds_and_mlflow_gets_it(steps: list[tuple[str, int]]) -> None:
    known, stored, expected = Alias(), 0, 0
    # Whether a move of ours waits, which one of theirs does not replace.
    waits = False
    for step, value in [*steps, ("look", 0), ("write", 0), ("look", 0)]:
        if step == "ours":
            known = Alias(value, known.stored)
            expected, waits = value, known.version != known.stored
        elif step == "theirs":
            stored = value
        elif step == "look":
            known = reconciled(known, stored)
            if not waits:
                expected = stored
            waits = known.version != known.stored
        elif known.version != known.stored:
            stored = known.version
            waits = bool(value)
            known = known if value else Alias(known.version, stored)
    assert known.version == known.stored == stored == expected


@given(known=st.builds(Alias, VERSIONS, VERSIONS), stored=VERSIONS)
def test_a_look_that_finds_nothing_new_changes_nothing(known: Alias, stored: int) -> None:
    once = reconciled(known, stored)
    assert reconciled(once, stored) == once
    assert once.stored == stored
    assert once.version in (known.version, stored)

"""Which run a name or a part of an id stands for."""

from __future__ import annotations

import pytest

from mlops_workbench.commands.pipelines.runs import find_run
from mlops_workbench.core.errors import InvalidInput, NotFound
from mlops_workbench.core.pipelines import PipelineRun


def run(run_id: str, pipeline: str) -> PipelineRun:
    return PipelineRun(
        id=run_id, pipeline=pipeline, state="running", reason="manual", params={}, run_uid="", start_ms=0
    )


RUNS = [run("01a2" + "0" * 26 + "ad", "train"), run("01a1" + "0" * 26 + "ad", "ad"), run("01a0" + "0" * 28, "ad")]


@pytest.mark.parametrize(("text", "found"), [("ad", 1), ("train", 0), ("01a0", 2), ("0000", 2), (RUNS[0].id, 0)])
def test_a_name_comes_before_a_part_of_an_id(text: str, found: int) -> None:
    assert find_run(RUNS, text) is RUNS[found]


@pytest.mark.parametrize("text", ["01a", "0ad"])
def test_a_part_of_several_ids_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=f"'{text}' stands for . pipeline runs"):
        find_run(RUNS, text)


@pytest.mark.parametrize("text", ["", "ffff"])
def test_what_stands_for_none_is_said_to(text: str) -> None:
    with pytest.raises(NotFound, match="no sweep"):
        find_run(RUNS, text, "sweep")

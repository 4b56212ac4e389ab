"""The outputs of a cell: complete up to a bound, and never without a word about what is left out."""

from __future__ import annotations

import itertools
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from notebook_files import notebook
from stage_process import run_stage

from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.cells.outputs import CellOutputs


def stream(text: str, name: str = "stdout") -> nbformat.NotebookNode:
    return nbformat.v4.new_output("stream", name=name, text=text)


def display(text: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_output("display_data", data={"text/plain": text})


def collected(limit: int, *outputs: nbformat.NotebookNode, referred: bool = False) -> list[Any]:
    """The outputs of a cell that sent these."""
    kept = CellOutputs(limit)
    cell: list[Any] = []
    for output in outputs:
        cell.append(output)
        kept.added(cell, output, referred=referred)
    kept.settle()
    return cell


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.text(max_size=20)), max_size=30))
def test_below_the_bound_everything_is_kept_in_order(messages: list[tuple[str, str]]) -> None:
    cell = collected(10_000, *(stream(text, name) for name, text in messages))
    for name in ("stdout", "stderr"):
        sent = "".join(text for kind, text in messages if kind == name)
        assert "".join(output.text for output in cell if output.name == name) == sent
    assert all(one.name != other.name for one, other in itertools.pairwise(cell))


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.text(min_size=1)), min_size=1, max_size=40))
def test_above_the_bound_the_begin_and_the_end_are_kept_with_a_note(messages: list[tuple[str, str]]) -> None:
    cell = collected(20, *(stream(text, name) for name, text in messages))
    sent = "".join(text for _, text in messages)
    if len(sent.encode("utf-8", "surrogatepass")) <= 20:
        return
    note = cell[-1].text
    assert "MB of output were left out" in note and "max_output_mb" in note
    begin = "".join(output.text for output in cell[:-1])
    assert sent == begin + note.partition("[the end of it:]\n")[2]


def test_the_end_of_a_flood_is_bounded_too() -> None:
    cell = collected(1000, *(stream(f"{number:040}\n") for number in range(25_000)), stream("last\n"))
    assert cell[-1].text.endswith("last\n") and len(cell[-1].text) < 300_000
    assert "1.0 MB of output were left out" in cell[-1].text and len(cell) == 2


def test_a_display_that_may_be_updated_keeps_its_place() -> None:
    cell = collected(100, display("small"), display("x" * 200), display("small"), referred=True)
    assert [output.data["text/plain"][:6] for output in cell] == ["small", "[an ou", "small"]


def test_displays_beyond_the_bound_are_counted() -> None:
    cell = collected(100, *(display("x" * 60) for _ in range(50)))
    assert len(cell) == 2 and "left out" in cell[1].text


def test_an_exception_is_kept_after_a_flood() -> None:
    error = nbformat.v4.new_output("error", ename="E", evalue="why", traceback=["E: why"])
    cell = collected(10, stream("x" * 100), error)
    assert cell[-1].evalue == "why"


def test_a_cell_that_clears_its_output_begins_anew() -> None:
    kept = CellOutputs(100)
    cell: list[Any] = []
    for number in range(50):
        cell[:] = [stream(f"{number} " + "x" * 60)]
        kept.added(cell, cell[-1], referred=False)
    kept.settle()
    assert [output.text[:3] for output in cell] == ["49 "]


@pytest.mark.long
@pytest.mark.process
def test_a_hundred_megabytes_neither_end_nor_fill_a_stage(workspace: Workspace) -> None:
    attempt = run_stage(workspace, notebook("for i in range(1_000_000): print('x' * 99)\nprint('last')", "'after'"))
    assert attempt.ended.state == "succeeded" and attempt.output(1) == "'after'"
    assert attempt.output(0).endswith("last\n") and "80.0 MB of output were left out" in attempt.output(0)
    assert (attempt.folder / "executed.ipynb").stat().st_size < 25e6


@pytest.mark.process
def test_no_message_of_a_chatty_cell_is_lost(workspace: Workspace) -> None:
    attempt = run_stage(workspace, notebook("for i in range(6000): print(i, flush=True)"))
    assert attempt.output(0).split() == [str(number) for number in range(6000)]
    assert len(attempt.executed.cells[1].outputs) == 1


@pytest.mark.process
def test_the_bound_is_a_setting(workspace: Workspace) -> None:
    (workspace.root / "workbench.toml").write_text("[pipelines]\nmax_output_mb = 0.001\n")
    attempt = run_stage(
        workspace, notebook("print('x' * 5000)", "from IPython.display import HTML\nHTML('h' * 5000)", "1/0")
    )
    assert "a cell keeps 0.001 MB" in attempt.output(0)
    assert "an output of 0.0 MB (text/plain, text/html) was left out" in attempt.output(1)
    assert "ZeroDivisionError" in attempt.output(2)

"""The cell and the line at which a stage failed, as the user's notebook numbers them."""

from __future__ import annotations

from pathlib import Path

import pytest
from notebook_files import notebook

from mlops_workbench.core.pipelines import StageResult
from mlops_workbench.notebooks.document import write_notebook
from mlops_workbench.pipelines.runs.events import AttemptEnded, StageStarted, append_event, read_run_events
from mlops_workbench.pipelines.runs.folder import RunFolder
from mlops_workbench.pipelines.runs.requests import RunRequest, StageRequest
from mlops_workbench.pipelines.runs.results import failing_line, stage_results

TRACEBACK = """\
ZeroDivisionError                         Traceback (most recent call last)
Cell In[3], line 2
      1 y = 2
----> 2 f(y)

Cell In[2], line 5, in f(a)
----> 5     return g(a)

File ~/lib/g.py:9, in g(a)
----> 9     return 1 / 0

ZeroDivisionError: division by zero"""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        # The cell that was running, not the one that defined the function.
        (TRACEBACK, 2),
        ("UsageError: Line magic function `%no` not found.", 0),
        ("  Cell In[3], line 4\n    x = = 1\n        ^\nSyntaxError: invalid syntax", 4),
        ("Cell In[3], line 9\nCell In[3], line 2, in g()", 2),
        ("", 0),
    ],
)
def test_the_line_is_that_of_the_innermost_frame_in_the_cell(text: str, line: int) -> None:
    assert failing_line(text) == line


def run(folder: RunFolder, *ends: AttemptEnded, injected: int = 2, executed: bool = True) -> list[StageResult]:
    """The result of a stage after attempts with these ends."""
    write_notebook(notebook("x = 2", "y = 2\n  f(y)", parameters="x = 1"), folder.copy("fit"))
    for number, ended in enumerate(ends, 1):
        folder.attempt("fit", number).mkdir(parents=True)
        append_event(folder.events, StageStarted(1, "fit", number, "u"))
        append_event(folder.attempt_events("fit", number), ended)
        if executed:
            write_notebook(notebook(), folder.executed("fit", number))
    stages = [
        StageRequest(name="fit", stage="fit", notebook="fit.ipynb", source="/fit.ipynb", injected=injected),
        StageRequest(name="never", stage="never", notebook="fit.ipynb", source="/fit.ipynb"),
    ]
    request = RunRequest(id="r", pipeline="p", workspace="/", experiment="e", created_ms=1, stages=stages)
    return stage_results(folder, request, read_run_events(folder.events))


def test_cells_are_numbered_without_the_injected_one(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    ended = AttemptEnded(1, "failed", "m", "e", TRACEBACK, cell=3)
    [result] = run(folder, AttemptEnded(1, "failed", "m", "e", "earlier", cell=1), ended)
    assert (result.stage, result.attempt, result.notebook) == ("fit", 2, str(folder.executed("fit", 2)))
    assert (result.cell, result.line, result.source, result.traceback) == (3, 2, "  f(y)", TRACEBACK)


def test_without_an_injected_cell_the_number_is_the_place_in_the_notebook(tmp_path: Path) -> None:
    [result] = run(RunFolder(tmp_path), AttemptEnded(1, "failed", "m", "e", TRACEBACK, cell=3), injected=4)
    assert result.cell == 4


@pytest.mark.parametrize(
    ("ended", "executed"),
    [
        (AttemptEnded(1, "failed", "m", "e", "text"), True),
        (AttemptEnded(1, "failed", "m", "e", "text"), False),
        (AttemptEnded(1, "failed", "m", "e", "text", cell=99), True),
        (AttemptEnded(1, "succeeded"), True),
        (AttemptEnded(1, "cancelled"), False),
    ],
)
def test_what_is_not_known_is_left_out(tmp_path: Path, ended: AttemptEnded, executed: bool) -> None:
    [result] = run(RunFolder(tmp_path), ended, executed=executed)
    assert (result.cell, result.line, result.source) == (0, 0, "")
    assert bool(result.notebook) == executed

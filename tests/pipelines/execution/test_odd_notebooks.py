"""Odd but legal notebooks behave as in Jupyter, or fail with a clear reason."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import nbformat
import pytest
from notebook_files import notebook
from stage_process import attempt_in, run_stage, start_stage

from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process


def tagged(tag: str, *sources: str) -> nbformat.NotebookNode:
    """A notebook whose first code cell has a tag."""
    found = notebook(*sources)
    found.cells[1].metadata["tags"] = [tag]
    return found


def without(key: str, *sources: str) -> nbformat.NotebookNode:
    found = notebook(*sources)
    del found.metadata[key]
    return found


def test_magics_cells_of_other_languages_and_coroutines_work(workspace: Workspace) -> None:
    document = notebook(
        "%%bash\necho from bash", "%%time\nx = 1", "%matplotlib inline", "%%writefile written.txt\nhello",
        "!echo $((1 + 1))", "import asyncio\nasync def f(): return 'awaited'\nawait f()", "x",
    )  # fmt: skip
    document.cells.insert(1, nbformat.v4.new_raw_cell("raw <- text"))
    attempt = run_stage(workspace, document)
    assert attempt.ended.state == "succeeded", attempt.ended
    assert attempt.output(0) == "from bash\n" and attempt.output(4).strip() == "2"
    assert (attempt.output(5), attempt.output(6)) == ("'awaited'", "1")
    assert [cell.execution_count for cell in attempt.executed.cells if cell.cell_type == "code"] == [*range(1, 8)]
    assert (workspace.root / "written.txt").read_text() == "hello\n"


def test_a_notebook_without_a_kernel_runs_in_python(workspace: Workspace) -> None:
    assert run_stage(workspace, without("kernelspec", "1 + 1")).output(0) == "2"


def test_a_kernel_that_is_not_installed_is_named_with_the_nearest(workspace: Workspace) -> None:
    ended = run_stage(workspace, notebook("1"), kernel="pyton3").ended
    assert "the kernel 'pyton3' is not installed" in ended.message and "'python3'" in ended.message


def test_a_language_without_a_kernel_is_named(workspace: Workspace) -> None:
    document = without("kernelspec", "x <- 1")
    document.metadata["language_info"] = {"name": "R"}
    assert "written in r, and no kernel" in run_stage(workspace, document).ended.message


@pytest.mark.parametrize(
    "document",
    [
        nbformat.v4.new_notebook(),
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# only text")]),
        nbformat.from_dict(
            {"nbformat": 4, "nbformat_minor": 0, "metadata": {}, "cells": [
                {"cell_type": "code", "source": "1", "metadata": {}, "outputs": [], "execution_count": 7}]}
        ),
    ],
    ids=["empty", "markdown", "format 4.0"],
)  # fmt: skip
def test_a_notebook_with_little_in_it_succeeds(workspace: Workspace, document: nbformat.NotebookNode) -> None:
    attempt = run_stage(workspace, document)
    assert attempt.ended.state == "succeeded" and set(attempt.states) <= {"completed"}
    assert attempt.executed.nbformat_minor == document.nbformat_minor


def test_a_format_before_cell_ids_stays_valid_when_a_cell_fails(workspace: Workspace) -> None:
    document = nbformat.from_dict(
        {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [
            {"cell_type": "code", "source": "1/0", "metadata": {}, "outputs": [], "execution_count": None}]}
    )  # fmt: skip
    attempt = run_stage(workspace, document)
    nbformat.validate(attempt.executed)
    assert [cell.cell_type for cell in attempt.executed.cells] == ["markdown", "markdown", "code"]


def test_the_state_of_widgets_is_kept(workspace: Workspace) -> None:
    attempt = run_stage(workspace, notebook("import ipywidgets\ndisplay(ipywidgets.IntSlider(value=7))", "1/0"))
    kept = attempt.executed.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    assert 7 in [model["state"].get("value") for model in kept.values()]
    assert attempt.ended.state == "failed"


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("leave", "how"),
    [("import sys\nsys.exit()", "sys.exit()"), ("raise SystemExit(0)", "sys.exit()"), ("quit()", "exit")],
)
def test_a_notebook_that_ends_itself_succeeds_and_says_so(workspace: Workspace, leave: str, how: str) -> None:
    attempt = run_stage(workspace, notebook("1", leave, "2"))
    assert attempt.ended.state == "succeeded"
    assert attempt.ended.message == f"the notebook ended itself in cell 3 with {how}"
    assert attempt.states == ["completed", "completed", "pending"]
    assert attempt.executed.metadata.papermill["exception"] is None


def test_a_notebook_that_ends_itself_before_its_output_fails(workspace: Workspace) -> None:
    path = str(workspace.root / "model.bin")
    attempt = run_stage(workspace, notebook("import sys\nsys.exit()"), outputs={"model": {"path": path}})
    assert attempt.ended.cause == "missing_output"
    assert "'model'" in attempt.ended.message and "ended itself in cell 2" in attempt.ended.message


def test_an_exception_that_is_expected_does_not_fail(workspace: Workspace) -> None:
    attempt = run_stage(workspace, tagged("raises-exception", "1/0", "'later'"))
    assert attempt.ended.state == "succeeded" and attempt.output(1) == "'later'"
    assert "ZeroDivisionError" in attempt.output(0)


def test_a_cell_that_is_to_be_skipped_does_not_run(workspace: Workspace) -> None:
    attempt = run_stage(workspace, tagged("skip-execution", "1/0", "'later'"))
    assert attempt.ended.state == "succeeded" and attempt.output(0) == "" and attempt.output(1) == "'later'"


def test_displays_are_updated_and_cleared(workspace: Workspace) -> None:
    attempt = run_stage(
        workspace,
        notebook(
            "shown = display('first', display_id=True)",
            "from IPython.display import clear_output\nprint('old')\nclear_output()\nprint('new')",
            "for i in range(3):\n    clear_output(wait=True)\n    print(i)",
            "shown.update('second')",
        ),
    )
    assert [attempt.output(cell) for cell in range(4)] == ["'second'", "new\n", "2\n", ""]


def test_a_notebook_may_change_its_folder_and_delete_that_of_its_run(workspace: Workspace) -> None:
    folder = workspace.state / "attempt of a test"
    attempt = run_stage(
        workspace,
        notebook("import os, shutil\nos.chdir('/')", f"os.unlink({str(folder / 'executed.ipynb')!r})", "os.getcwd()"),
    )
    assert attempt.ended.state == "succeeded" and attempt.output(2) == "'/'"


def test_a_notebook_may_close_its_outputs(workspace: Workspace) -> None:
    attempt = run_stage(workspace, notebook("import os\nos.close(1)\nos.close(2)", "print('heard')"))
    assert attempt.ended.state == "succeeded" and attempt.output(1) == "heard\n"


def test_threads_and_processes_that_go_on_do_not_hold_the_stage(workspace: Workspace) -> None:
    attempt = run_stage(
        workspace,
        notebook(
            "import subprocess, threading, time\n"
            "threading.Thread(target=time.sleep, args=(600,)).start()\nchild = subprocess.Popen(['sleep', '600'])"
        ),
    )
    assert attempt.ended.state == "succeeded"


def test_loading_the_extension_in_a_cell_shows_nothing(workspace: Workspace) -> None:
    attempt = run_stage(workspace, notebook("%load_ext mlops_workbench", "'_' in dir(), In[1:2], __name__"))
    assert attempt.output(0) == ""
    assert "load_ipython_extension" not in attempt.output(1)


def test_the_notebook_is_up_to_date_while_a_silent_cell_runs(workspace: Workspace) -> None:
    go = workspace.root / "go"
    process, folder = start_stage(
        workspace,
        notebook(
            "print('said')",
            f"import os, time\nprint('begun', flush=True)\nwhile not os.path.exists({str(go)!r}): time.sleep(0.05)",
        ),
    )
    for _ in range(1200):
        time.sleep(0.05)
        text = (folder / "executed.ipynb").read_text() if (folder / "executed.ipynb").exists() else "{}"
        if '"begun\\n"' in text:
            break
    else:
        process.kill()
        pytest.fail("what a running cell printed was not saved")
    nbformat.validate(nbformat.reads(text, as_version=4))
    go.touch()
    process.wait(timeout=60)
    assert attempt_in(folder).ended.state == "succeeded"


def test_a_stage_that_is_stopped_says_in_which_cell(workspace: Workspace) -> None:
    started = workspace.root / "started"
    process, folder = start_stage(
        workspace, notebook("'before'", f"import time\nopen({str(started)!r}, 'w')\ntime.sleep(600)", "'after'")
    )
    _wait_for(started)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)
    attempt = attempt_in(folder)
    assert attempt.ended.state == "cancelled"
    assert attempt.states == ["completed", "failed", "pending"]
    assert "stopped by SIGTERM" in attempt.output(1)


def test_the_notebook_of_a_killed_process_can_be_given_its_end(workspace: Workspace) -> None:
    from mlops_workbench.pipelines.cells.interrupted import record_death

    started = workspace.root / "started"
    process, folder = start_stage(
        workspace, notebook("'before'", f"import time\nopen({str(started)!r}, 'w')\ntime.sleep(5)", "'after'")
    )
    _wait_for(started)
    time.sleep(1.5)
    process.kill()
    process.wait(timeout=60)
    record_death(folder / "executed.ipynb", "the process of the stage was killed by SIGKILL")
    executed = nbformat.read(folder / "executed.ipynb", as_version=4)
    states = [cell.metadata.papermill["status"] for cell in executed.cells]
    assert states == ["completed", "completed", "failed", "pending"]
    assert executed.cells[2].outputs[-1].evalue.endswith("SIGKILL") and executed.metadata.papermill["end_time"]
    record_death(folder / "executed.ipynb", "again")
    assert nbformat.read(folder / "executed.ipynb", as_version=4) == executed


def _wait_for(path: Path) -> None:
    for _ in range(1200):
        if path.exists():
            return
        time.sleep(0.05)
    pytest.fail(f"{path.name} did not come")

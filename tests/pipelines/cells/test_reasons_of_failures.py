"""The reason of a failure, in one line and as the kernel said it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notebook_files import notebook
from stage_process import run_stage

from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.cells.reasons import is_normal_exit, kernel_death, reason, signal_name

FAIL = "import sys\nsys.exit(3)\n"


@given(st.text(), st.text())
def test_a_reason_is_one_line_of_bounded_length(name: str, value: str) -> None:
    found = reason(name, value)
    assert found and len(found.splitlines()) == 1 and len(found) <= 420


def test_a_long_command_keeps_its_exit_status() -> None:
    found = reason("CalledProcessError", f"Command '{'x' * 5000}' returned non-zero exit status 3.")
    assert found.startswith("CalledProcessError: Command 'xx") and found.endswith("exit status 3.")


def test_colours_and_line_ends_are_no_part_of_a_reason() -> None:
    assert reason("ValueError", "a\n  b\x1b[31mred\x1b[0m") == "ValueError: a bred"


def test_a_kernel_without_a_reason_is_said_to_give_none() -> None:
    assert reason("", "") == "the cell failed, and the kernel gave no reason"


@pytest.mark.parametrize("value", ["", "0", "None"])
def test_an_exit_without_an_error_is_normal(value: str) -> None:
    assert is_normal_exit("SystemExit", value) and not is_normal_exit("ValueError", value)


def test_a_signal_without_a_name_has_its_number() -> None:
    assert signal_name(9) == "SIGKILL" and signal_name(40) == "signal 40"


def test_the_death_of_a_kernel_names_its_signal_or_its_code() -> None:
    assert "SIGKILL" in kernel_death(-9) and "memory" in kernel_death(-9)
    assert "SIGSEGV" in kernel_death(-11) and "signal 250" in kernel_death(-250)
    assert "code 3" in kernel_death(3) and "killed" in kernel_death(None)


@pytest.mark.some(3)
@pytest.mark.process
@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%no_such_magic", "UsageError: Line magic function `%no_such_magic` not found."),
        ("%%no_such_magic\nx", "UsageError: Cell magic `%%no_such_magic` not found."),
        ("%run missing.py", "Exception: File `'missing.py'` not found."),
        ("%run fails.py", "the notebook ended itself with status 3 (sys.exit)"),
        ("%%bash\nexit 3", "CalledProcessError: Command 'b'exit 3\\n'' returned non-zero exit status 3."),
        ("%load_ext no_such_extension", "ModuleNotFoundError: No module named 'no_such_extension'"),
        ("import sys\nsys.exit('no data')", "SystemExit: no data"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt: the cell was interrupted"),
        ("raise ExceptionGroup('two', [ValueError(1), KeyError(2)])", "ExceptionGroup: two (2 sub-exceptions)"),
        ("input('name?')", "input() asks for a value, and nobody can answer in a run: make it a parameter"),
        ("import getpass\ngetpass.getpass()", "getpass() asks for a value"),
        ("def f(:\n    pass", "SyntaxError: invalid syntax"),
        ("if True:\nprint(1)", "IndentationError: expected an indented block"),
        ("import asyncio\nawait asyncio.sleep(0)\nraise ValueError('in a coroutine')", "ValueError: in a coroutine"),
        ("class E(Exception):\n    def __str__(self): raise OSError('no text')\nraise E", "OSError: no text"),
        ("%%capture\n1 / 0", "ZeroDivisionError: division by zero"),
        ("%%time\n1 / 0", "ZeroDivisionError: division by zero"),
        ("raise ValueError('e' * 30_000_000)", "ValueError: eee"),
        ("import os\nos._exit(4)", "the kernel ended with code 4"),
        ("import ctypes\nctypes.string_at(0)", "the kernel died by SIGSEGV"),
    ],
)  # fmt: skip
def test_a_stage_that_stops_says_why_and_where(workspace: Workspace, cell: str, said: str) -> None:
    (workspace.root / "fails.py").write_text(FAIL)
    attempt = run_stage(workspace, notebook("1", cell, "2"))
    assert attempt.ended.state == "failed"
    assert attempt.ended.message.startswith(f"only.ipynb, cell 3: {said}")
    assert len(attempt.ended.message) < 500 and "\n" not in attempt.ended.message
    assert attempt.ended.cell == 2
    assert attempt.states == ["completed", "failed", "pending"] and attempt.cells == ["completed", "failed"]
    assert len(attempt.ended.traceback) <= 64 * 1024 and attempt.ended.traceback
    failed = [cell for cell in attempt.executed.cells if cell.cell_type == "code"][1]
    assert any(output.output_type == "error" for output in failed.outputs)

"""Papermill with the workbench's engine: correct records of the execution of a notebook."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import papermill
import pytest
from notebook_files import notebook, write
from papermill.exceptions import PapermillExecutionError

from mlops_workbench.pipelines.execution import engine

pytestmark = pytest.mark.process


def run(path: Path, output: Path, **options: object) -> nbformat.NotebookNode:
    papermill.execute_notebook(
        path, output, engine_name="mlops_workbench", progress_bar=False, start_timeout=180, **options
    )
    return nbformat.read(output, as_version=4)


def states(executed: nbformat.NotebookNode) -> list[str]:
    return [
        cell.metadata.papermill["status"]
        for cell in executed.cells
        if "papermill-error-cell-tag" not in cell.metadata.get("tags", [])
    ]


def test_a_run_is_recorded_with_few_saves_and_an_event_per_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves: list[str] = []
    written = engine.write_executed
    monkeypatch.setattr(engine, "write_executed", lambda nb, path: (saves.append(path), written(nb, path)))
    cells: list[tuple[int, str]] = []
    # Relative paths are those of the caller, also when the kernel works elsewhere.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    source = write(Path("many cells.ipynb"), *[f"print({number})" for number in range(12)], parameters="x = 1")
    executed = run(
        source, Path("out.ipynb"), parameters={"x": 2}, autosave_cell_every=3600, cwd="elsewhere",
        on_cell=lambda index, status: cells.append((index, status)),
    )  # fmt: skip
    assert states(executed) == ["completed"] * 15
    assert executed.cells[-1].outputs[0].text == "11\n"
    assert cells == [(index, status) for index in range(1, 15) for status in ("started", "completed")]
    assert len(saves) == 2  # at the start and at the end
    assert executed.metadata.papermill.exception is None


def test_a_dead_kernel_is_a_failure_with_its_cell_marked(tmp_path: Path) -> None:
    source = write(tmp_path / "dies.ipynb", "print('before')", "import os\nos.kill(os.getpid(), 9)", "print('after')")
    with pytest.raises(PapermillExecutionError) as caught:
        run(source, tmp_path / "out.ipynb")
    assert (caught.value.ename, caught.value.cell_index) == ("DeadKernelError", 2)
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert states(executed) == ["completed", "completed", "failed", "pending"]
    assert executed.metadata.papermill.exception is True
    dead = next(cell for cell in executed.cells if "os.kill" in cell.source)
    assert dead.outputs[-1].ename == "DeadKernelError"


def test_a_timeout_is_a_failure_with_what_was_printed_before(tmp_path: Path) -> None:
    source = write(tmp_path / "hangs.ipynb", "import time\nprint('begun', flush=True)\ntime.sleep(600)", "1")
    with pytest.raises(PapermillExecutionError) as caught:
        run(source, tmp_path / "out.ipynb", execution_timeout=3)
    assert caught.value.ename == "CellTimeoutError"
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert states(executed) == ["completed", "failed", "pending"]
    hung = next(cell for cell in executed.cells if "sleep" in cell.source)
    assert hung.outputs[0].text == "begun\n"


def test_a_kernel_that_does_not_start_leaves_no_cell_completed(tmp_path: Path) -> None:
    source = write(tmp_path / "odd kernel.ipynb", "1")
    with pytest.raises(Exception, match="no-such-kernel"):
        run(source, tmp_path / "out.ipynb", kernel_name="no-such-kernel")
    executed = json.loads((tmp_path / "out.ipynb").read_text())
    assert executed["metadata"]["papermill"]["exception"] is True
    assert [cell["metadata"]["papermill"]["status"] for cell in executed["cells"]] == ["pending", "pending"]


def test_saves_are_rarer_when_saving_is_slow_and_a_failed_one_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(engine.time, "monotonic", lambda: now[0])
    saves: list[float] = []

    def slow(nb: object, path: str) -> None:
        saves.append(now[0])
        now[0] += 1.0
        if len(saves) == 2:
            raise engine.StorageError("the disk is full")

    monkeypatch.setattr(engine, "write_executed", slow)
    record = engine.ExecutionRecord(notebook("1"), str(tmp_path / "out.ipynb"), False, False, 2, None)
    for _ in range(100):
        record.autosave_cell()
        now[0] += 1.0
    assert saves == [100.0, 121.0, 142.0, 163.0, 184.0]
    with pytest.raises(engine.StorageError):
        saves[1:] = []
        record.save(force=True)

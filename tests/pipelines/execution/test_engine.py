"""Papermill with the workbench's engine: correct records of the execution of a notebook."""

from __future__ import annotations

import io
import json
import time
from datetime import datetime
from pathlib import Path

import nbformat
import papermill
import pytest
from jupyter_client.asynchronous import AsyncKernelClient
from notebook_files import notebook, write
from papermill.exceptions import PapermillExecutionError

from mlops_workbench.core.errors import NotFound
from mlops_workbench.pipelines.cells import record
from mlops_workbench.pipelines.runs.events import CellEnded, CellStarted, read_stage_events

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


def test_a_cell_starts_when_it_does_however_long_the_notebook_takes_to_be_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, sent = record.write_executed, AsyncKernelClient.execute
    monkeypatch.setattr(record, "write_executed", lambda path, text: (time.sleep(0.3), written(path, text)))
    # The kernel has printed the time before the call that sends the code to it returns.
    monkeypatch.setattr(AsyncKernelClient, "execute", lambda *a, **k: (sent(*a, **k), time.sleep(0.1))[0])
    monkeypatch.setattr(record, "PAUSE", 0)
    monkeypatch.setattr(record, "_SAVE_SHARE", 1e9)
    source = write(tmp_path / "a.ipynb", *["import time; print(time.time())"] * 3)
    executed = run(source, tmp_path / "out.ipynb", events=tmp_path / "events.jsonl")
    cells = [cell for cell in executed.cells if cell.cell_type == "code"]
    clock = [float(cell.outputs[0].text) for cell in cells]
    events = [event for event in read_stage_events(tmp_path / "events.jsonl") if isinstance(event, CellStarted)]
    began = [datetime.fromisoformat(cell.metadata.papermill.start_time).timestamp() for cell in cells]
    for at, event, start in zip(clock, events, began, strict=True):
        assert event.at_ms / 1000 <= at and start <= at


def test_a_run_is_recorded_with_few_saves_and_an_event_per_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves: list[str] = []
    written = record.write_executed
    monkeypatch.setattr(record, "write_executed", lambda path, text: (saves.append(path), written(path, text)))
    monkeypatch.setattr(record, "PAUSE", 3600)
    # Relative paths are those of the caller, also when the kernel works elsewhere.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    source = write(Path("many cells.ipynb"), *[f"print({number})" for number in range(12)], parameters="x = 1")
    executed = run(
        source, Path("out.ipynb"), parameters={"x": 2}, cwd="elsewhere", events=tmp_path / "events.jsonl",
    )  # fmt: skip
    assert states(executed) == ["completed"] * 15
    assert executed.cells[-1].outputs[0].text == "11\n"
    events = read_stage_events(tmp_path / "events.jsonl")
    cells = [(type(event), event.cell) for event in events if isinstance(event, CellStarted | CellEnded)]
    assert cells == [(kind, index) for index in range(1, 15) for kind in (CellStarted, CellEnded)]
    assert len(saves) == 2  # at the start and at the end
    assert executed.metadata.papermill.exception is None
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "events.jsonl", "many cells.ipynb", "out.ipynb",
    ]  # fmt: skip


def test_a_dead_kernel_is_a_failure_with_its_cell_marked(tmp_path: Path) -> None:
    source = write(tmp_path / "dies.ipynb", "print('before')", "import os\nos.kill(os.getpid(), 9)", "print('after')")
    with pytest.raises(PapermillExecutionError, match="SIGKILL") as caught:
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
    with pytest.raises(NotFound, match=r"'pyton3' is not installed[\s\S]*did you mean 'python3'"):
        run(source, tmp_path / "out.ipynb", kernel_name="pyton3")
    executed = json.loads((tmp_path / "out.ipynb").read_text())
    assert executed["metadata"]["papermill"]["exception"] is True
    assert [cell["metadata"]["papermill"]["status"] for cell in executed["cells"]] == ["pending", "pending"]


def test_papermill_raises_what_a_wrong_magic_said(tmp_path: Path) -> None:
    source = write(tmp_path / "magic.ipynb", "%no_such_magic", "1")
    with pytest.raises(PapermillExecutionError, match="`%no_such_magic` not found") as caught:
        run(source, tmp_path / "out.ipynb")
    assert caught.value.ename == "UsageError"


def test_the_arguments_of_papermills_engine_work(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write(
        tmp_path / "args.ipynb", "import sys\nprint('out')\nprint('err', file=sys.stderr)", "1/0", "print('later')"
    )
    out, err = io.StringIO(), io.StringIO()
    seen: list[tuple[str, int]] = []
    caplog.set_level("INFO", logger="papermill")
    with pytest.raises(PapermillExecutionError):  # papermill looks for any exception among the outputs
        run(
            source, tmp_path / "out.ipynb", log_output=True, stdout_file=out, stderr_file=err, allow_errors=True,
            request_save_on_cell_execute=False, autosave_cell_every=0,
            on_cell_start=lambda cell, cell_index: seen.append(("start", cell_index)),
            on_cell_executed=lambda cell, cell_index, execute_reply: seen.append(("executed", cell_index)),
        )  # fmt: skip
    assert (out.getvalue(), err.getvalue()) == ("out\nlater\n", "err\n")
    assert [index for what, index in seen if what == "executed"] == [1, 2, 3]
    assert {"Executing Cell 2---", "Ending Cell 2------"} <= {line[:19] for line in caplog.messages}
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert states(executed) == ["completed"] * 4


def test_saves_are_rarer_when_saving_is_slow_and_a_failed_one_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(record.time, "monotonic", lambda: now[0])
    saves: list[float] = []

    def slow(path: str, text: str) -> None:
        saves.append(now[0])
        now[0] += 1.0
        if len(saves) == 2:
            raise record.StorageError("the disk is full")

    monkeypatch.setattr(record, "write_executed", slow)
    running = record.ExecutionRecord(notebook("1"), str(tmp_path / "out.ipynb"))
    for _ in range(60):
        running.changed()
        running.autosave_cell()
        now[0] += 1.0
    assert saves == [100.0, 111.0, 122.0, 133.0, 144.0, 155.0]
    with pytest.raises(record.StorageError):
        saves[1:] = []
        running.save(force=True)


def test_nothing_is_saved_while_a_cell_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saves: list[str] = []
    monkeypatch.setattr(record, "write_executed", lambda path, text: saves.append(text))
    monkeypatch.setattr(record, "PAUSE", 0)
    running = record.ExecutionRecord(notebook("1"), str(tmp_path / "out.ipynb"), autosave_cell_every=1e-9)
    for _ in range(3):
        running.autosave_cell()
    assert len(saves) == 1


def test_a_notebook_given_at_the_end_is_the_one_that_is_saved(tmp_path: Path) -> None:
    running = record.ExecutionRecord(notebook("1"), str(tmp_path / "out.ipynb"))
    running.nb.metadata["papermill"] = {}
    running.notebook_start()
    other = notebook("2")
    other.metadata["papermill"] = {}
    running.notebook_complete(nb=other)
    assert nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[-1].source == "2"

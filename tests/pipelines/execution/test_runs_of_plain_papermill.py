"""``papermill --engine mlops_workbench`` is tracked like any other run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from kernels import Records
from notebook_files import write

from mlops_workbench.core.records import Artifact, Metrics, Params, RunEnd, RunStart
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process

LOGS = "from mlops_workbench import log\nlog(auc=x / 10)"


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "papermill", "--engine", "mlops_workbench", "--no-progress-bar", "in.ipynb", *options]


def papermill(workspace: Workspace, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*options), cwd=workspace.root, env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=170, check=False,
    )  # fmt: skip


def test_parameters_metrics_and_the_executed_notebook_are_recorded(workspace: Workspace, records: Records) -> None:
    source = write(workspace.root / "in.ipynb", LOGS, parameters="x = 1\nname = 'a'")
    done = papermill(workspace, "out.ipynb", "-p", "x", "7", MLOPS_EXPERIMENT="flights")
    assert done.returncode == 0, done.stderr
    (start,) = [record for record in records.of(RunStart) if record.kind == "notebook"]
    assert (start.name, start.experiment, start.notebook) == ("in", "flights", str(source))
    assert records.values(Params, start.run_uid)["x"] in (7, "7")
    assert records.values(Metrics, start.run_uid) == {"auc": 0.7}
    assert [end.status for end in records.of(RunEnd, start.run_uid)] == ["FINISHED"]
    (kept,) = [found for found in records.of(Artifact, start.run_uid) if found.kind == "notebook"]
    notebook = nbformat.reads(records.blob(kept.digest).decode(), as_version=4)
    assert kept.path == "notebook/in.ipynb" and notebook == nbformat.read(workspace.root / "out.ipynb", 4)


def test_a_failure_is_recorded_with_its_cell_and_reason(workspace: Workspace, records: Records) -> None:
    write(workspace.root / "in.ipynb", "%no_such_magic", parameters="x = 1")
    assert papermill(workspace, "out.ipynb").returncode != 0
    (end,) = records.of(RunEnd)
    assert end.status == "FAILED"
    assert end.error == "cell 3: UsageError: Line magic function `%no_such_magic` not found."


@pytest.mark.long
def test_a_kernel_that_is_missing_is_recorded(workspace: Workspace, records: Records) -> None:
    write(workspace.root / "in.ipynb", "1")
    assert papermill(workspace, "out.ipynb", "-k", "cobol").returncode != 0
    (end,) = records.of(RunEnd)
    assert end.status == "FAILED" and "'cobol' is not installed" in end.error


def test_an_interrupt_is_recorded(workspace: Workspace, records: Records) -> None:
    started = workspace.root / "started"
    write(workspace.root / "in.ipynb", f"import time\nopen({str(started)!r}, 'w')\ntime.sleep(600)")
    process = subprocess.Popen(command("out.ipynb"), cwd=workspace.root, stderr=subprocess.DEVNULL)
    for _ in range(1200):
        if started.exists():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)
    assert [end.status for end in records.of(RunEnd)] == ["KILLED"]
    executed = nbformat.read(workspace.root / "out.ipynb", 4)
    assert [cell.metadata.papermill["status"] for cell in executed.cells if cell.cell_type == "code"] == ["failed"]


@pytest.mark.long
def test_trouble_with_the_records_does_not_fail_the_notebook(workspace: Workspace) -> None:
    write(workspace.root / "in.ipynb", "'done'")
    (workspace.root / "workbench.toml").write_text("[capture]\nno_such_setting = 1\n")
    done = papermill(workspace, "out.ipynb")
    assert done.returncode == 0 and "mlops:" in done.stderr
    gone = papermill(workspace, "out.ipynb", MLOPS_WORKSPACE=str(workspace.root / "gone"))
    assert gone.returncode == 0 and "could not be recorded" in gone.stderr
    assert nbformat.read(workspace.root / "out.ipynb", 4).cells[-1].outputs[0].data["text/plain"] == "'done'"


def test_a_run_within_a_run_is_its_part(workspace: Workspace, records: Records) -> None:
    write(workspace.root / "in.ipynb", "1")
    script = workspace.root / "script.py"
    script.write_text(
        "import papermill\nfrom mlops_workbench import track\n"
        "with track('around'):\n"
        "    papermill.execute_notebook('in.ipynb', None, engine_name='mlops_workbench', progress_bar=False)\n"
    )
    subprocess.run([sys.executable, str(script)], cwd=workspace.root, check=True, timeout=170)
    around, inner = records.start("around"), records.start("in")
    assert inner.parent_uid == around.run_uid and inner.kind == "notebook"
    assert [found.path for found in records.of(Artifact, "in") if found.kind == "notebook"] == ["notebook/in.ipynb"]


@pytest.mark.long
def test_a_run_of_a_stage_is_not_tracked_twice(workspace: Workspace, records: Records) -> None:
    write(workspace.root / "in.ipynb", "1")
    assert papermill(workspace, "out.ipynb", MLOPS_RUN_UID="01a0000000000000000000000000cafe").returncode == 0
    assert records.of(RunStart) == []


@pytest.mark.long
def test_a_workspace_is_found_from_the_folder_of_the_command(workspace: Workspace, tmp_path: Path) -> None:
    write(workspace.root / "in.ipynb", LOGS, parameters="x = 1")
    assert papermill(workspace, str(tmp_path / "out.ipynb")).returncode == 0
    assert list(workspace.journal.glob("*.mlj"))

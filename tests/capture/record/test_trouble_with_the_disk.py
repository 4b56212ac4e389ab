"""No disk error stops the user's code; records are kept where possible, and losses are reported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from kernels import Records
from small_disk import mounted

from mlops_workbench.capture import log, log_artifact, log_params, track
from mlops_workbench.capture.record import writer as delivery
from mlops_workbench.core.records import Artifact, Metrics, Model, Params, RunEnd, RunStart
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process


def block(workspace):
    """Make the journal folder impossible to use, also for root, who may write to read-only folders."""
    shutil.rmtree(workspace.journal)
    workspace.journal.write_text("a file is in the way")


def unblock(workspace):
    workspace.journal.unlink()


def test_records_wait_in_memory_until_the_folder_is_there(session, records, workspace, capsys):
    block(workspace)
    with track("r"):
        for i in range(100):
            log(i=i)
        reported = capsys.readouterr().err
        assert reported.count("cannot be written") == 1 and "your code continues" in reported
        unblock(workspace)
    assert logged(records) == list(range(100))
    assert records.end("r").complete, "nothing was lost"
    assert capsys.readouterr().err == ""


def test_a_run_that_lost_records_says_so(session, records, workspace, monkeypatch, capsys):
    monkeypatch.setattr(delivery, "BUFFER_BYTES", 5000)
    block(workspace)
    with track("r"):
        for i in range(500):
            log(i=i)
        unblock(workspace)
    kept = [record.values["i"] for record in records.of(Metrics, "r")]
    assert 0 < len(kept) < 500 and kept == list(range(len(kept)))
    assert not records.end("r").complete


def test_records_that_never_find_a_disk_are_counted_at_the_end(session, workspace, capsys):
    block(workspace)
    with track("r"):
        log(a=1)
    capsys.readouterr()
    session.close()
    assert "records could not be written and are lost" in capsys.readouterr().err


def test_a_read_only_folder_does_not_stop_a_run(tmp_path, monkeypatch, session, capsys):
    if os.geteuid() == 0:
        # root writes where it likes, but nobody makes folders here
        monkeypatch.setenv("MLOPS_WORKSPACE", "/proc/self")
    else:
        folder = tmp_path / "read only"
        folder.mkdir()
        folder.chmod(0o500)
        monkeypatch.setenv("MLOPS_WORKSPACE", str(folder))
    with track("r") as run:
        log(a=1)
        log_artifact(b"x", "x.txt")
    assert run.status == "FINISHED" and run.metrics["a"] == 1
    reported = capsys.readouterr().err
    assert reported.count("cannot be written") == 1 and reported.count("could not be stored") == 1


def test_a_broken_settings_file_is_named_and_stops_nothing(session, records, workspace, capsys):
    file = workspace.root / "workbench.toml"
    good = file.read_text()
    file.write_text("[journal]\nsegment_mb = 'big'\n")
    with track("r"):
        log(a=1)
        reported = capsys.readouterr().err
        assert "segment_mb" in reported and "workbench.toml" in reported
        file.write_text(good)
    assert records.values(Metrics, "r") == {"a": 1}


def test_a_script_beside_a_settings_file_that_nobody_mends_is_recorded_with_the_defaults(workspace, records):
    (workspace.root / "workbench.toml").write_text("[journal]\n[journal]\n")
    script = (
        "from sklearn.linear_model import LinearRegression\n"
        "from mlops_workbench import log, log_model, track\n"
        "with track('fitted'):\n"
        "    for step in range(200):\n"
        "        log(step=step, loss=1 / (step + 1))\n"
        "    log_model(LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0]))\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLOPS_")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=workspace.root, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr.count("default settings") == 1 and "workbench.toml" in done.stderr
    assert len(records.of(Metrics, "fitted")) >= 200 and records.end("fitted").complete
    assert [model.estimator.rpartition(".")[2] for model in records.of(Model, "fitted")] == ["LinearRegression"]


def test_a_workspace_that_is_gone_stops_nothing(session, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("MLOPS_WORKSPACE", str(tmp_path / "gone"))
    with track("r"):
        log(a=1)
    assert "the folder in MLOPS_WORKSPACE does not exist" in capsys.readouterr().err


def test_a_journal_deleted_under_a_run_is_begun_anew_and_the_run_is_incomplete(session, records, workspace, capsys):
    with track("r"):
        log(before=1)
        shutil.rmtree(workspace.state)
        log(during=2)
        log_artifact(b"x", "x.txt")  # synced, which is when the loss is noticed
        log(after=3)
    assert records.start("r").name == "r"
    assert records.values(Metrics, "r")["after"] == 3
    assert not records.end("r").complete
    assert "deleted" in capsys.readouterr().err


def test_an_artifact_that_cannot_be_stored_makes_the_run_incomplete(session, records, workspace, capsys):
    with track("r"):
        (workspace.state / "store").write_text("a file is in the way")
        log_artifact(b"x", "x.txt")
        log(a=1)
    assert records.of(Artifact, "r") == [] and records.values(Metrics, "r") == {"a": 1}
    assert not records.end("r").complete
    assert "could not be stored" in capsys.readouterr().err


def test_a_full_disk_stops_nothing(workspace, records):
    # The largest file size a process may write stands for the full disk: reserving room fails the same way.
    script = """
import resource
from mlops_workbench.capture import track, log, log_params
with track("r"):
    log(first=1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, resource.RLIM_INFINITY))
    for i in range(300):
        log_params({f"p{i}": "x" * 20_000})
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    log(last=1)
print("done")
"""
    env = {**os.environ, "MLOPS_WORKSPACE": str(workspace.root)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout == "done\n" and done.stderr.count("cannot be written") == 1, done.stderr
    assert len(records.values(Params, "r")) == 300
    assert records.values(Metrics, "r") == {"first": 1, "last": 1}
    assert records.end("r").complete


@pytest.fixture
def small_disk(tmp_path):
    with mounted(tmp_path / "small disk", megabytes=8) as folder:
        yield Workspace.init(folder)


DISK = """
import os, time
from pathlib import Path
from mlops_workbench.capture import track, log, log_params, log_artifact

def fill():
    with open("filler", "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass

def free():
    os.unlink("filler")
"""


def logged(records):
    return [record.values["i"] for record in records.of(Metrics, "r") if "i" in record.values]


def on_disk(workspace, script):
    env = {name: value for name, value in os.environ.items() if not name.startswith("MLOPS_")}
    return subprocess.run(
        [sys.executable, "-c", DISK + script], env=env, cwd=workspace.root, capture_output=True, text=True, timeout=120
    )


def test_on_a_really_full_disk_all_is_kept_until_there_is_room(small_disk):
    done = on_disk(
        small_disk,
        """
with track("r"):
    log(i=-1)
    fill()
    for i in range(40_000):
        log(i=i)
    log_params(p="x" * 100_000)
    free()
    log(i=40_000)
print("done")
""",
    )
    assert done.stdout == "done\n" and done.stderr.count("mlops:") == 1, done.stderr
    assert "No space left" in done.stderr and "your code continues" in done.stderr
    records = Records(small_disk.root)
    assert logged(records) == list(range(-1, 40_001))
    assert records.values(Params, "r") == {"p": "x" * 100_000}
    assert records.end("r").complete


def test_on_a_full_disk_what_exceeds_the_memory_is_dropped_and_the_run_says_so(small_disk):
    done = on_disk(
        small_disk,
        """
from mlops_workbench.capture.record import writer
writer.BUFFER_BYTES = 1 << 20
with track("r"):
    fill()
    for i in range(40_000):
        log(i=i)
    log_artifact(b"x" * 10_000, "x.bin")
    free()
with track("next"):
    log(i=1)
print("done")
""",
    )
    assert done.stdout == "done\n", done.stderr
    assert done.stderr.count("cannot be written") == 1 and done.stderr.count("could not be stored") == 1
    records = Records(small_disk.root)
    kept = logged(records)
    assert 0 < len(kept) < 40_000 and kept == list(range(len(kept)))
    assert not records.end("r").complete and records.end("r").status == "FINISHED"
    assert records.end("next").complete


def test_a_disk_that_is_full_from_the_start_stops_nothing(small_disk):
    done = on_disk(small_disk, "fill()\nwith track('r') as run:\n    log(a=1)\n    log(a=2)\nprint(run.status)")
    assert done.stdout == "FINISHED\n" and done.returncode == 0, done.stderr
    assert done.stderr.count("cannot be written") == 1 and "are lost" in done.stderr


def test_a_disk_that_is_mounted_read_only_stops_nothing(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk.root], check=True)
    done = on_disk(small_disk, "with track('r') as run:\n    log(a=1)\nprint(run.status)")
    assert done.stdout == "FINISHED\n" and "Read-only" in done.stderr
    assert done.stderr.count("cannot be written") == 1


@pytest.mark.parametrize("when", ["before", "during"])
def test_a_process_with_too_many_files_open_keeps_all_it_logs(workspace, records, when):
    done = on_disk(
        workspace,
        f"""
import resource
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
def none(): resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
def many(): resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
import mimetypes; mimetypes.init()
with track("first"):
    log(a=1)
if {when == "before"}:
    none()
with track("r"):
    none()
    for i in range(30_000):
        log(i=i)
    log_params(p=1)
    log_artifact(b"x", "x.txt")
    with track("inner"):
        log(b=2)
    many()
    log(i=30_000)
print("done")
""",
    )
    assert done.stdout == "done\n" and done.stderr.count("Too many open files") <= 2, done.stderr
    assert logged(records) == list(range(30_001))
    assert records.values(Metrics, "inner") == {"b": 2} and records.values(Params, "r") == {"p": 1}
    assert records.end("inner").complete
    assert not records.end("r").complete, "the artifact is missing"


def test_a_closed_stderr_stops_nothing(session, workspace, monkeypatch):
    class Closed:
        def write(self, text):
            raise ValueError("I/O operation on closed file")

    monkeypatch.setattr(sys, "stderr", Closed())
    block(workspace)
    with track("r") as run:
        log_params(a=1)
    assert run.status == "FINISHED"


@pytest.mark.parametrize("times", [1, 3])
def test_closing_more_than_once_is_fine_and_logging_goes_on(session, records, times):
    with track("one"):
        log(a=1)
    for _ in range(times):
        session.close()
    with track("two"):
        log(a=2)
    session.close()
    assert [start.name for start in records.of(RunStart)] == ["one", "two"]
    assert len(records.of(RunEnd)) == 2

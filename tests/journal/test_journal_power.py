"""A loss of power loses at most the last interval, and nothing of a run's start, its end and its artifacts.

What `fdatasync` was called for is what a disk keeps: the child notes what the file held when each call began, and
only that counts as kept.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from mlops_workbench.core.settings_sources import load_settings

pytestmark = pytest.mark.process

#: ``kept()`` gives the records that are on the disk, as ``(type, what)``.
DISK = """
import os, time
from pathlib import Path

synced, real, delay = {}, os.fdatasync, [0.0]

def fdatasync(file):
    path = os.readlink(f"/proc/self/fd/{file}")
    held = Path(path).read_bytes()
    time.sleep(delay[0])
    real(file)
    if path.endswith(".mlj"):
        synced[path] = held

folders, real_fsync = set(), os.fsync

def fsync(file):
    real_fsync(file)
    folders.add(os.readlink(f"/proc/self/fd/{file}"))

os.fdatasync, os.fsync = fdatasync, fsync

from mlops_workbench.capture import current_session, log, log_artifact, log_params, track
from mlops_workbench.core.records import decode
from mlops_workbench.journal import read_frames

def kept():
    found = []
    for path, held in sorted(synced.items()):
        copy = Path(path + ".kept")
        copy.write_bytes(held)
        found += [decode(frame.type, frame.payload) for frame in read_frames(copy)]
        copy.unlink()
    return [type(record).__name__ for record in found], [
        value for record in found if type(record).__name__ in ("Metrics", "Params") for value in record.values.values()
    ]

def until(found):
    deadline = time.monotonic() + 60
    while not found():
        assert time.monotonic() < deadline, kept()
        time.sleep(0.01)
"""


def disk(workspace, script, **settings):
    # Without what is recorded beside the calls, at moments of its own.
    env = {**os.environ, "MLOPS_CAPTURE_ENVIRONMENT": "false", "MLOPS_CAPTURE_RESOURCES": "false"}
    env["MLOPS_WORKSPACE"] = str(workspace.root)
    env |= {f"MLOPS_JOURNAL_{name.upper()}": str(value) for name, value in settings.items()}
    done = subprocess.run([sys.executable, "-c", DISK + script], env=env, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.skipif(not hasattr(os, "fdatasync"), reason="this system syncs by another call")
class TestPower:
    def test_the_start_the_end_and_artifacts_are_on_the_disk_when_their_calls_return(self, workspace):
        disk(
            workspace,
            """
with track("r") as run:
    assert kept()[0] == ["SessionStart", "RunStart"], kept()
    assert str(current_session().workspace.journal) in folders, "a file whose name is lost is lost"
    log(a=1)
    log_artifact(b"bytes", "x.bin")
    assert kept()[0][-2:] == ["Metrics", "Artifact"], kept()
    log(b=2)
assert kept()[0][-2:] == ["Metrics", "RunEnd"], kept()
with track("outer"):
    with track("inner"):
        assert kept()[0].count("RunStart") == 3
    assert kept()[0].count("RunEnd") == 2
""",
            fsync_seconds=60,
        )

    def test_the_start_and_the_end_of_a_cells_run_are_on_the_disk_without_another_call(self, workspace):
        disk(
            workspace,
            """
import stat
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "mlops_workbench")
shell.user_ns["until"], shell.user_ns["kept"] = until, kept
cell = "%%track r\\nuntil(lambda: kept()[0].count('RunStart') == 1)"
assert shell.run_cell(cell, store_history=True).success
until(lambda: "RunEnd" in kept()[0])
blobs = current_session().workspace.blobs
until(lambda: "Artifact" in kept()[0] or current_session().sync_soon())
for name, held in synced.items():
    Path(name + ".kept").write_bytes(held)
    for frame in read_frames(Path(name + ".kept")):
        record = decode(frame.type, frame.payload)
        if type(record).__name__ == "Artifact":
            # What a record on the disk refers to was synced before it.
            assert blobs.holds(record.digest) and str(blobs.path(record.digest)) in folders
""",
            fsync_seconds=60,
        )

    def test_metrics_and_parameters_are_on_the_disk_after_the_interval_without_another_call(self, workspace):
        disk(
            workspace,
            """
with track("r") as run:
    log(a=1)
    log_params(p=2)
    until(lambda: kept()[1] == [1, 2])
    log(a=3)
    until(lambda: kept()[1] == [1, 2, 3])
""",
            fsync_seconds=0.1,
        )

    def test_what_is_logged_while_the_disk_is_busy_is_on_the_disk_an_interval_later(self, workspace):
        disk(
            workspace,
            """
with track("r") as run:
    delay[0] = 0.2
    log(a=0)
    until(lambda: kept()[1] == [0])
    for i in range(1, 8):
        log(a=i)
        time.sleep(0.05)   # some of them fall into a sync that has begun
    until(lambda: kept()[1] == list(range(8)))
    delay[0] = 0.0
""",
            fsync_seconds=0.05,
        )

    def test_files_that_are_full_are_on_the_disk_as_well(self, workspace):
        disk(
            workspace,
            """
with track("r") as run:
    texts = [f"{i} " + "x" * 100_000 for i in range(35)]
    for i, text in enumerate(texts):
        log_params({f"p{i}": text})
    assert len(list(current_session().workspace.journal.iterdir())) >= 3
    until(lambda: kept()[1] == texts)
""",
            fsync_seconds=0.1,
            segment_mb=1,
        )

    def test_with_an_interval_of_nothing_each_call_waits_for_the_disk(self, workspace):
        disk(
            workspace,
            """
with track("r") as run:
    for i in range(5):
        log(a=i)
        assert kept()[1] == list(range(i + 1))
""",
            fsync_seconds=0,
        )

    def test_a_process_that_dies_leaves_to_the_disk_no_more_than_the_interval(self, workspace):
        done = disk(
            workspace,
            """
import json
with track("r") as run:
    for i in range(1000):
        log(a=i)
    os.write(1, json.dumps(kept()[1]).encode())
    os._exit(0)
""",
            fsync_seconds=60,
        )
        # The two promises differ: the page cache has it all, the disk of this machine would not.
        assert json.loads(done.stdout) == []


def test_the_interval_is_one_second_unless_it_is_set(tmp_path):
    assert load_settings(tmp_path / "workbench.toml").journal.fsync_seconds == 1.0

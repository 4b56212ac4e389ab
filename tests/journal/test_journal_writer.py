"""The writer: rotation, threads, forks, full disks, sudden death."""

from __future__ import annotations

import gc
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest

from mlops_workbench.core.errors import StorageError
from mlops_workbench.journal import ForkedWriter, JournalWriter, NotSynced, read_frames


def everything(folder, session="s"):
    return [frame for path in sorted(folder.glob(f"{session}-*.mlj")) for frame in read_frames(path)]


def test_files_rotate_by_size_and_the_sequence_goes_on(tmp_path):
    writer = JournalWriter(tmp_path, "s", segment_bytes=10_000, fsync_seconds=60)
    payloads = [bytes([i % 256]) * 900 for i in range(100)]
    for payload in payloads:
        writer.append(5, payload)
    writer.close()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 10 and files[0].name == "s-0000.mlj" and files[-1] == writer.path
    assert all(file.stat().st_size <= 10_000 for file in files)
    frames = everything(tmp_path)
    assert [frame.payload for frame in frames] == payloads
    assert [frame.sequence for frame in frames] == list(range(100))


def test_a_frame_longer_than_a_segment_gets_a_file_of_its_own(tmp_path):
    writer = JournalWriter(tmp_path, "s", segment_bytes=4096, fsync_seconds=60)
    sizes = [10, 3_000_000, 20]
    for size in sizes:
        writer.append(1, b"z" * size)
    writer.close()
    assert [len(frame.payload) for frame in everything(tmp_path)] == sizes


def test_a_live_file_is_read_while_it_grows(tmp_path):
    writer = JournalWriter(tmp_path, "s", segment_bytes=1 << 24, fsync_seconds=60)
    offset, got = 0, []
    for i in range(5000):
        writer.append(i % 9, os.urandom(300))
        if i % 777 == 0:
            for frame in read_frames(writer.path, offset):
                got.append(frame.sequence)
                offset = frame.end
            assert got == list(range(i + 1))
    assert writer.path.stat().st_size > offset, "the reserved tail is still there"
    writer.close()
    assert [*got, *(f.sequence for f in read_frames(writer.path, offset))] == list(range(5000))


def test_a_reader_loses_nothing_to_a_writer_in_another_thread(tmp_path):
    writer = JournalWriter(tmp_path, "s", segment_bytes=1 << 26, fsync_seconds=60)
    total = 30_000

    def write():
        for i in range(total):
            writer.append(1, i.to_bytes(4, "big") * 20)

    thread = threading.Thread(target=write)
    thread.start()
    offset, after, got = 0, -1, 0
    while got < total:
        alive = thread.is_alive()
        before = got
        for frame in read_frames(writer.path, offset, after=after):
            assert frame.sequence == got
            got += 1
            offset, after = frame.end, frame.sequence
        assert alive or got > before, f"{total - got} frames are missing"
    thread.join()
    writer.close()


def test_threads_may_append_at_the_same_time(tmp_path):
    writer = JournalWriter(tmp_path, "s", segment_bytes=50_000, fsync_seconds=0.01)

    def write(name):
        for i in range(2000):
            writer.append(name, i.to_bytes(4, "big"))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    frames = everything(tmp_path)
    assert [frame.sequence for frame in frames] == list(range(12_000))
    for name in range(6):
        assert [int.from_bytes(f.payload, "big") for f in frames if f.type == name] == list(range(2000))


def test_two_writers_of_one_name_never_share_a_file(tmp_path):
    one = JournalWriter(tmp_path, "s", segment_bytes=4096, fsync_seconds=60)
    two = JournalWriter(tmp_path, "s", segment_bytes=4096, fsync_seconds=60)
    assert one.path != two.path
    one.append(1, b"one")
    two.append(1, b"two")
    one.close()
    two.close()
    assert [f.payload for f in read_frames(one.path)] == [b"one"]
    assert [f.payload for f in read_frames(two.path)] == [b"two"]


@pytest.mark.process
def test_a_forked_child_cannot_write_to_the_parents_file(tmp_path):
    writer = JournalWriter(tmp_path, "s", segment_bytes=1 << 20, fsync_seconds=0.05)
    writer.append(1, b"before")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            writer.append(1, b"from the child")
        except ForkedWriter:
            writer.sync()
            writer.close()
            own = JournalWriter(tmp_path, "c", segment_bytes=1 << 20, fsync_seconds=0.05)
            own.append(1, b"child")
            own.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    writer.append(1, b"after")
    writer.close()
    assert [f.payload for f in everything(tmp_path)] == [b"before", b"after"]
    assert [f.payload for f in everything(tmp_path, "c")] == [b"child"]


def test_appending_after_close_is_an_error_and_closing_twice_is_not(tmp_path):
    writer = JournalWriter(tmp_path, "s", segment_bytes=1 << 20, fsync_seconds=1)
    writer.append(1, b"x")
    writer.close()
    writer.close()
    with pytest.raises(StorageError, match="closed"):
        writer.append(1, b"y")
    assert writer.path.stat().st_size < 200


def test_a_missing_folder_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="No such file"):
        JournalWriter(tmp_path / "none", "s", segment_bytes=1 << 20, fsync_seconds=1)


def test_a_deleted_file_is_noticed_when_it_is_synced(tmp_path):
    writer = JournalWriter(tmp_path, "s", segment_bytes=1 << 20, fsync_seconds=60)
    writer.append(1, b"x")
    writer.path.unlink()
    with pytest.raises(StorageError, match="deleted"):
        writer.append(1, b"y", sync=True)
    with pytest.raises(StorageError, match="deleted"):
        writer.append(1, b"z")
    writer.close()


def test_a_process_with_too_many_files_open_is_synced_later(tmp_path):
    writer = JournalWriter(tmp_path, "s", segment_bytes=1 << 20, fsync_seconds=0.05)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        writer.append(1, b"x")
        with pytest.raises(NotSynced, match="Too many open files"):
            writer.append(1, b"in", sync=True)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    deadline = time.monotonic() + 30
    while writer._dirty and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not writer._dirty
    writer.append(1, b"y", sync=True)
    writer.close()
    assert [frame.payload for frame in read_frames(writer.path)] == [b"x", b"in", b"y"]


@pytest.mark.process
def test_a_full_disk_is_an_error_and_what_was_written_stays(tmp_path):
    # The largest file size a process may write stands for the full disk: reserving room fails the same way.
    script = f"""
import resource, sys
from pathlib import Path
from mlops_workbench.core.errors import StorageError
from mlops_workbench.journal import JournalWriter
resource.setrlimit(resource.RLIMIT_FSIZE, ({3 << 20}, {3 << 20}))
writer = JournalWriter(Path(sys.argv[1]), "s", segment_bytes=1 << 26, fsync_seconds=60)
kept = 0
try:
    while True:
        writer.append(1, bytes([kept % 256]) * 1000)
        kept += 1
except StorageError as error:
    assert "cannot write the journal" in str(error), error
for size in (10, 20):
    writer.append(2, b"s" * size)   # there is room for small frames yet
    kept += 1
writer.close()
print(kept)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    kept = int(done.stdout)
    assert kept > 2000 and len(everything(tmp_path)) == kept
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 3 << 20


WRITER = """
import sys
from pathlib import Path
from mlops_workbench.journal import JournalWriter
writer = JournalWriter(Path(sys.argv[1]), "s", segment_bytes=200_000, fsync_seconds=0.05)
number = 0
while True:
    writer.append(number % 50, number.to_bytes(8, "big") * (1 + number % 40))
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""


@pytest.mark.process
def test_killing_the_writer_loses_nothing_that_append_returned_from(tmp_path):
    chance = random.Random(7)
    for trial in range(6):
        folder = tmp_path / str(trial)
        folder.mkdir()
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"0\n"
            time.sleep(chance.uniform(0, 0.1))
        finally:
            process.send_signal(signal.SIGKILL)
        reported = process.stdout.read().splitlines(keepends=True)
        process.wait()
        process.stdout.close()
        promised = [int(line) for line in reported if line.endswith(b"\n")]
        frames = everything(folder)
        count = len(frames)
        # One more may be there: appended, and killed before it could be reported.
        assert (promised[-1] if promised else 0) + 1 <= count <= (promised[-1] if promised else 0) + 2
        for number, frame in enumerate(frames):
            assert (frame.type, frame.sequence) == (number % 50, number)
            assert frame.payload == number.to_bytes(8, "big") * (1 + number % 40)


def syncers():
    return [thread for thread in threading.enumerate() if thread.name == "mlops-journal-sync"]


def test_the_thread_of_a_writer_ends_with_it(tmp_path):
    before = syncers()
    for dispose in (JournalWriter.close, lambda _writer: None):
        writer = JournalWriter(tmp_path, "s", segment_bytes=1 << 20, fsync_seconds=600)
        writer.append(1, b"x")
        (thread,) = [thread for thread in syncers() if thread not in before]
        dispose(writer)
        del writer
        gc.collect()
        thread.join(timeout=30)
        assert not thread.is_alive()

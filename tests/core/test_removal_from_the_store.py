"""Files of the store are removed while others write them, and no writer loses a file that it relies on."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_workbench.core.errors import NotFound
from mlops_workbench.core.store import BlobStore

_OLD = 2 * 86_400.0
_HOUR = 3600.0


def _age(store: BlobStore, digest: str) -> None:
    past = time.time() - _OLD
    os.utime(store.path(digest), (past, past))


def _an_hour_ago() -> float:
    return time.time() - _HOUR


def test_a_file_that_was_not_used_is_removed(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    digest = store.put_bytes(b"old")
    _age(store, digest)
    assert store.remove(digest, unused_since=_an_hour_ago())
    with pytest.raises(NotFound):
        store.get(digest)
    assert list(store.blobs()) == [] and not store.remove(digest, unused_since=_an_hour_ago())


@pytest.mark.parametrize("use", ["put", "holds"])
def test_a_file_that_was_stored_again_stays(tmp_path: Path, use: str) -> None:
    store = BlobStore(tmp_path)
    digest = store.put_bytes(b"old")
    _age(store, digest)
    if use == "put":
        store.put_bytes(b"old")
    else:
        assert store.holds(digest)
    assert not store.remove(digest, unused_since=_an_hour_ago())
    assert store.get(digest).read_bytes() == b"old"


def test_a_file_left_half_removed_is_found_by_readers(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    digest = store.put_bytes(b"needed")
    path = store.path(digest)
    path.rename(path.with_name(f"{digest}.removing"))
    assert store.get(digest).read_bytes() == b"needed"


def test_what_ended_processes_left_is_settled(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    digest = store.put_bytes(b"needed")
    path = store.path(digest)
    path.rename(path.with_name(f"{digest}.removing"))
    (tmp_path / ".incoming-new").write_bytes(b"half")
    (tmp_path / ".incoming-old").write_bytes(b"half")
    os.utime(tmp_path / ".incoming-old", (1, 1))
    store.settle(unused_since=_an_hour_ago())
    assert path.read_bytes() == b"needed"
    assert [file.name for file in tmp_path.glob(".incoming-*")] == [".incoming-new"]


def _write(root: Path, rounds: int, lost: multiprocessing.Queue[str]) -> None:
    store = BlobStore(root)
    for number in range(rounds):
        digest = store.put_bytes(f"content {number % 20}".encode(), sync=False)
        store.sync(digest)
        # From here on the writer relies on it.
        try:
            store.get(digest)
        except NotFound:
            lost.put(digest)
        # As if much time had passed: it may be removed until it is stored again.
        past = time.time() - _OLD
        with contextlib.suppress(FileNotFoundError):
            os.utime(store.path(digest), (past, past))


@pytest.mark.process
def test_a_writer_never_loses_a_file_to_a_process_that_removes(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    context = multiprocessing.get_context("spawn")
    lost = context.Queue()
    writer = context.Process(target=_write, args=(tmp_path, 2000, lost))
    writer.start()
    removed = 0
    while writer.is_alive():
        for digest, _ in list(store.blobs()):
            removed += store.remove(digest, unused_since=_an_hour_ago())
    writer.join(timeout=60)
    assert writer.exitcode == 0 and removed
    assert lost.empty()


_REMOVE = """
import sys, time
from pathlib import Path
from mlops_workbench.core.store import BlobStore
store = BlobStore(Path(sys.argv[1]))
print("ready", flush=True)
for digest, _ in list(store.blobs()):
    store.remove(digest, unused_since=time.time() - 3600)
"""


@pytest.mark.process
def test_a_kill_while_files_are_removed_loses_none_that_is_used(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    for trial in range(6):
        old = [store.put_bytes(f"{trial} old {number}".encode(), sync=False) for number in range(300)]
        used = [store.put_bytes(f"used {number}".encode(), sync=False) for number in range(300)]
        for digest in (*old, *used):
            store.sync(digest)
            _age(store, digest)
        assert all(store.holds(digest) for digest in used)
        process = subprocess.Popen([sys.executable, "-c", _REMOVE, str(tmp_path)], stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline()
        time.sleep(0.001 * trial * 2)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert all(store.get(digest).exists() for digest in used)
        store.settle(unused_since=_an_hour_ago())
        assert not list(tmp_path.glob("??/*.removing"))

"""Ids, files, processes, the store and errors."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.core.errors import InvalidInput, NotFound, StorageError, WorkbenchError, did_you_mean
from mlops_workbench.core.files import file_lock, write_atomic
from mlops_workbench.core.ids import check_name, new_id
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.store import BlobStore, digest_file


def test_ids_are_unique_and_sort_by_time() -> None:
    first = [new_id() for _ in range(1000)]
    time.sleep(0.002)
    later = new_id()
    assert len(set(first)) == 1000
    assert max(first) < later
    assert all(len(i) == 32 and i[12] == "7" and i[16] in "89ab" for i in first)


@pytest.mark.parametrize("name", ["flight-delays", "a", "A.b_c-9"])
def test_plain_names_are_taken(name: str) -> None:
    assert check_name("model", name) == name


@pytest.mark.parametrize("name", ["", "-x", "../x", "a/b", "a b", "é", "x" * 129, "a\n", ".x"])
def test_names_that_could_be_paths_or_options_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be the name"):
        check_name("model", name)


def test_an_error_survives_the_way_over_http() -> None:
    error = NotFound("no model 'x'", where="registry", hint="did you mean 'y'?")
    back = WorkbenchError.from_dict(error.to_dict(), 404)
    assert isinstance(back, NotFound)
    assert str(back) == str(error)


@given(st.text(), st.lists(st.text()))
def test_a_hint_can_always_be_given(name: str, known: list[str]) -> None:
    assert did_you_mean(name, known)


def test_a_file_is_old_or_new_never_half(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    sizes = [b"a" * 200_000, b"b" * 300_000]
    write_atomic(file, sizes[0])
    seen = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.add(file.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(30):
        write_atomic(file, sizes[number % 2])
    stop.set()
    reader.join()
    assert seen <= set(sizes)
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_is_a_file_gives_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write x"):
        write_atomic(tmp_path / "file" / "x", "data")


@pytest.mark.process
def test_a_lock_is_free_again_when_its_holder_is_killed(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    code = (
        "import sys, time; from pathlib import Path; from mlops_workbench.core.files import file_lock\n"
        "with file_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with file_lock(lock, wait=False) as held:
            assert not held
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with file_lock(lock) as held:
        assert held


def test_a_process_is_told_from_a_later_one_with_its_number() -> None:
    own = ProcessIdentity.of()
    assert own is not None
    assert own.alive()
    assert not ProcessIdentity(own.pid, own.started - 1).alive()


@pytest.mark.process
def test_a_process_is_stopped_even_when_it_does_not_want_to() -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    identity = ProcessIdentity.of(process.pid)
    assert identity is not None
    assert identity.stop(grace=0.2)
    assert not identity.alive()
    process.wait()
    process.stdout.close()
    assert ProcessIdentity.of(process.pid) is None


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_process_lives_until_the_last_of_its_threads_has_ended(tmp_path: Path) -> None:
    """After SIGKILL, too, the first thread may be gone before those that hold locks and files."""
    lock = tmp_path / "lock"
    exit_thread = 60 if platform.machine() == "x86_64" else 93  # number of the call that ends one thread
    code = (
        "import ctypes, sys, threading; from pathlib import Path\n"
        "from mlops_workbench.core.files import file_lock\n"
        "def hold():\n"
        "    with file_lock(Path(sys.argv[1])):\n"
        "        print('held', flush=True)\n"
        "        sys.stdin.read()\n"
        "threading.Thread(target=hold).start()\n"
        f"ctypes.CDLL(None).syscall({exit_thread}, 0)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    identity = ProcessIdentity.of(process.pid)
    assert identity is not None
    process.stdout.readline()
    stat = Path(f"/proc/{process.pid}/stat")
    while stat.read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    assert identity.alive()
    with file_lock(lock, wait=0.1) as held:
        assert not held
    process.kill()
    while identity.alive():
        time.sleep(0.01)
    with file_lock(lock, wait=False) as held:
        assert held
    process.communicate()


def test_a_lock_is_waited_for_as_long_as_is_said(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with contextlib.ExitStack() as stack:
        stack.enter_context(file_lock(lock))
        threading.Timer(0.2, stack.close).start()
        with file_lock(lock, wait=60.0) as held:
            assert held


@given(st.binary(max_size=10_000))
def test_a_blob_is_found_by_its_digest(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    store = BlobStore(tmp_path_factory.mktemp("store"))
    digest = store.put_bytes(data)
    assert store.get(digest).read_bytes() == data
    assert digest_file(store.get(digest)) == digest
    source = store.root / "source"
    source.write_bytes(data)
    assert store.put_file(source) == digest


def test_a_missing_blob_and_a_store_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        BlobStore(tmp_path).get("0" * 64)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot store"):
        BlobStore(tmp_path / "file").put_bytes(b"x")


def test_a_blob_that_a_loss_of_power_cut_short_is_not_given_and_is_stored_again(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    digest = store.put_bytes(b"content", sync=False)
    assert store.get(digest).read_bytes() == b"content" and not store.holds(digest)
    store.path(digest).write_bytes(b"")
    with pytest.raises(NotFound, match="loss of power"):
        store.get(digest)
    assert store.put_bytes(b"content") == digest and store.holds(digest)
    assert store.get(digest).read_bytes() == b"content"
    # Known to be on the disk: it is not written again.
    before = store.path(digest).stat().st_ino
    store.put_bytes(b"content")
    store.put_bytes(b"content", sync=False)
    assert store.path(digest).stat().st_ino == before


def test_a_blob_is_trusted_once_it_was_synced(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    digest = store.put_bytes(b"content", sync=False)
    store.sync(digest)
    assert store.holds(digest) and store.get(digest).read_bytes() == b"content"
    store.path(digest).unlink()
    store.sync(digest)
    assert not store.holds(digest)


def test_an_interrupted_write_leaves_no_blob(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "store")
    with pytest.raises(IsADirectoryError):
        store.put_file(tmp_path)
    assert not [name for _, _, names in os.walk(store.root) for name in names]


@pytest.mark.process
def test_the_ground_is_quick_to_import_and_pulls_in_nothing() -> None:
    code = (
        "import sys; import mlops_workbench.core.workspace, mlops_workbench.core.records; "
        "print([n for n in 'mlflow pandas numpy sklearn httpx fastapi psutil asyncio'.split() if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.process
def test_a_lock_is_its_holders_whatever_a_forked_child_does(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with contextlib.ExitStack() as stack:
        assert stack.enter_context(file_lock(lock))
        gone_read, gone_write = os.pipe()
        stay_read, stay_write = os.pipe()
        child = os.fork()
        if child == 0:
            stack.close()
            os.write(gone_write, b"x")
            os.read(stay_read, 1)
            os._exit(0)
        other = os.fork()
        if other == 0:
            os.read(stay_read, 1)
            os._exit(0)
        try:
            os.read(gone_read, 1)
            with file_lock(lock, wait=False) as held:
                assert not held, "the child gave up the lock of its parent"
            stack.close()
            with file_lock(lock, wait=False) as held:
                assert held, "the child keeps the lock that its parent gave up"
        finally:
            os.write(stay_write, b"xx")
            os.waitpid(child, 0)
            os.waitpid(other, 0)
            for pipe in (gone_read, gone_write, stay_read, stay_write):
                os.close(pipe)

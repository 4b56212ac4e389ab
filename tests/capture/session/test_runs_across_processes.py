"""Work that is given to other processes and threads belongs to the run that gave it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mlops_workbench.core.records import Metrics, RunStart, SessionStart

pytestmark = pytest.mark.process

#: What workers run must be importable by a fresh interpreter.
WORK = """
import os, signal
from mlops_workbench.capture import log, log_param, track

def plain(n):
    log({f"m{n}": n})
    return os.getpid()

def nested(n):
    with track(f"child {n}"):
        log(inside=n)
        with track(f"grandchild {n}"):
            log(deep=n)
        log(again=n)
    log({f"after {n}": n})
    return os.getpid()

def killed(n):
    for i in range(n):
        log(i=i)
    os.kill(os.getpid(), signal.SIGKILL)
"""

METHODS = ("fork", "spawn", "forkserver")


@pytest.fixture
def python(workspace, tmp_path):
    """Run a script that may import `work`, in a workspace found by its folder."""
    (tmp_path / "work.py").write_text(WORK)

    def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "script.py"
        file.write_text(script)
        done = subprocess.run(
            [sys.executable, str(file)],
            env={**os.environ, "PYTHONPATH": str(tmp_path), **environment},
            cwd=workspace.root,
            capture_output=True,
            text=True,
            timeout=150,
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


def check_children(records, numbers, parent="parent"):
    """Each child run belongs to the parent's run, each grandchild to its child."""
    for n in numbers:
        child, grandchild = records.start(f"child {n}"), records.start(f"grandchild {n}")
        assert child.parent_uid == records.start(parent).run_uid and child.experiment == "of the parent"
        assert grandchild.parent_uid == child.run_uid
        assert records.values(Metrics, f"child {n}") == {"inside": n, "again": n}
        assert records.values(Metrics, f"grandchild {n}") == {"deep": n}
        assert records.end(f"child {n}").status == records.end(f"grandchild {n}").status == "FINISHED"


def test_workers_of_joblib_are_started_once_and_join_each_run_in_turn(python, records):
    done = python("""
import os
from joblib import Parallel, delayed
from work import log, nested, plain, track
pids = set()
with Parallel(n_jobs=2) as parallel:
    for name in ("first", "second"):
        with track(name, experiment="of the parent"):
            pids |= set(parallel(delayed(plain)(n) for n in range(4)))
    with track("parent", experiment="of the parent"):
        pids |= set(parallel(delayed(nested)(n) for n in range(2)))
        log(own=1)
    assert os.getpid() not in pids
    parallel(delayed(plain)(n) for n in range(2))   # in no run
print(len(pids))
""")
    for name in ("first", "second"):
        assert records.values(Metrics, name) == {f"m{n}": n for n in range(4)}
    assert records.values(Metrics, "parent") == {"after 0": 0, "after 1": 1, "own": 1}
    check_children(records, range(2))
    assert "outside a run" in done.stderr
    sessions = records.of(SessionStart)
    workers = int(done.stdout)
    assert len({start.pid for start in sessions}) == len({start.session for start in sessions}) == workers + 1


@pytest.mark.parametrize("method", METHODS)
def test_workers_of_multiprocessing_join_the_run(python, records, method):
    python(f"""
import multiprocessing
from work import log, nested, plain, track
if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    with context.Pool(2) as pool:            # older than any run
        for name in ("first", "second"):
            with track(name, experiment="of the parent"):
                pool.map(plain, range(4), chunksize=1)
    with track("parent", experiment="of the parent"):
        children = [context.Process(target=nested, args=(n,)) for n in range(2)]
        for child in children: child.start()
        for child in children: child.join()
        assert [child.exitcode for child in children] == [0, 0]
""")
    for name in ("first", "second"):
        assert records.values(Metrics, name) == {f"m{n}": n for n in range(4)}
    assert records.values(Metrics, "parent") == {"after 0": 0, "after 1": 1}
    check_children(records, range(2))


def test_a_forked_pool_follows_its_parent_from_run_to_run(python, records):
    python("""
import multiprocessing
from work import log, plain, track
with track("first"):
    pool = multiprocessing.get_context("fork").Pool(2)
    pool.map(plain, range(4), chunksize=1)
with track("second"):
    pool.map(plain, range(4, 8), chunksize=1)
    with track("inner"):
        pool.map(plain, range(8, 10), chunksize=1)
pool.close(); pool.join()
""")
    assert records.values(Metrics, "first") == {f"m{n}": n for n in range(4)}
    assert records.values(Metrics, "second") == {f"m{n}": n for n in range(4, 8)}
    assert records.values(Metrics, "inner") == {f"m{n}": n for n in range(8, 10)}


def test_a_forked_child_of_a_thread_joins_the_run_of_that_thread(python, records):
    python("""
import os, threading
from work import plain, track
both = threading.Barrier(2)
def own(n):
    with track(f"thread {n}"):
        both.wait()
        child = os.fork()
        if child == 0:
            plain(n)
            os._exit(0)
        os.waitpid(child, 0)
        both.wait()
threads = [threading.Thread(target=own, args=(n,)) for n in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
""")
    for n in range(2):
        assert records.values(Metrics, f"thread {n}") == {f"m{n}": n}


def test_a_forked_child_that_outlives_its_run_still_belongs_to_it(python, records):
    python("""
import os
from work import plain, track
read, write = os.pipe()
with track("ended"):
    child = os.fork()
    if child == 0:
        os.read(read, 1)
        plain(1)
        os._exit(0)
os.write(write, b"x")
os.waitpid(child, 0)
""")
    assert records.values(Metrics, "ended") == {"m1": 1}


def test_a_script_that_is_started_by_a_shell_joins_the_run(python, records):
    python("""
import subprocess, sys
from work import track
with track("parent"):
    script = "from work import plain; plain(7)"
    subprocess.run(["sh", "-c", f"true; '{sys.executable}' -c '{script}'; true"], check=True)
""")
    assert records.values(Metrics, "parent") == {"m7": 7}


def test_in_a_stage_a_worker_joins_the_run_it_was_called_from_else_the_stage(python, records):
    stage = "0123456789abcdef0123456789abcdef"
    other = "fedcba9876543210fedcba9876543210"
    python(
        f"""
import os, subprocess, sys
from work import track
command = [sys.executable, "-c", "import sys; from work import plain; plain(int(sys.argv[1]))"]
subprocess.run([*command, "1"], check=True)
with track("inner"):
    subprocess.run([*command, "2"], check=True)
    subprocess.run([*command, "3"], check=True, env={{**os.environ, "MLOPS_RUN_UID": "{other}"}})
""",
        MLOPS_RUN_UID=stage,
    )
    found = {record.run_uid: record.values for record in records.of(Metrics)}
    assert found == {stage: {"m1": 1}, records.start("inner").run_uid: {"m2": 2}, other: {"m3": 3}}


def test_a_killed_worker_keeps_all_it_logged(python, records):
    python("""
import multiprocessing
from work import killed, track
if __name__ == "__main__":
    with track("parent"):
        children = [multiprocessing.get_context(method).Process(target=killed, args=(1500,))
                    for method in ("fork", "spawn")]
        for child in children: child.start()
        for child in children: child.join()
        assert [child.exitcode for child in children] == [-9, -9]
""")
    found = [record.values["i"] for record in records.of(Metrics, "parent")]
    assert sorted(found) == sorted([*range(1500), *range(1500)])
    assert records.end("parent").status == "FINISHED"


def test_threads_of_joblib_join_the_run(session, records):
    from joblib import Parallel, delayed

    from mlops_workbench.capture import log, track

    def work(n):
        log({f"m{n}": n})
        with track(f"child {n}"):
            log(inside=n)

    with track("parent"):
        Parallel(n_jobs=3, backend="threading")(delayed(work)(n) for n in range(6))
    assert records.values(Metrics, "parent") == {f"m{n}": n for n in range(6)}
    parent = records.start("parent").run_uid
    assert [start.parent_uid for start in records.of(RunStart)[1:]] == [parent] * 6


def test_a_process_leaves_no_trace_of_its_runs_when_it_ends(python, workspace):
    python("""
from work import track
with track("one"):
    pass
track("open").__enter__()
""")
    assert list((workspace.run / "active").iterdir()) == []


def test_what_an_earlier_process_of_the_same_id_left_is_not_joined(python, records, workspace):
    python("""
import json, os, subprocess, sys
from pathlib import Path
from work import track
with track("first"):
    file = Path(".mlops/run/active") / str(os.getpid())
    left = json.loads(file.read_bytes())
left["process"]["started"] -= 1
file.write_text(json.dumps(left))
subprocess.run([sys.executable, "-c", "from work import plain; plain(1)"], check=True)
""")
    assert records.of(Metrics) == []

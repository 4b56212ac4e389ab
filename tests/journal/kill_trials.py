"""Kill real processes at random moments while they log, and count what their journals lost or made up.

``run_trials`` starts one interpreter that has everything imported and forks a child per trial, so that a trial
costs milliseconds. The child logs through the public interface as fast as it can and says in shared memory, after
each call, that the call has returned; it is killed by SIGKILL, and its journal is compared with what it said.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

THREADS = 3
#: Cells of the shared memory: calls that were begun and calls that have returned, per thread; the child is ready.
BEGUN, RETURNED, READY = 0, THREADS, 2 * THREADS


@dataclass
class TrialCounts:
    """What came of some trials.

    Attributes
    ----------
    trials : int
        Processes that were killed.
    calls : int
        Calls that had returned before.
    lost : int
        Calls that had returned and are not in the journal.
    duplicated : int
        Records that are there more than once.
    false : int
        Records that nobody logged, or not so, and gaps in the numbering.
    rotated : int
        Trials whose journal had more than one file.
    """

    trials: int = 0
    calls: int = 0
    lost: int = 0
    duplicated: int = 0
    false: int = 0
    rotated: int = 0


def run_trials(count: int, folder: Path, seed: int) -> TrialCounts:
    """Kill `count` processes.

    Parameters
    ----------
    count : int
        Number of trials.
    folder : Path
        Existing folder for their workspaces; those of trials in which all was well are removed.
    seed : int
        Seed of the moments; how fast the machine is decides as well.
    """
    done = subprocess.run(
        [sys.executable, __file__, str(count), str(folder), str(seed)], stdout=subprocess.PIPE, text=True, check=True
    )
    return TrialCounts(**json.loads(done.stdout.splitlines()[-1]))


# What is logged: call `number` of thread `thread` is always the same ---------------------------------------------


@dataclass(frozen=True)
class Plan:
    """How a trial logs, all drawn from its number and the seed.

    Attributes
    ----------
    threads : int
        How many log at the same time.
    fat : bool
        Long parameters, so that files rotate all the time.
    calls : int
        Killed when so many calls of the first thread have returned ...
    pause : float
        ... and so many seconds later.
    """

    threads: int
    fat: bool
    calls: int
    pause: float


def plan(seed: int, trial: int) -> Plan:
    chance = random.Random(f"{seed} {trial}")
    fat = trial % 3 == 1
    return Plan(
        threads=THREADS if trial % 4 == 3 else 1,
        fat=fat,
        calls=0 if trial % 10 == 9 else chance.randrange(1, 150 if fat else 3000),
        pause=chance.random() ** 2 * 0.01,
    )


def kind_of(number: int, fat: bool) -> str:
    if number % 400 == 199:
        return "artifact"
    if fat or number % 50 == 7:
        return "param"
    return "tag" if number % 90 == 8 else "nested" if number % 300 == 11 else "metric"


def text_of(thread: int, number: int, fat: bool) -> str:
    return f"é {thread} {number} " + "x" * (20_000 + number if fat else number % 500)


def value_of(thread: int, number: int) -> float:
    return (number + 1) / (thread + 3)


def content_of(thread: int, number: int) -> bytes:
    return f"{thread} {number}\n".encode() * (number % 1000 + 1)


# The child -------------------------------------------------------------------------------------------------------


def log_until_killed(shared: memoryview, how: Plan, server: int) -> NoReturn:
    from mlops_workbench import log, log_artifact, log_params, tag, track

    def work(thread: int) -> None:
        number = 0
        while number % 100 or os.getppid() == server:
            kind = kind_of(number, how.fat)
            shared[BEGUN + thread] = number + 1
            if kind == "metric":
                log({f"m{thread}": value_of(thread, number)}, step=number)
            elif kind == "param":
                log_params({f"p {thread} {number}": text_of(thread, number, how.fat)})
            elif kind == "tag":
                tag({f"t {thread} {number}": number})
            elif kind == "nested":
                with track(f"n {thread} {number}"):
                    log(inside=value_of(thread, number), step=number)
            else:
                log_artifact(content_of(thread, number), f"a {thread} {number}.bin")
            shared[RETURNED + thread] = number + 1
            number += 1
        os._exit(0)

    shared[READY] = 1
    with track("killed"):
        for thread in range(1, how.threads):
            threading.Thread(target=work, args=(thread,), daemon=True).start()
        work(0)
    os._exit(1)


# The judge -------------------------------------------------------------------------------------------------------


def judge(root: Path, shared: memoryview, how: Plan, counts: TrialCounts) -> None:
    """Compare the journal in a workspace with what the child said."""
    from mlops_workbench.core.records import Heartbeat, RunEnd, RunStart, SessionStart, decode
    from mlops_workbench.journal import read_frames

    files = sorted((root / ".mlops" / "journal").glob("*.mlj"))
    counts.rotated += len(files) > 1
    found: Counter[tuple[int, int]] = Counter()
    sequence, killed = 0, ""
    for frame in (frame for file in files for frame in read_frames(file)):
        counts.false += frame.sequence != sequence
        sequence = frame.sequence + 1
        record = decode(frame.type, frame.payload)
        if isinstance(record, RunStart) and record.name == "killed":
            killed = record.run_uid
            continue
        if isinstance(record, SessionStart | Heartbeat | RunEnd):
            counts.false += isinstance(record, RunEnd) and record.run_uid == killed
            continue
        if surrounding(record):
            continue
        call = true_call(record, root, how)
        if call is None or call[1] >= shared[BEGUN + call[0]]:
            counts.false += 1
        elif not isinstance(record, RunStart):
            found[call] += 1
    for thread in range(how.threads):
        returned = shared[RETURNED + thread]
        counts.calls += returned
        counts.lost += sum((thread, number) not in found for number in range(returned))
    counts.duplicated += sum(times - 1 for times in found.values())


def surrounding(record: Any) -> bool:
    """Whether a record describes the environment or resources, which are recorded besides what is logged."""
    from mlops_workbench.core.records import Artifact, Metrics, Tags

    if isinstance(record, Artifact):
        return record.kind != "file"
    if isinstance(record, Tags):
        return not any(name.startswith("t ") for name in record.values)
    return isinstance(record, Metrics) and record.origin == "system"


def true_call(record: Any, root: Path, how: Plan) -> tuple[int, int] | None:
    """Thread and number of the call that made a record, None when there is no such call."""
    from mlops_workbench.core.records import Artifact, Metrics, Params, RunStart, Tags

    if isinstance(record, RunStart):
        word, thread, number = record.name.split()
        return (int(thread), int(number)) if word == "n" and kind_of(int(number), how.fat) == "nested" else None
    if isinstance(record, Metrics):
        ((name, value),) = record.values.items()
        if name == "inside":
            threads = [t for t in range(how.threads) if value == value_of(t, record.step)]
            return (threads[0], record.step) if threads and kind_of(record.step, how.fat) == "nested" else None
        call = (int(name.removeprefix("m")), record.step)
        return call if value == value_of(*call) and kind_of(record.step, how.fat) == "metric" else None
    if isinstance(record, Artifact):
        _, thread, number = record.path.removesuffix(".bin").split()
        call = (int(thread), int(number))
        content = content_of(*call)
        true = record.digest == hashlib.sha256(content).hexdigest() and record.size == len(content)
        blob = root / ".mlops" / "store" / record.digest[:2] / record.digest
        stored = blob.is_file() and blob.read_bytes() == content
        return call if true and stored and kind_of(call[1], how.fat) == "artifact" else None
    if isinstance(record, Params | Tags):
        ((name, value),) = record.values.items()
        word, thread, number = name.split()
        call = (int(thread), int(number))
        if word == "p":
            return call if value == text_of(*call, how.fat) and kind_of(call[1], how.fat) == "param" else None
        return call if value == call[1] and kind_of(call[1], how.fat) == "tag" else None
    return None


# The warm interpreter --------------------------------------------------------------------------------------------


def serve(count: int, folder: Path, seed: int) -> TrialCounts:
    """Run the trials, forking a child for each."""
    warm_up()
    counts = TrialCounts()
    for trial in range(count):
        how = plan(seed, trial)
        root = folder / f"trial {trial}"
        before = (counts.lost, counts.duplicated, counts.false)
        with mmap.mmap(-1, mmap.PAGESIZE) as memory, memoryview(memory).cast("Q") as shared:
            kill_one(root, shared, how)
            judge(root, shared, how, counts)
        counts.trials += 1
        if before == (counts.lost, counts.duplicated, counts.false):
            shutil.rmtree(root)
    return counts


def warm_up() -> None:
    """Have imported what logging imports; nothing is opened or started by that."""
    import mimetypes

    import mlops_workbench

    for name in ("log", "log_artifact", "log_params", "tag", "track"):
        getattr(mlops_workbench, name)
    mimetypes.init()


def open_workspace(root: Path) -> None:
    from mlops_workbench.core.workspace import Workspace

    root.mkdir()
    # The smallest files that can be set: they are full after some 10,000 metrics or 50 long parameters. Looking at
    # the environment takes a thread of the child for longer than most trials last.
    (root / "workbench.toml").write_text("[journal]\nsegment_mb = 1\n[capture]\nenvironment = false\n")
    Workspace.init(root)


def kill_one(root: Path, shared: memoryview, how: Plan) -> None:
    open_workspace(root)
    server = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            os.environ["MLOPS_WORKSPACE"] = str(root)
            log_until_killed(shared, how, server)
        finally:
            os._exit(1)
    try:
        while not shared[READY] or shared[RETURNED] < how.calls:
            gone, status = os.waitpid(child, os.WNOHANG)
            if gone:
                child = 0
                raise AssertionError(f"the child ended by itself: {os.waitstatus_to_exitcode(status)}")
            time.sleep(0.0005)
        time.sleep(how.pause)
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


if __name__ == "__main__":
    os.environ.pop("MLOPS_WORKSPACE", None)
    print(json.dumps(asdict(serve(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))))

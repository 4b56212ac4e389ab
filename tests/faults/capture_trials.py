"""Kernels, control planes and ingest are killed while points are logged: each point is stored once."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from kernels import Kernel
from trials import Counts, control_under_fire, delivered, new_workspace, until

from mlops_workbench.client.client import Client
from mlops_workbench.core.workspace import Workspace

CELL = """
%%track {name}
import os, time
from itertools import count
from mlops_workbench import log
said = os.open({said!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for step in {steps}:
    log(loss=step / 7, step=step)
    # What is said after the call was logged.
    os.write(said, b"%d\\n" % step)
    if step % 50 == 0:
        # So that a kill finds it as often in a call as between two.
        time.sleep(0.0002)
"""


def kill_kernels(workspace: Workspace, kernels: int, steps: int, seed: int = 0) -> tuple[Counts, dict[str, list[int]]]:
    """Kill kernels in the middle of a cell that logs without end; every fourth one after one that has ended.

    Returns
    -------
    counts : Counter
        `kills_kernel`.
    said : dict of str to list of int
        Steps that each run's cell said to have logged; a run whose name starts with ``whole`` was finished.
    """
    counts, said, chance = Counts(), {}, random.Random(seed)
    for number in range(kernels):
        whole = number % 4 == 3
        name = f"{'whole' if whole else 'killed'}-{seed}-{number}"
        file = workspace.root / f"{name}.said"
        kernel = Kernel(workspace.root)
        try:
            code = CELL.format(name=name, said=str(file), steps=f"range({steps})" if whole else "count()")
            if whole:
                kernel.run(code)
            else:
                kernel.send(code)
                until(lambda file=file: file.exists() and file.stat().st_size, "the first point")
                time.sleep(chance.uniform(0, 0.08))
            provisioner = kernel.manager.provisioner
            os.kill(provisioner.pid, signal.SIGKILL)
            counts["kills_kernel"] += 1
            until(lambda provisioner=provisioner: provisioner.process.poll() is not None, "the end of the kernel")
        finally:
            kernel.close()
        said[name] = [int(line) for line in file.read_text().split("\n") if line]
    return counts, said


def check_points(workspace: Workspace, said: dict[str, list[int]]) -> Counts:
    """Compare what was said with MLflow's rows and the index: `points_logged`, `lost`, `duplicated` and `false`."""
    counts = Counts()
    with Client.connect(workspace) as client:
        until(lambda: delivered(client), "delivery")
        runs = {run.name: run for run in client.runs(limit=10_000)}
        until(
            lambda: all(run.status != "RUNNING" for run in client.runs(limit=10_000) if run.name in said),
            "the ends of the killed runs",
        )
        runs = {run.name: run for run in client.runs(limit=10_000)}
    with closing(sqlite3.connect(workspace.state / "mlflow.db")) as stored:
        for name, steps in said.items():
            run = runs.get(name)
            if run is None:
                counts["lost"] += len(steps)
                continue
            query = "SELECT step, value FROM metrics WHERE run_uuid = ? AND key = 'loss'"
            rows = stored.execute(query, (run.run_id,)).fetchall()
            found = {step for step, _ in rows}
            counts["points_logged"] += len(steps)
            counts["lost"] += len(set(steps) - found)
            counts["duplicated"] += len(rows) - len(found)
            # The one that was logged when the kernel was killed may be there.
            counts["false"] += len(found - set(steps) - {len(steps)})
            counts["false"] += sum(abs(value - step / 7) > 1e-12 for step, value in rows)
            counts["false"] += run.status != ("FINISHED" if name.startswith("whole") else "KILLED")
            status = stored.execute("SELECT status FROM runs WHERE run_uuid = ?", (run.run_id,)).fetchone()
            counts["false"] += status != (run.status,)
    return counts


def capture(kernels: int, steps: int, control_kills: int, seed: int = 0) -> Counts:
    """Kill kernels while the control plane is killed, too."""
    counts = Counts()
    with new_workspace() as workspace:
        said: dict[str, list[int]] = {}
        with control_under_fire(workspace, (0.3, 3.0), seed) as killed:
            part = 0
            while counts["kills_kernel"] < kernels or killed["kills_control"] < control_kills:
                some, more = kill_kernels(workspace, min(4, kernels), steps, seed + part)
                counts += some
                said |= more
                part += 1
        counts += killed
        counts += check_points(workspace, said)
    return counts


@contextmanager
def ingest_process(workspace: Workspace) -> Iterator[subprocess.Popen[bytes]]:
    """``mlops ingest`` of a workspace."""
    log = (workspace.root / "ingest.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", "mlops_workbench.cli", "ingest"], cwd=workspace.root, stdout=log, stderr=log
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


WRITER = """
import sys, time
from itertools import count
from pathlib import Path
from mlops_workbench import track, log
for number in count():
    with track(f"whole-ingest-{number}"):
        with Path(f"whole-ingest-{number}.said").open("w") as said:
            for step in range(int(sys.argv[1])):
                log(loss=step / 7, step=step)
                said.write(f"{step}\\n")
    if Path("enough").exists():
        break
    time.sleep(0.2)
"""


def ingest(kills: int, steps: int, seed: int = 0) -> Counts:
    """Kill ``mlops ingest`` while a script logs, then let it finish."""
    counts, chance = Counts(), random.Random(seed)
    with new_workspace() as workspace:
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(steps)], cwd=workspace.root)
        try:
            while counts["kills_ingest"] < kills:
                with ingest_process(workspace) as process:
                    time.sleep(chance.uniform(1.0, 6.0))
                    assert process.poll() is None, (workspace.root / "ingest.log").read_text()
                    assert writer.poll() is None, "the script logs until the last kill"
                    os.kill(process.pid, signal.SIGKILL)
                    counts["kills_ingest"] += 1
        finally:
            (workspace.root / "enough").touch()
        assert writer.wait(timeout=600) == 0
        said = {
            file.stem: [int(line) for line in file.read_text().split("\n") if line]
            for file in Path(workspace.root).glob("*.said")
        }
        counts += check_points(workspace, said)
    return counts

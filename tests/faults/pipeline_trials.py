"""Runners of pipelines are killed: what is recorded of run and stage is what happened, and no stage is left behind."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import nbformat
import psutil
from trials import Counts, delivered, new_workspace, until

from mlops_workbench.client.client import Client
from mlops_workbench.core.pipelines import PipelineRun
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.runs.events import read_run_events
from mlops_workbench.pipelines.runs.folder import RunFolder
from mlops_workbench.pipelines.runs.progress import launched_process

CELLS = (
    "number: int = 0",
    "import os, time\nfrom pathlib import Path\nPath(f'began-{number}').write_text(str(os.getpid()))",
    "from mlops_workbench import log\nfor step in range(20):\n    log(loss=step / 7, step=step)\n    time.sleep(0.02)",
    "Path(f'ended-{number}').touch()",
)

SPEC = """
version: 1
params:
  number: {type: int, default: 0}
stages:
  one: {notebook: stage.ipynb, params: [number]}
"""


def write_pipeline(workspace: Workspace) -> None:
    """A pipeline of one stage that says when it began and when it ended."""
    workspace.pipeline_specs.mkdir(exist_ok=True)
    first, *others = (nbformat.v4.new_code_cell(cell) for cell in CELLS)
    first.metadata["tags"] = ["parameters"]
    notebook = nbformat.v4.new_notebook(cells=[first, *others])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, workspace.pipeline_specs / "stage.ipynb")
    (workspace.pipeline_specs / "work.yaml").write_text(SPEC)


def runners(kills: int, seed: int = 0) -> Counts:
    """Kill runners at any moment of their runs; every fifth run is left alone."""
    counts, chance = Counts(), random.Random(seed)
    with new_workspace() as workspace, Client.connect(workspace) as client:
        write_pipeline(workspace)
        ended: dict[int, PipelineRun] = {}
        killed: set[int] = set()
        number = 0
        while counts["kills_runner"] < kills:
            number += 1
            run = client.start_pipeline("work", {"number": number})
            events = RunFolder(workspace.pipeline_runs / run.id).events
            if number % 5:
                process = until(lambda events=events: launched_process(read_run_events(events)), "the runner")
                time.sleep(chance.uniform(0.0, 3.0))
                if process.alive():
                    os.kill(process.pid, signal.SIGKILL)
                    counts["kills_runner"] += 1
                    killed.add(number)
            ended[number] = client.wait_pipeline(run.id, timeout=180)
        until(lambda: delivered(client), "delivery")
        for number, run in ended.items():
            counts["false"] += is_false(client, workspace, number, run, number in killed)
    return counts


def is_false(client: Client, workspace: Workspace, number: int, run: PipelineRun, was_killed: bool) -> int:
    """How many of the recorded ends of a run differ from what happened."""
    began = file_of(workspace, f"began-{number}")
    stages = [stage.run_uid for stage in run.stages if stage.run_uid]
    found = {uid: until(lambda uid=uid: ended_status(client, uid), f"the end of run {uid}") for uid in stages}
    if run.run_uid:
        found[run.run_uid] = until(lambda: ended_status(client, run.run_uid), f"the end of run {run.run_uid}")
    if began is not None:
        # The stage of a runner that was killed ends by itself.
        until(lambda: not is_kernel(int(began.read_text() or 0)), f"the end of the kernel of {began}")
    is_done = file_of(workspace, f"ended-{number}") is not None
    # A runner that was killed in its last moments may have recorded the end before.
    wrong = [
        not was_killed and (run.state != "succeeded" or not is_done),
        run.state not in ("failed", "succeeded") or (run.state == "succeeded" and not is_done),
        any(stage.state in ("running", "pending") and stage.run_uid for stage in run.stages),
        bool(run.run_uid) and (found[run.run_uid] == "FINISHED") != (run.state == "succeeded"),
        any(found[uid] == "FINISHED" for uid in stages) and not is_done,
    ]
    if any(wrong):
        print(f"run {number}: {wrong}, killed {was_killed}, done {is_done}, runs {found}: {run}", file=sys.stderr)
    return sum(wrong)


def is_kernel(pid: int) -> bool:
    """Whether there is a kernel with this process id."""
    try:
        return "ipykernel" in " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


def ended_status(client: Client, uid: str) -> str:
    """Status of a run that has ended, else empty."""
    status = client.run(uid).run.status
    return "" if status == "RUNNING" else status


def file_of(workspace: Workspace, name: str) -> Path | None:
    """A file that a stage wrote into its working folder."""
    return next(workspace.root.rglob(name), None)

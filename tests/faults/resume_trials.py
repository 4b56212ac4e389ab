"""Runners, kernels and control planes are killed: each run ends as if nothing had been, and what has ended stays."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sys
import time
from pathlib import Path

from notebook_files import write
from trials import Counts, delivered, kill_control, new_workspace, until

from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import ensure_running
from mlops_workbench.core.pipelines import PipelineRun
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines import service
from mlops_workbench.pipelines.runs.events import (
    AttemptEnded,
    ProcessStarted,
    StageEnded,
    StageStarted,
    read_run_events,
    read_stage_events,
)
from mlops_workbench.pipelines.runs.folder import RunFolder
from mlops_workbench.pipelines.runs.progress import launched_process

SPEC = """
version: 2
params:
  number: {type: int, default: 0}
stages:
  prepare:
    notebook: prepare.ipynb
    params: [number]
    outputs: {out: out.txt}
    retries: {max: 9, on: [kernel_died, process_died], backoff: 0.2}
  fit:
    notebook: fit.ipynb
    params: [number, {depth: 1}]
    matrix: {depth: [1, 2, 3]}
    inputs: {given: prepare.out}
    outputs: {out: out.txt}
    retries: {max: 9, on: [kernel_died, process_died], backoff: 0.2}
  report:
    notebook: report.ipynb
    params: [number]
    inputs: {given: "fit.out[max score]"}
    outputs: {out: out.txt}
    retries: {max: 9, on: [kernel_died, process_died], backoff: 0.2}
"""
#: Holds a lock, so that a second process of the stage is noticed, and shows half an output meanwhile.
WORK = """
import fcntl, hashlib, time
from pathlib import Path
from mlops_workbench import log
lock = open(f"{name}-{number}.lock", "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    open(f"overlap-{number}", "a").write(f"{name} ")
"""
WRITE = """
text = f"{name} {number} " + (Path(given).read_text() if given else "")
result = hashlib.sha256(text.encode()).hexdigest()
with open(out, "w") as file:
    file.write(result[:20])
    file.flush()
    time.sleep(seconds)
    file.write(result[20:])
"""
SECONDS = {"prepare": 0.1, "fit": 0.3, "report": 0.5}


def write_pipeline(workspace: Workspace) -> None:
    """A pipeline of three stages, of which the second has three instances."""
    folder = workspace.pipeline_specs
    for stage, seconds in SECONDS.items():
        name = "f'fit@depth={depth}'" if stage == "fit" else f"'{stage}'"
        given = "" if stage == "prepare" else "given: str = ''\n"
        write(
            folder / f"{stage}.ipynb",
            f"name, seconds = {name}, {seconds}\n{'' if given else 'given = None'}",
            WORK,
            WRITE,
            "log(score=depth if depth < 3 else 0)" if stage == "fit" else "lock.close()",
            parameters=f"number: int = 0\nout: str = ''\n{given}{'depth: int = 1' if stage == 'fit' else ''}",
        )
    (folder / "work.yaml").write_text(SPEC)


def expected(number: int) -> dict[str, str]:
    """The outputs of the stages."""

    def made(name: str, given: str = "") -> str:
        return hashlib.sha256(f"{name} {number} {given}".encode()).hexdigest()

    first = made("prepare")
    fits = {f"fit@depth={depth}": made(f"fit@depth={depth}", first) for depth in (1, 2, 3)}
    return {"prepare": first, **fits, "report": made("report", fits["fit@depth=2"])}


def resumed_runs(kills: int, seed: int = 0) -> Counts:
    """Kill runner, kernel or control plane at any moment of a run, at most twice in a run."""
    counts, chance = Counts(), random.Random(seed)
    with new_workspace() as workspace:
        ensure_running(workspace)
        write_pipeline(workspace)
        begun, runs = time.monotonic(), {}
        for number in range(2):  # the second one is warm
            begun = time.monotonic()
            runs[number] = end_of(workspace, start(workspace, number).id)
        seconds = time.monotonic() - begun
        while counts["kills"] < kills:
            number += 1
            run = start(workspace, number)
            for _ in range(min(chance.choice((1, 1, 2)), kills - counts["kills"])):
                time.sleep(chance.uniform(0.0, seconds))
                kill(workspace, run, chance.choice(("runner", "kernel", "control")), counts)
            runs[number] = end_of(workspace, run.id)
        with Client.connect(workspace) as client:
            until(lambda: delivered(client), "delivery")
            for number, run in runs.items():
                judge(client, workspace, number, run, counts)
    return counts


def start(workspace: Workspace, number: int) -> PipelineRun:
    """Start a run."""
    with Client.connect(workspace) as client:
        return client.start_pipeline("work", {"number": number})


def kill(workspace: Workspace, run: PipelineRun, what: str, counts: Counts) -> None:
    """Kill a process of a run, if it is active and has one."""
    folder = RunFolder(workspace.pipeline_runs / run.id)
    if not service.read_run(workspace, run.id).active:
        return
    if what == "control":
        killed = kill_control(workspace)
        ensure_running(workspace)
    else:
        process = kernel_of(folder) if what == "kernel" else launched_process(read_run_events(folder.events))
        killed = process is not None and process.alive()
        if killed:
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                killed = False
    counts["kills"] += killed
    counts[f"kills_{what}"] += killed


def kernel_of(folder: RunFolder) -> ProcessIdentity | None:
    """A kernel that works for a run, or None."""
    for log in sorted(folder.path.glob("stages/*/attempt-*/events.jsonl")):
        started = [event.process for event in read_stage_events(log) if isinstance(event, ProcessStarted)]
        if len(started) == 2 and started[1].alive():
            return started[1]
    return None


def end_of(workspace: Workspace, run_id: str) -> PipelineRun:
    """The run after its end."""

    def look() -> PipelineRun | None:
        run = service.read_run(workspace, run_id)
        return None if run.active else run

    return until(look, f"the end of run {run_id}")


def judge(client: Client, workspace: Workspace, number: int, run: PipelineRun, counts: Counts) -> None:
    """Count what is lost, was repeated or is wrong in a run."""
    folder = RunFolder(workspace.pipeline_runs / run.id)
    lost = [stage.name for stage in run.stages if stage.state != "succeeded"]
    statuses = {uid: client.run(uid).run.status for uid in (run.run_uid, *(stage.run_uid for stage in run.stages))}
    if run.state != "succeeded" or set(statuses.values()) != {"FINISHED"}:
        lost.append("the run")
    outputs = {stage: folder.outputs(stage) / "out.txt" for stage in expected(number)}
    wrong = [stage for stage, text in expected(number).items() if text_of(outputs[stage]) != text]
    if overlap := text_of(workspace.pipeline_specs / f"overlap-{number}"):
        wrong.append(f"overlap of {overlap}")
    repeated = repeats(folder)
    if lost or wrong or repeated:
        print(f"run {number}: lost {lost}, wrong {wrong}, repeated {repeated}: {statuses} {run}", file=sys.stderr)
    counts["resume_lost_stages"] += len(lost)
    counts["wrong_outputs"] += len(wrong)
    counts["resume_repeated_stages"] += len(repeated)
    counts["runs"] += 1


def repeats(folder: RunFolder) -> list[str]:
    """Stages that ran again although an end is on record: that of the stage, or the success of its attempt."""
    ended: set[str] = set()
    found = []
    for event in read_run_events(folder.events):
        if isinstance(event, StageStarted):
            before = range(1, event.attempt)
            done = any(succeeded(folder, event.stage, number) for number in before)
            if event.stage in ended or done:
                found.append(event.stage)
        elif isinstance(event, StageEnded):
            ended.add(event.stage)
    return found


def succeeded(folder: RunFolder, stage: str, attempt: int) -> bool:
    """Whether an attempt has recorded its success."""
    events = read_stage_events(folder.attempt_events(stage, attempt))
    return any(isinstance(event, AttemptEnded) and event.state == "succeeded" for event in events)


def text_of(file: Path) -> str:
    """Content of a file, empty if there is none."""
    return file.read_text() if file.exists() else ""

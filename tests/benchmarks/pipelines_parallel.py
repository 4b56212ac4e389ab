"""Stages that sleep, on four slots against one; nothing else limits them."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from pipelines_commands import check_succeeded, command, workspace, write_notebook

_STAGES, _SECONDS, _SLOTS = 8, 2, 4


def speedup(rounds: int) -> dict[str, float]:
    """Medians of a run on one slot and on four, in seconds, and their ratio."""
    times: dict[int, list[float]] = {1: [], _SLOTS: []}
    with workspace(f"[pipelines]\ncpu = {_SLOTS}\n") as root:
        write_notebook(root / "sleep.ipynb", [f"import time\ntime.sleep({_SECONDS})\nnumber"], "number = 0")
        (root / "pipelines").mkdir()
        for slots in times:
            (root / "pipelines" / f"slots{slots}.yaml").write_text(_spec(slots))
        command(root, "mlops", "up")
        command(root, "mlops", "run", "sleep.ipynb")
        for number in range(rounds):
            for slots, found in times.items():
                found.append(_run(root, slots, number))
    one, many = statistics.median(times[1]), statistics.median(times[_SLOTS])
    return {
        "parallel_speedup": round(one / many, 2),
        "parallel_1_s": round(one, 2),
        f"parallel_{_SLOTS}_s": round(many, 2),
    }


def _spec(slots: int) -> str:
    # A stage that sleeps needs no core: what it declares makes the slots.
    lines = ["version: 2", "params: {number: 0}", "stages:"]
    for number in range(_STAGES):
        lines += [
            f"  s{number}:",
            "    notebook: ../sleep.ipynb",
            "    params: [number]",
            f"    resources: {{cpu: {_SLOTS // slots}}}",
            "    cache: false",
        ]
    return "\n".join(lines) + "\n"


def _run(root: Path, slots: int, number: int) -> float:
    seconds, printed = command(root, "mlops", "pipeline", "run", f"slots{slots}", "-p", f"number={number}", "--json")
    run = json.loads(printed)
    check_succeeded(run)
    if len(run["stages"]) != _STAGES:
        raise RuntimeError(f"{len(run['stages'])} of {_STAGES} stages were run")
    return seconds

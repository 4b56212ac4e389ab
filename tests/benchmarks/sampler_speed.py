"""Processor time of sampling the resources of a run once a second, and of MLflow's system metrics at this rate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SECONDS = 20
#: A process with threads and children, like a kernel with numerical libraries.
_PROCESS = """
import json, os, subprocess, sys, threading, time

ever = threading.Event()
for _ in range({threads}):
    threading.Thread(target=ever.wait, daemon=True).start()
children = [subprocess.Popen(["sleep", "120"]) for _ in range(4)]
spent = lambda: {{
    name: int(open(f"/proc/self/task/{{name}}/schedstat").read().split()[0]) / 1e9
    for name in os.listdir("/proc/self/task")
}}
known = set(os.listdir("/proc/self/task"))
with {run}:
    time.sleep(3)
    before = spent()
    time.sleep({seconds})
    after = spent()
for child in children:
    child.kill()
took = sum(after[name] - before.get(name, 0.0) for name in after if name not in known)
print(json.dumps(100 * took / {seconds}))
"""
_OURS = ("from mlops_workbench import track", "track('sampled')")
_MLFLOW = (
    "import mlflow\n"
    "mlflow.set_tracking_uri('sqlite:///mlflow.db')\n"
    "mlflow.set_system_metrics_sampling_interval(1)\n"
    "mlflow.set_system_metrics_samples_before_logging(1)\n"
    "mlflow.set_experiment('sampled')",
    "mlflow.start_run(log_system_metrics=True)",
)


def sampler_percent_of_core(folder: Path) -> dict[str, Any]:
    """Return the processor time of sampling in per cent of a core, for processes with few and with many threads."""
    return {
        "sampler_core_percent": _percent(folder / "few", *_OURS, threads=16),
        "sampler_core_percent_1000_threads": _percent(folder / "many", *_OURS, threads=1000),
        "mlflow_sampler_core_percent": _percent(folder / "mlflow", *_MLFLOW, threads=16),
    }


def _percent(folder: Path, first: str, run: str, *, threads: int) -> float:
    folder.mkdir()
    program = first + _PROCESS.format(threads=threads, run=run, seconds=SECONDS)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, "MLOPS_WORKSPACE": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return round(float(json.loads(done.stdout.splitlines()[-1])), 3)

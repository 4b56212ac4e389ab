"""Notebooks run by the workbench and by papermill, side by side.

``make bench NAME=pipelines``, or with the parts to run: ``ARGS="noop parallel"``. papermill runs with its defaults.
Both run the same notebook in the same folder and environment in turns; a time is that from the start of the command to
its exit, and each result is checked: the executed notebook is complete, and the run is on record. Warm: the control
plane is up and has run a notebook before; cold: neither. The last line of the output is JSON; ratios say how many times
faster the workbench is.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    """Run the parts named in the arguments (default: all) and print the figures."""
    parts: dict[str, Callable[[argparse.Namespace], dict[str, float]]] = {
        "noop": noop,
        "cells200": cells200,
        "imports": imports,
        "parallel": parallel,
        "kills": kills,
        "cache": cache,
        "sweep": sweep,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(parts)}; by default all")
    parser.add_argument("--rounds", type=int, default=5, help="commands of either kind, by default 5")
    parser.add_argument("--trials", type=int, default=200, help="trials of the sweep, by default 200")
    parser.add_argument("--cold", type=int, default=3, help="commands of either kind without a control plane")
    parser.add_argument("--kills", type=int, default=100, help="processes to kill, by default 100")
    given = parser.parse_args()
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    figures: dict[str, Any] = {}
    for name in given.parts or list(parts):
        begun = time.monotonic()
        found = parts[name](given)
        print(f"{name}, {time.monotonic() - begun:.0f} s: {json.dumps(found)}", file=sys.stderr, flush=True)
        figures |= found
    if {"cells200_s", "noop_s"} <= figures.keys():
        for of in ("", "_papermill"):
            seconds = figures[f"cells200{of}_s"] - figures[f"noop{of}_s"]
            figures[f"cell_ms{of}"] = round(seconds / 199 * 1000, 2)
    print(json.dumps({**figures, "load": round(os.getloadavg()[0], 2), "calibration_ms": calibration()}))


def calibration() -> float:
    """Milliseconds of a fixed loop, which tells how fast this machine is now."""
    begun = time.perf_counter()
    sum(number * number for number in range(2_000_000))
    return round((time.perf_counter() - begun) * 1000, 1)


def noop(given: argparse.Namespace) -> dict[str, float]:
    """One trivial cell."""
    from pipelines_papermill import compare

    return compare("noop", ["1 + 1"], given.rounds, given.cold)


def cells200(given: argparse.Namespace) -> dict[str, float]:
    """200 trivial cells."""
    from pipelines_papermill import compare

    return compare("cells200", [f"{number} + 1" for number in range(200)], given.rounds, given.cold)


def imports(given: argparse.Namespace) -> dict[str, float]:
    """A cell that imports pandas and scikit-learn."""
    from pipelines_papermill import compare

    source = "import pandas\nimport sklearn.ensemble\nimport sklearn.linear_model\npandas.__version__"
    return compare("imports", [source], given.rounds, given.cold)


def parallel(given: argparse.Namespace) -> dict[str, float]:
    """Stages that sleep, on four slots and on one."""
    from pipelines_parallel import speedup

    return speedup(max(given.rounds // 2, 1))


def kills(given: argparse.Namespace) -> dict[str, float]:
    """Kills of runners, kernels and control planes at any moment of runs, which go on."""
    sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("faults", "support")]
    from resume_trials import resumed_runs

    return dict(resumed_runs(given.kills))


def cache(given: argparse.Namespace) -> dict[str, float]:
    """Ten unchanged stages against one notebook, and whether the cache tells changes from what is none."""
    from pipelines_cache import reuse, truth

    return reuse(given.rounds) | truth()


def sweep(given: argparse.Namespace) -> dict[str, float]:
    """A sweep of trivial trials against a bare loop of warm kernels."""
    from pipelines_sweep import overhead

    return overhead(given.trials)


if __name__ == "__main__":
    main()

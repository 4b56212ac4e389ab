"""Endpoints beside ``mlflow models serve``: the same model, the same requests.

``make bench NAME=serving``, or single parts: ``ONLY=forest,mixed``; a quick look: ``ROUNDS=1``. The endpoint runs as
users deploy it (validation, log and metrics on, one worker), MLflow with its defaults; BentoML stands beside them if it
can be imported, or if ``BENTOML_PYTHON`` names the interpreter of an environment with it and MLflow. The servers share
one core, the client has another. Before anything is timed, the answers of each server are compared with those of the
fitted object. The last line of the output is JSON: a ratio is the median over the rounds of how many times better than
MLflow's server the endpoint is, ``runtimes`` says what answered, ``raw`` has what was measured in each round, and null
is what this version does not offer.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PARTS = (
    "forest", "linear", "mixed", "xgboost", "cols600",
    "mixups", "releases", "kills", "deploy", "memory", "batch", "log_read",
)  # fmt: skip


def main() -> None:
    """Run the parts that are asked for (default: all) and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    only = os.environ.get("ONLY", "").replace(",", " ").split()
    parser.add_argument("parts", nargs="*", metavar="PART", default=only, help=f"{', '.join(_PARTS)}; by default all")
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("ROUNDS", "5")), help="by default 5")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of part mixups, by default 1000000")
    parser.add_argument("--kills", type=int, default=0, help="kills of part kills, by default 3 a round")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(_PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(_PARTS)}")
    # An end by SIGTERM ends the servers, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    subprocess.run([str(Path(__file__).parents[2] / ".ci" / "debian"), "/usr/bin/wrk", "wrk"], check=True)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from serving_peers import has_bentoml

    figures: dict[str, Any] = {}
    kept: dict[str, dict[str, Any]] = {"runtimes": {}, "raw": {}}
    for name in given.parts or _PARTS:
        begun = time.monotonic()
        found = part(name, given)()
        for key, values in kept.items():
            values |= found.pop(key, {})
        print(f"{name}, {time.monotonic() - begun:.0f} s: {json.dumps(found)}", file=sys.stderr, flush=True)
        figures |= found
    about = {"rounds": given.rounds, "cores": len(os.sched_getaffinity(0)), "bentoml": has_bentoml()}
    print(
        json.dumps({**figures, **kept, **about, "load": round(os.getloadavg()[0], 2), "calibration_ms": calibration()})
    )


def calibration() -> float:
    """Milliseconds of a fixed loop, which tells how fast this machine is now."""
    begun = time.perf_counter()
    sum(number * number for number in range(2_000_000))
    return round((time.perf_counter() - begun) * 1000, 1)


def part(name: str, given: argparse.Namespace) -> Callable[[], dict[str, Any]]:
    """The function of a part."""
    import serving_kills
    import serving_mixups
    import serving_ratios
    import serving_releases
    import serving_sizes

    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "mixups": lambda: serving_mixups.mixups(given.rows),
        "releases": serving_releases.releases,
        "kills": lambda: serving_kills.kills(given.kills or 3 * given.rounds),
        "deploy": lambda: serving_sizes.deploy(min(given.rounds, 3)),
        "memory": serving_sizes.memory,
        "batch": lambda: serving_sizes.batch(min(given.rounds, 3)),
        "log_read": serving_sizes.log_read,
    }
    return parts.get(name) or (lambda: serving_ratios.compare(name, given.rounds))


if __name__ == "__main__":
    main()

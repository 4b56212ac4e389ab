"""Long series of kills, races, damage and secrets; the tests have short ones.

``make bench NAME=faults``, or with the parts to run: ``ARGS="endpoint races"``. The last line of the output is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "faults"), str(TESTS / "support"), str(TESTS / "core")]

#: Kills of each process, and the least numbers of rows, points and promotions.
KILLS, ROWS, POINTS, PROMOTIONS = 40, 100_000, 100_000, 200


def main() -> None:
    """Run the parts named in the arguments (default: all) and print the figures."""
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "capture": capture,
        "ingest": ingest,
        "endpoint": endpoint,
        "runner": runner,
        "races": races,
        "damage": damage,
        "secrets": secrets,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(parts)}; by default all")
    chosen = parser.parse_args().parts or list(parts)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    totals: Counter[str] = Counter()
    others: dict[str, Any] = {}
    for name in chosen:
        begun = time.monotonic()
        found = parts[name]()
        print(f"{name}, {time.monotonic() - begun:.0f} s: {json.dumps(found)}", file=sys.stderr, flush=True)
        others |= {key: value for key, value in found.items() if isinstance(value, float)}
        totals.update({key: value for key, value in found.items() if isinstance(value, int)})
    kinds = ("control", "kernel", "runner", "endpoint", "ingest")
    kills = {f"kills_{kind}": totals[f"kills_{kind}"] for kind in kinds}
    counted = ("rows_answered", "points_logged", "promotions_tried")
    wrong = ("lost", "duplicated", "false", "log_lost_rows", "races_wrong", "damaged_took_down_others")
    figures = {"kills": sum(kills.values()), **kills}
    figures |= {name: totals[name] for name in (*counted, *wrong)}
    print(json.dumps({**figures, **others, "load": round(os.getloadavg()[0], 2), "calibration_ms": calibration()}))


def calibration() -> float:
    """Milliseconds of a fixed loop, which tells how fast this machine is now."""
    begun = time.perf_counter()
    sum(number * number for number in range(2_000_000))
    return round((time.perf_counter() - begun) * 1000, 1)


def capture() -> dict[str, Any]:
    """Kills of kernels that log, while the control plane is killed."""
    from capture_trials import capture as trial

    return dict(trial(KILLS, POINTS // KILLS * 2, KILLS))


def ingest() -> dict[str, Any]:
    """Kills of ``mlops ingest`` while a script logs."""
    from capture_trials import ingest as trial

    return dict(trial(KILLS, 200))


def endpoint() -> dict[str, Any]:
    """Kills of an endpoint that answers."""
    from serving_trials import endpoints

    counts = endpoints(KILLS, ROWS)
    ratio = counts.pop("back_ratio_p95") / 1000
    return {**counts, "back_ratio_p95": float(ratio)}


def runner() -> dict[str, Any]:
    """Kills of runners of pipelines."""
    from pipeline_trials import runners

    return dict(runners(KILLS))


def races() -> dict[str, Any]:
    """Promotions and deployments at once."""
    from race_trials import races as trial

    return dict(trial(PROMOTIONS, 10))


def damage() -> dict[str, Any]:
    """Damage to each file."""
    from damage_trials import damage as trial

    counts = trial(report=lambda text: print(text, file=sys.stderr, flush=True))
    return {
        "damaged_handled_pct": 100.0 * counts["damaged_handled"] / counts["damaged"],
        "caches_recovered_pct": 100.0 * counts["caches_recovered"] / counts["caches"],
        "damaged_took_down_others": counts["damaged_took_down_others"],
    }


def secrets() -> dict[str, Any]:
    """Secrets in the half of the corpus that no rule was tuned on."""
    from secret_corpus import measure

    return dict(measure())


if __name__ == "__main__":
    main()

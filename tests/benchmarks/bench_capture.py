"""What one metric costs the cell that logs it: ours beside MLflow's on SQLite, in one process.

``make bench NAME=capture``. One metric a call, as a user writes it. The two take turns, so that a machine
whose speed drifts drifts for both; the last line is JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROUNDS = 15
OURS_A_ROUND = 5_000
MLFLOW_A_ROUND = 40


def main() -> None:
    """Measure and print."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLOPS_WORKSPACE"] = folder
        import mlflow

        from mlops_workbench.capture import log, track

        mlflow.set_tracking_uri(f"sqlite:///{Path(folder) / 'peer.db'}")
        ours: list[float] = []
        peer: list[float] = []
        with mlflow.start_run(), track("bench"):
            log(warm=1.0)
            mlflow.log_metric("warm", 1.0)
            for number in range(ROUNDS):
                ours.append(per_call(lambda step: log(auc=0.9, step=step), number * OURS_A_ROUND, OURS_A_ROUND))
                peer.append(
                    per_call(
                        lambda step: mlflow.log_metric("auc", 0.9, step=step), number * MLFLOW_A_ROUND, MLFLOW_A_ROUND
                    )
                )
                sys.stderr.write(f"round {number + 1}: ours {ours[-1]:.2f} us, mlflow {peer[-1]:.0f} us\n")
        pairs = [theirs / own for own, theirs in zip(ours, peer, strict=True)]
        figures = {
            "log_us_p50": round(statistics.median(ours), 3),
            "mlflow_us_p50": round(statistics.median(peer), 1),
            "ratio_mlflow": round(statistics.median(pairs), 1),
        }
        print(json.dumps(figures))


def per_call(call: Callable[[int], object], first: int, count: int) -> float:
    """Microseconds a call, over `count` calls."""
    started = time.perf_counter_ns()
    for step in range(first, first + count):
        call(step)
    return (time.perf_counter_ns() - started) / count / 1000


if __name__ == "__main__":
    main()

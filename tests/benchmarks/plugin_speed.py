"""Time of ``mlflow.log_metric`` through ``mlops://`` and directly into MLflow's SQLite store, in turns."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROUNDS = 15
#: Calls per round, fewer for the slow store, so that rounds take a similar time.
CALLS = {"plugin": 400, "direct": 40}


def plugin_speed(folder: Path) -> dict[str, Any]:
    """Measure the median time of one call by either way.

    Parameters
    ----------
    folder : Path
        Empty folder for the workspace.

    Returns
    -------
    dict
        ``mlflow_plugin_us_p50`` and ``mlflow_direct_us_p50`` in microseconds, and their ratio ``mlflow_plugin_ratio``.
    """
    import mlflow

    from mlops_workbench.core.workspace import Workspace

    Workspace.init(folder)
    uris = {"plugin": f"mlops://{folder}", "direct": f"sqlite:///{folder / 'direct.db'}"}
    runs = {}
    for name, uri in uris.items():
        mlflow.set_tracking_uri(uri)
        mlflow.set_experiment("speed")
        runs[name] = mlflow.start_run(run_name=name).info.run_id
        mlflow.end_run()
    rounds: dict[str, list[float]] = {name: [] for name in uris}
    step = 0
    for _ in range(ROUNDS):
        for name, uri in uris.items():
            mlflow.set_tracking_uri(uri)
            mlflow.set_experiment("speed")
            with mlflow.start_run(run_id=runs[name]):
                for _ in range(5):
                    mlflow.log_metric("warm", 0.5)
                seconds = []
                for _ in range(CALLS[name]):
                    step += 1
                    begin = time.perf_counter()
                    mlflow.log_metric("loss", step / 7, step=step)
                    seconds.append(time.perf_counter() - begin)
                rounds[name].append(statistics.median(seconds) * 1e6)
    figures = {name: statistics.median(values) for name, values in rounds.items()}
    return {
        "mlflow_plugin_us_p50": round(figures["plugin"], 1),
        "mlflow_direct_us_p50": round(figures["direct"], 1),
        "mlflow_plugin_ratio": round(figures["direct"] / figures["plugin"], 1),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        sys.stdout.write(json.dumps(plugin_speed(Path(place))) + "\n")

"""Time from a deployment to its first answer, memory, and rows a second of a file, beside MLflow's."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import serving_models as models
from pipelines_commands import command
from serving_peers import mlflow_server
from serving_places import Place, Server, free_port, offers, place, pss_mb, takes

_MODEL = "forest"
_WORKERS = "[serving]\nworkers = 4\n"
_WARM_REQUESTS = 200
_BATCH_ROWS, _CHUNK = 200_000, 10_000


def deploy(rounds: int) -> dict[str, Any]:
    """Seconds from ``mlops deploy``, and from ``mlflow models serve``, to the first good answer of a new version."""
    ours, theirs = [], []
    with place() as where:
        where.register(_MODEL, rounds)
        platform = ""
        for version in range(1, rounds + 1):
            endpoint = f"{_MODEL}-{version}"
            expected = models.fitted(where.root, _MODEL, version)
            ours.append(_first_answer(where, endpoint, version, expected))
            platform = where.server(endpoint).platform
            begun = time.perf_counter()
            with mlflow_server(where.exported(endpoint), starting=True) as peer:
                theirs.append(_until_good(peer.url, expected, begun))
            where.remove(endpoint)
    ratio = statistics.median(other / mine for mine, other in zip(ours, theirs, strict=True))
    return {
        "ratio_deploy": round(ratio, 2), "deploy_s": round(statistics.median(ours), 2),
        "deploy_mlflow_s": round(statistics.median(theirs), 2),
        "raw": {"ratio_deploy": {"workbench": [round(s, 3) for s in ours], "mlflow": [round(s, 3) for s in theirs]}},
        "runtimes": {"ratio_deploy": platform},
    }  # fmt: skip


def memory() -> dict[str, Any]:
    """Proportional set size of the processes of an endpoint with one worker and with four, and of MLflow's."""
    with place() as where:
        where.register(_MODEL)
        server = where.deploy(_MODEL)
        one = _warm_pss(server, 1)
        with mlflow_server(where.exported(_MODEL)) as peer:
            theirs = _warm_pss(peer, 1)
    four = None
    if takes(_WORKERS):
        with place(_WORKERS) as where:
            where.register(_MODEL)
            four = _warm_pss(where.deploy(_MODEL), 4)
    return {
        "pss_mb": {"one": one, "four": four, "mlflow": theirs},
        "pss_ratio": round(one / theirs, 3),
        "pss_worker_share": None if four is None else round((four - one) / 3 / one, 3),
        "runtimes": {"pss_ratio": server.platform},
    }


def batch(rounds: int) -> dict[str, Any]:
    """Rows a second of ``mlops predict NAME --batch`` and of pandas in chunks through ``mlflow.pyfunc``."""
    if not offers("--batch", "predict"):
        return {"ratio_batch": None}
    with place() as where:
        where.register(_MODEL)
        server = where.deploy(_MODEL)
        rows = models.CASES[_MODEL](1).rows
        asked = pd.concat([rows] * (_BATCH_ROWS // len(rows) + 1), ignore_index=True)[:_BATCH_ROWS]
        asked.to_parquet(where.root / "in.parquet", row_group_size=_CHUNK)
        expected = np.asarray(models.fitted(where.root, _MODEL).predict(asked))
        ours, theirs = [], []
        for _ in range(rounds):
            words = ["predict", _MODEL, "--batch", "in.parquet", "ours.parquet", "--force"]
            ours.append(command(where.root, "mlops", *words)[0])
            words = [__file__, str(where.exported(_MODEL)), "in.parquet", "theirs.parquet"]
            theirs.append(command(where.root, "python", *words)[0])
            for name in ("ours.parquet", "theirs.parquet"):
                found = pd.read_parquet(where.root / name)["prediction"].to_numpy()
                if not np.array_equal(found, expected):
                    raise RuntimeError(f"{name} has other answers than the fitted object")
    ratio = statistics.median(other / mine for mine, other in zip(ours, theirs, strict=True))
    return {
        "ratio_batch": round(ratio, 2), "batch_rows_per_s": round(_BATCH_ROWS / statistics.median(ours)),
        "batch_mlflow_rows_per_s": round(_BATCH_ROWS / statistics.median(theirs)),
        "raw": {"ratio_batch": {"workbench": [round(s, 3) for s in ours], "mlflow": [round(s, 3) for s in theirs]}},
        "runtimes": {"ratio_batch": server.platform},
    }  # fmt: skip


def log_read() -> dict[str, Any]:
    """The same window of a log of 10^7 rows against that of 10^5 rows."""
    script = Path(__file__).parent / "log_read.py"
    if not script.exists():
        return {"log_read_ratio": None}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise RuntimeError(f"log_read.py: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def _first_answer(where: Place, endpoint: str, version: int, fitted: Any) -> float:
    port = free_port()
    words = ["deploy", f"{_MODEL}/{version}", "--name", endpoint, "--port", str(port)]
    failed: list[BaseException] = []

    def run() -> None:
        try:
            command(where.root, "mlops", *words)
        except Exception as error:  # raised below, in the thread that waits
            failed.append(error)

    begun = time.perf_counter()
    thread = threading.Thread(target=run, name="mlops deploy")
    thread.start()
    try:
        return _until_good(f"http://127.0.0.1:{port}", fitted, begun)
    finally:
        thread.join()
        if failed:
            raise failed[0]


def _until_good(url: str, fitted: Any, begun: float) -> float:
    rows = models.CASES[_MODEL](1).rows.head(20)
    body, expected = models.body(rows), np.asarray(fitted.predict(rows))
    with httpx.Client(trust_env=False, timeout=30) as client:
        while True:
            try:
                answer = client.post(f"{url}/invocations", content=body, headers={"Content-Type": "application/json"})
            except httpx.HTTPError:
                answer = None
            seconds = time.perf_counter() - begun
            if answer is not None and answer.status_code == 200:
                if not np.array_equal(answer.json()["predictions"], expected):
                    raise RuntimeError(f"{url} has other answers than the fitted object")
                return seconds
            if seconds > 180:
                raise RuntimeError(f"{url} has not answered after {seconds:.0f} s: {answer and answer.text[:300]}")
            time.sleep(0.01)


def _warm_pss(server: Server, workers: int) -> float:
    """Megabytes after requests on as many connections as it takes to reach each worker."""
    body = models.body(models.CASES[_MODEL](1).rows.head(1))
    for _ in range(workers * 4):
        with httpx.Client(trust_env=False, timeout=60) as client:
            for _ in range(_WARM_REQUESTS // 4):
                answer = client.post(
                    f"{server.url}/invocations", content=body, headers={"Content-Type": "application/json"}
                )
                answer.raise_for_status()
    return pss_mb(server.pid)


def _predict_file(folder: str, source: str, target: str) -> None:
    """The comparison of `batch`: what a user writes with pandas and MLflow."""
    import mlflow.pyfunc
    import pyarrow as pa
    import pyarrow.parquet as pq

    model = mlflow.pyfunc.load_model(folder)
    writer = None
    for chunk in pq.ParquetFile(source).iter_batches(_CHUNK):
        answers = pa.table({"prediction": model.predict(chunk.to_pandas())})
        writer = writer or pq.ParquetWriter(target, answers.schema)
        writer.write_table(answers)
    assert writer is not None
    writer.close()


if __name__ == "__main__":
    _predict_file(*sys.argv[1:4])

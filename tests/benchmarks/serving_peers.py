"""The peers of the benchmark of endpoints: servers of an exported model with their defaults."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import httpx
import psutil
from serving_places import SERVER_CORE, Server, free_port, tree, wait_until

#: Interpreter of an environment that has BentoML, MLflow and the libraries of the models.
_BENTOML = os.environ.get("BENTOML_PYTHON", sys.executable)
_BIN = Path(sys.executable).parent


@contextlib.contextmanager
def mlflow_server(folder: Path, *, starting: bool = False) -> Iterator[Server]:
    """``mlflow models serve`` on the servers' core; while it is `starting`, on any core."""
    port = free_port()
    words = [str(_BIN / "mlflow"), "models", "serve", "-m", str(folder), "--env-manager", "local", "-p", str(port)]
    # It starts uvicorn by its name.
    paths = {"PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}"}
    with _running("mlflow", words, port, "/ping", paths, starting=starting) as server:
        yield server


@contextlib.contextmanager
def bentoml_server(folder: Path) -> Iterator[Server]:
    """``bentoml serve`` of the service in ``serving_bento.py``."""
    port = free_port()
    words = [_BENTOML, "-m", "bentoml", "serve", "serving_bento:Served", "--working-dir", str(Path(__file__).parent)]
    settings = {"BENCH_MODEL": str(folder), "BENTOML_DO_NOT_TRACK": "True", "PYTHONPATH": ""}
    with _running("bentoml", [*words, "--port", str(port)], port, "/readyz", settings) as server:
        yield server


@cache
def has_bentoml() -> bool:
    """Whether BentoML can be imported, by the interpreter in ``BENTOML_PYTHON`` if it is set."""
    words = [_BENTOML, "-c", "import bentoml, mlflow"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def _running(
    name: str, words: Sequence[str], port: int, health: str, settings: Mapping[str, str], *, starting: bool = False
) -> Iterator[Server]:
    url = f"http://127.0.0.1:{port}"
    folder = Path(tempfile.mkdtemp(prefix=f"bench-{name}-"))
    with open(folder / "log", "wb") as output:
        process = subprocess.Popen(
            list(words) if starting else ["taskset", "-c", str(SERVER_CORE), *words],
            cwd=folder, env={**os.environ, **settings}, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        if not starting:
            wait_until(lambda: _answers(f"{url}{health}", process, folder / "log"), name)
        yield Server(name, url, process.pid, name)
    finally:
        # The first of them first, since it would start the others again; some have a session of their own.
        for one in tree(process.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(url: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"the server ended with {process.returncode}: {log.read_text()[-2000:]}")
    try:
        return httpx.get(url, trust_env=False, verify=False).status_code == 200
    except httpx.HTTPError:
        return False

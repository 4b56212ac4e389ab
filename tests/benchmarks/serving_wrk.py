"""Load by wrk, on a core of its own."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from serving_places import CLIENT_CORE

_SCRIPT = """
wrk.headers["Content-Type"] = "application/json"
local requests, number = {}, 0
function init()
  for line in io.lines("%s") do requests[#requests + 1] = wrk.format("POST", nil, nil, line) end
end
function request()
  number = number %% #requests + 1
  return requests[number]
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('\\n{"requests": %%d, "us": %%d, "p50_us": %%d, "p99_us": %%d, "failed": %%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


def measure(url: str, bodies: Sequence[bytes], connections: int, seconds: float) -> dict[str, float]:
    """Send the bodies in turns to ``/invocations``; give ``requests``, ``p50_us``, ``p99_us`` and ``rps``.

    Raises
    ------
    RuntimeError
        A request failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        lines, script = Path(folder) / "bodies", Path(folder) / "script.lua"
        lines.write_bytes(b"\n".join(bodies) + b"\n")
        script.write_text(_SCRIPT % lines)
        words = ["taskset", "-c", str(CLIENT_CORE), "wrk", "-t1", f"-c{connections}", f"-d{max(round(seconds), 1)}s"]
        done = subprocess.run(
            [*words, "--timeout", "30s", "-s", str(script), f"{url}/invocations"],
            capture_output=True, text=True, check=False, timeout=seconds + 60,
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"wrk: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    if found["failed"] or not found["requests"]:
        raise RuntimeError(f"{found['failed']} of {found['requests']} requests to {url} failed\n{done.stdout}")
    return {
        "requests": found["requests"],
        "p50_us": found["p50_us"],
        "p99_us": found["p99_us"],
        "rps": round(found["requests"] / found["us"] * 1e6, 1),
    }

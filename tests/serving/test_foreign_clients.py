"""Clients of others, in an environment of their own; by hand (`make test-all`)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from model_folders import Case, Endpoint

pytestmark = [pytest.mark.process, pytest.mark.long]

#: Made by ``.ci/environments clients``.
CLIENTS = Path(__file__).parents[2] / "build" / "environments" / "clients" / "venv" / "bin" / "python"

ASK = """
import json, sys
import numpy as np
import tritonclient.http as triton
client = triton.InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("eta")
inputs = []
for name, (kind, values) in json.loads(sys.argv[2]).items():
    inputs.append(triton.InferInput(name, [len(values)], kind))
    inputs[-1].set_data_from_numpy(np.array(values, dtype=triton.triton_to_np_dtype(kind)), binary_data=False)
outputs = [triton.InferRequestedOutput("predict", binary_data=False)]
answer = client.infer("eta", inputs, outputs=outputs, request_id="from-triton")
name = client.get_model_metadata("eta")["name"]
print(json.dumps([answer.as_numpy("predict").tolist(), answer.get_response()["id"], name]))
"""


def test_tritons_own_client_is_served(cases: Callable[[str], Case], serve: Callable[..., Endpoint]) -> None:
    if not CLIENTS.exists():
        pytest.skip("'.ci/environments clients' makes the environment with Triton's client")
    case = cases("linear")
    rows = case.rows.head(3)
    columns = {name: ("INT64" if rows[name].dtype.kind == "i" else "FP64", rows[name].tolist()) for name in rows}
    address = serve(case.folder).url.removeprefix("http://")
    call = [str(CLIENTS), "-c", ASK, address, json.dumps(columns)]
    done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    predicted, request, name = json.loads(done.stdout)
    assert predicted == pytest.approx(case.estimator.predict(rows)) and (request, name) == ("from-triton", "eta")

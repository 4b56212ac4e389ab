"""Clients of others, in an environment of their own; by hand (`make test-all`)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from model_folders import Case, Endpoint, tensors

Cases = Callable[[str], Case]
Serve = Callable[..., Endpoint]

pytestmark = [pytest.mark.process, pytest.mark.long]

#: Made by ``.ci/environments clients``.
CLIENTS = Path(__file__).parents[2] / "build" / "environments" / "clients" / "venv" / "bin" / "python"

TRITON = """
import json, sys
import numpy as np
import tritonclient.http as triton
client = triton.InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("eta")
assert client.is_model_ready("eta", "1")
assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
assert client.get_model_repository_index()[0]["state"] == "READY"
columns, names = json.loads(sys.argv[2]), json.loads(sys.argv[3])
def inputs(binary):
    for name, (kind, values) in columns.items():
        values = [np.nan if v is None else v for v in values]
        one = triton.InferInput(name, [len(values)], kind)
        dtype = np.object_ if kind == "BYTES" else triton.triton_to_np_dtype(kind)
        one.set_data_from_numpy(np.array(values, dtype=dtype), binary_data=binary)
        yield one
found = []
for binary in (True, False):
    for outputs in (None, *([triton.InferRequestedOutput(n, binary_data=b) for n in names] for b in (True, False))):
        for coding in (None, "gzip", "deflate"):
            answer = client.infer(
                "eta", list(inputs(binary)), outputs=outputs, request_id="from-triton", model_version="1",
                request_compression_algorithm=coding, response_compression_algorithm=coding,
            )
            assert answer.get_response()["id"] == "from-triton"
            texts = lambda value: value.decode() if isinstance(value, bytes) else value
            found.append({n: [texts(v) for v in answer.as_numpy(n).ravel().tolist()] for n in names})
try:
    client.load_model("eta")
except triton.InferenceServerException as error:
    assert "mlops deploy" in error.message(), error
else:
    raise SystemExit("a model was loaded")
try:
    client.infer("eta", list(inputs(True))[1:])
except triton.InferenceServerException as error:
    assert "missing input column" in error.message(), error
print(json.dumps(found))
"""

KSERVE = """
import asyncio, json, sys
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
columns, names = json.loads(sys.argv[2]), json.loads(sys.argv[3])
url = "http://" + sys.argv[1]
kinds = {"FP64": np.float64, "INT64": np.int64, "BYTES": np.object_, "BOOL": np.bool_}
async def main():
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(url) and await client.is_server_ready(url)
    assert await client.is_model_ready(url, "eta")
    found = []
    for binary in (True, False):
        for binary_output in (True, False):
            inputs = []
            for name, (kind, values) in columns.items():
                values = [np.nan if v is None else v for v in values]
                inputs.append(InferInput(name, [len(values)], kind))
                inputs[-1].set_data_from_numpy(np.array(values, dtype=kinds[kind]), binary_data=binary)
            outputs = [RequestedOutput(name, parameters={"binary_data": binary_output}) for name in names]
            request = InferRequest("eta", inputs, request_id="from-kserve", request_outputs=outputs)
            answer = await client.infer(url, request, model_name="eta")
            assert answer.id == "from-kserve"
            texts = lambda value: value.decode() if isinstance(value, bytes) else value
            found.append({o.name: [texts(v) for v in o.as_numpy().ravel().tolist()] for o in answer.outputs})
    return found
print(json.dumps(asyncio.run(main())))
"""


@pytest.mark.parametrize("client", [TRITON, KSERVE], ids=["triton", "kserve"])
@pytest.mark.parametrize("name", ["linear", "boosted", "mixed", "text labels"])
def test_clients_of_others_get_the_models_answers(cases: Cases, serve: Serve, client: str, name: str) -> None:
    if not CLIENTS.exists():
        pytest.skip("'.ci/environments clients' makes the environment with the clients")
    case = cases(name)
    # Raw tensors have no missing texts.
    rows = case.rows.head(9).fillna({"träger": "AA"}) if name == "mixed" else case.rows.head(9)
    columns = {one["name"]: (one["datatype"], one["data"]) for one in tensors(rows)}
    want = {"predict": case.estimator.predict(rows).tolist()}
    if name == "text labels":
        want["predict_proba"] = case.estimator.predict_proba(rows).ravel().tolist()
    address = serve(case.folder).url.removeprefix("http://")
    call = [str(CLIENTS), "-c", client, address, json.dumps(columns), json.dumps(list(want))]
    done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) >= 4
    for answer in found:
        assert answer == {
            key: pytest.approx(values, rel=1e-12) if key != "predict" or name != "text labels" else values
            for key, values in want.items()
        }

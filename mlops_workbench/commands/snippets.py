"""Code that asks an endpoint about its example row, for the clients that people have."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from mlops_workbench.client.examples import Example

TOKEN = "MLOPS_SERVING_TOKEN"  # noqa: S105 - the name of a variable
_NUMPY = {"FP32": "np.float32", "FP64": "np.float64", "INT32": "np.int32", "INT64": "np.int64", "BOOL": "np.bool_"}


def snippets_of(name: str, url: str, example: Example, *, has_token: bool) -> dict[str, str]:
    """Return the code by client.

    Parameters
    ----------
    name, url : str
        The endpoint.
    example : Example
        Its example row.
    has_token : bool
        Whether requests need a token, which the code takes from the variable `TOKEN`.
    """
    return {
        "curl": _curl(url, example, has_token),
        "python": _python(name, example),
        "httpx": _httpx(url, example, has_token),
        "mlflow": _mlflow(url, example, has_token),
        "kserve": _kserve(name, url, example, has_token),
        "triton": _triton(name, url, example, has_token),
    }


def _curl(url: str, example: Example, has_token: bool) -> str:
    lines = [f"curl {url}/invocations", "-H 'Content-Type: application/json'"]
    if has_token:
        lines.append(f'-H "Authorization: Bearer ${TOKEN}"')
    return " \\\n  ".join([*lines, f"-d {shlex.quote(json.dumps(example.split, ensure_ascii=False))}"])


def _python(name: str, example: Example) -> str:
    return f"from mlops_workbench import predict\n{_data(example)}\nprint(predict({name!r}, X))"


def _httpx(url: str, example: Example, has_token: bool) -> str:
    top, headers = _token(has_token)
    return (
        f"{top}import httpx\n\n"
        f"answer = httpx.post({f'{url}/invocations'!r}, json={_literal(example.split)}{headers})\n"
        'answer.raise_for_status()\nprint(answer.json()["predictions"])'
    )


def _mlflow(url: str, example: Example, has_token: bool) -> str:
    if has_token:
        # MLflow's client sends no headers.
        return "# MLflow's scoring client sends no token.\n" + _httpx(url, example, has_token)
    parts = urlsplit(url)
    return (
        "from mlflow.pyfunc.scoring_server.client import ScoringServerClient\n"
        f"{_data(example)}\n"
        f"client = ScoringServerClient({parts.hostname!r}, {parts.port})\n"
        "print(client.invoke(X).get_predictions())"
    )


def _kserve(name: str, url: str, example: Example, has_token: bool) -> str:
    top, headers = _token(has_token)
    return (
        f"{top}import asyncio\n\nimport numpy as np\n"
        "from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig\n\n"
        f"{_inputs(example.tensors, 'InferInput')}\n\n"
        "async def ask():\n"
        '    client = InferenceRESTClient(RESTConfig(protocol="v2"))\n'
        f"    request = InferRequest({name!r}, inputs)\n"
        f"    answer = await client.infer({url!r}, request, model_name={name!r}{headers})\n"
        "    return {output.name: output.as_numpy() for output in answer.outputs}\n\n"
        "print(asyncio.run(ask()))"
    )


def _triton(name: str, url: str, example: Example, has_token: bool) -> str:
    top, headers = _token(has_token)
    return (
        f"{top}import numpy as np\nimport tritonclient.http as triton\n\n"
        f"{_inputs(example.tensors, 'triton.InferInput')}\n\n"
        f"client = triton.InferenceServerClient({urlsplit(url).netloc!r})\n"
        f"answer = client.infer({name!r}, inputs{headers})\n"
        'for output in answer.get_response()["outputs"]:\n'
        '    print(output["name"], answer.as_numpy(output["name"]))'
    )


def _token(has_token: bool) -> tuple[str, str]:
    if not has_token:
        return "", ""
    return "import os\n", f', headers={{"Authorization": "Bearer " + os.environ["{TOKEN}"]}}'


def _data(example: Example) -> str:
    """The example as what a notebook has."""
    split = example.split.get("dataframe_split")
    if split is None:
        rows = example.split["inputs"]
        if rows and not isinstance(rows[0], list):
            return f"\nX = {_literal(rows)}"
        return f"import numpy as np\n\nX = np.array({_literal(rows)})"
    columns = dict(zip(split["columns"], split["data"][0], strict=True))
    times = [name for name, value in columns.items() if isinstance(value, str) and _is_time(value)]
    row = {name: [value] for name, value in columns.items()}
    made = f"import pandas as pd\n\nX = pd.DataFrame({_literal(row)})"
    return made + "".join(f"\nX[{name!r}] = pd.to_datetime(X[{name!r}])" for name in times)


def _is_time(text: str) -> bool:
    from datetime import datetime

    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return "T" in text


def _inputs(tensors: Sequence[Mapping[str, Any]], kind: str) -> str:
    # Raw tensors have no missing texts; a missing optional input is left out.
    given = [one for one in tensors if any(value is not None for value in one["data"])]
    rows = ["inputs = ["]
    rows += [f"    {kind}({one['name']!r}, {list(one['shape'])}, {one['datatype']!r})," for one in given]
    rows.append("]")
    rows += [f"inputs[{at}].set_data_from_numpy({_array(one)})" for at, one in enumerate(given)]
    return "\n".join(rows)


def _array(tensor: Mapping[str, Any]) -> str:
    dtype = _NUMPY.get(tensor["datatype"], "np.object_")
    values = ", ".join("np.nan" if value is None else repr(value) for value in tensor["data"])
    reshape = f".reshape({list(tensor['shape'])})" if len(tensor["shape"]) > 1 else ""
    return f"np.array([{values}], dtype={dtype}){reshape}"


def _literal(value: object) -> str:
    return repr(value)

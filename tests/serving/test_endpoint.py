"""Versions side by side, guards, metrics, and arbitrary bodies."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_folders import Case, Endpoint, tensors

from mlops_workbench.core.manifest import read_manifest
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.serving.errors import InvalidModel

pytestmark = pytest.mark.process

Cases = Callable[[str], Case]
Serve = Callable[..., Endpoint]


@pytest.fixture(scope="module")
def shared(cases: Cases, serve: Serve) -> Endpoint:
    return serve(cases("mixed").folder)


def test_a_switch_keeps_the_version_before_and_rolls_back_without_loading(cases: Cases, serve: Serve) -> None:
    linear, boosted = cases("linear"), cases("boosted")
    endpoint = serve(linear.folder)
    router = endpoint.service.router
    before = router.route.present
    router.switch("flight-delays", 2, boosted.folder)
    inputs = tensors(linear.rows[:2])
    assert endpoint.v2({"inputs": inputs}).json()["model_version"] == "2"
    old = endpoint.v2({"inputs": inputs}, "/v2/models/eta/versions/1/infer").json()
    assert old["model_version"] == "1"
    assert old["outputs"][0]["data"] == pytest.approx(linear.estimator.predict(linear.rows[:2]))
    assert endpoint.client.get("/v2/models/eta").json()["versions"] == ["2", "1"]
    # The folder is not even looked at: the version is in memory.
    router.switch("flight-delays", 1, linear.folder / "gone")
    assert router.route.present is before
    with pytest.raises(InvalidModel):
        router.switch("flight-delays", 3, linear.folder / "gone")
    assert router.route.present is before
    assert endpoint.v2({"inputs": inputs}).json()["model_version"] == "1"


def test_a_version_is_the_files_not_the_number(cases: Cases, serve: Serve, tmp_path: Path) -> None:
    linear, boosted = cases("linear"), cases("boosted")
    endpoint = serve(linear.folder)
    router = endpoint.service.router
    inputs = tensors(linear.rows[:2])
    assert router.route.present.digest == read_manifest(linear.folder).digest
    for model, folder, case in (("other", boosted.folder, boosted), ("flight-delays", linear.folder, linear)):
        router.switch(model, 1, folder, read_manifest(folder).digest)
        answer = endpoint.v2({"inputs": inputs}).json()["outputs"][0]["data"]
        assert answer == pytest.approx(case.estimator.predict(linear.rows[:2]))
    # The same name and number, registered again after the model was deleted.
    router.switch("flight-delays", 1, boosted.folder, read_manifest(boosted.folder).digest)
    answer = endpoint.v2({"inputs": inputs}).json()["outputs"][0]["data"]
    assert answer == pytest.approx(boosted.estimator.predict(linear.rows[:2]))
    label = f'digest="{read_manifest(boosted.folder).digest}"'
    assert f'mlwb_model_info{{model="eta",registered_model="flight-delays",version="1",{label}}} 1' in (
        endpoint.client.get("/metrics").text
    )
    with pytest.raises(InvalidModel, match="has not the files of flight-delays/2"):
        router.switch("flight-delays", 2, linear.folder, "0" * 64)
    endpoint.service.close()
    logged = pq.read_table(endpoint.folder / "predictions").to_pylist()
    assert {(row["model"], row["version"], row["digest"]) for row in logged} == {
        (model, 1, read_manifest(folder).digest)
        for model, folder in (
            ("other", boosted.folder),
            ("flight-delays", linear.folder),
            ("flight-delays", boosted.folder),
        )
    }


def test_a_request_finishes_on_the_version_it_began_with(cases: Cases, serve: Serve) -> None:
    linear, boosted = cases("linear"), cases("boosted")
    endpoint = serve(linear.folder)
    router = endpoint.service.router
    runtime = router.route.present.runtime
    begun, go = threading.Event(), threading.Event()

    class Slow:
        def predict(self, rows: Any) -> Any:
            begun.set()
            assert go.wait(60)
            return linear.estimator.predict(rows)

    runtime.estimator = Slow()
    inputs = tensors(linear.rows[:2])
    with ThreadPoolExecutor(1) as executor:
        asked = executor.submit(endpoint.v2, {"inputs": inputs})
        assert begun.wait(60)
        router.switch("flight-delays", 2, boosted.folder)
        # While the model works, health and metrics answer.
        assert endpoint.client.get("/v2/health/ready").status_code == 200
        assert 'mlwb_waiting_requests{model="eta"} 1' in endpoint.client.get("/metrics").text
        go.set()
        answer = asked.result(60).json()
    assert answer["model_version"] == "1"
    assert answer["outputs"][0]["data"] == linear.estimator.predict(linear.rows[:2]).tolist()
    assert endpoint.v2({"inputs": inputs}).json()["model_version"] == "2"


def test_a_failure_of_the_model_is_a_500_without_internal_details(cases: Cases, serve: Serve) -> None:
    endpoint = serve(cases("linear").folder)

    class Broken:
        def predict(self, rows: Any) -> Any:
            raise KeyError("secret inside")

    endpoint.service.router.route.present.runtime.estimator = Broken()
    rows = cases("linear").rows[:1]
    for answer in (
        endpoint.v2({"inputs": tensors(rows)}),
        endpoint.invoke({"dataframe_split": json.loads(rows.to_json(orient="split"))}),
    ):
        assert answer.status_code == 500
        assert "KeyError" in answer.text
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text


def test_a_token_is_needed_when_there_is_one(cases: Cases, serve: Serve) -> None:
    endpoint = serve(cases("linear").folder, settings=ServingSettings(token="s3cret"))
    inputs = tensors(cases("linear").rows[:1])
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}):
        answer = endpoint.v2({"inputs": inputs}, headers=headers)
        assert (answer.status_code, list(answer.json())) == (401, ["error"])
        assert answer.headers["www-authenticate"] == "Bearer"
        refused = endpoint.invoke({"inputs": []}, headers=headers)
        assert refused.json()["error_code"] == "UNAUTHENTICATED"
    assert endpoint.client.get("/metrics").status_code == 401
    assert endpoint.client.get("/v2/health/ready").status_code == 200
    assert endpoint.v2({"inputs": inputs}, headers={"Authorization": "Bearer s3cret"}).status_code == 200


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"Origin": "null"}])
def test_web_pages_from_elsewhere_cannot_write_into_the_log(shared: Endpoint, headers: dict[str, str]) -> None:
    answer = shared.v2({"request_id": "a", "label": 1}, "/v2/models/eta/feedback", headers=headers)
    assert answer.status_code == 403
    assert not (shared.folder / "feedback").exists()


def test_metrics_count_requests_rows_and_errors(cases: Cases, serve: Serve) -> None:
    endpoint = serve(cases("linear").folder, version=3)
    inputs = tensors(cases("linear").rows[:5])
    for _ in range(3):
        endpoint.v2({"inputs": inputs})
    endpoint.v2({"inputs": inputs[1:]})
    endpoint.invoke({"inputs": {"a": [1.0], "b": [2.0], "n": [3]}})
    answer = endpoint.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert samples['mlwb_requests_total{model="eta",version="3",protocol="v2",status="200"}'] == "3"
    assert samples['mlwb_requests_total{model="eta",version="3",protocol="v2",status="400"}'] == "1"
    assert samples['mlwb_requests_total{model="eta",version="3",protocol="invocations",status="200"}'] == "1"
    assert samples['mlwb_request_rows_sum{model="eta",protocol="v2"}'] == "15"
    assert samples['mlwb_request_seconds_bucket{model="eta",protocol="v2",le="+Inf"}'] == "3"
    assert samples['mlwb_predict_seconds_count{model="eta",version="3"}'] == "4"
    assert (samples['mlwb_ready{model="eta"}'], samples['mlwb_model_version{model="eta"}']) == ("1", "3")
    totals = endpoint.service.counts().totals()
    assert (totals.requests, totals.rows, totals.errors) == (5, 16, 1)
    assert totals.p50_ms is not None
    assert totals.p99_ms is not None
    assert 0 < totals.p50_ms <= totals.p99_ms


_SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8)
_NAMES = st.sampled_from(["dep delay", "distance", "träger", "night", "day", "x", ""])
_JSON = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=4), max_leaves=12
)
_COLUMN = st.lists(_SCALARS, max_size=3)
_TENSOR = st.fixed_dictionaries(
    {},
    optional={
        "name": _NAMES | _JSON,
        "shape": st.lists(st.integers(-1, 4), max_size=3) | _JSON,
        "datatype": st.sampled_from(["FP64", "FP32", "INT64", "INT8", "BOOL", "BYTES", "FP16"]) | _JSON,
        "data": _COLUMN | st.lists(_COLUMN, max_size=3) | _JSON,
        "parameters": _JSON,
    },
)
_RECORD = st.fixed_dictionaries(
    {},
    optional={
        "dep delay": st.floats() | _SCALARS,
        "distance": st.integers(0, 9) | _SCALARS,
        "träger": st.sampled_from(["AA", "?"]) | _SCALARS,
        "night": st.booleans() | _SCALARS,
        "day": st.datetimes().map(lambda moment: moment.isoformat()) | _SCALARS,
    },
)
_SPLIT = st.fixed_dictionaries(
    {}, optional={"columns": st.lists(_NAMES | _SCALARS, max_size=5) | _JSON, "data": st.lists(_COLUMN) | _JSON}
)
_fuzz = settings(max_examples=150, suppress_health_check=list(HealthCheck))


@_fuzz
@given(
    st.fixed_dictionaries(
        {"inputs": st.lists(_TENSOR, max_size=5) | _JSON},
        optional={
            "id": _JSON,
            "parameters": _JSON,
            "outputs": st.lists(st.fixed_dictionaries({"name": _NAMES})) | _JSON,
        },
    )
    | _JSON
)
def test_no_body_makes_v2_fail(shared: Endpoint, body: Any) -> None:
    answer = shared.client.post("/v2/models/eta/infer", content=json.dumps(body).encode())
    assert answer.status_code in (200, 400, 422), answer.text
    assert answer.status_code == 200 or isinstance(answer.json()["error"], str)


@_fuzz
@given(
    st.fixed_dictionaries(
        {}, optional={"dataframe_records": st.lists(_RECORD, max_size=3) | _JSON, "params": _JSON, "input": _JSON}
    )
    | st.fixed_dictionaries({"dataframe_split": _SPLIT | _JSON})
    | st.fixed_dictionaries({"inputs": _RECORD | st.dictionaries(_NAMES, _COLUMN) | _JSON})
    | st.fixed_dictionaries({"instances": st.lists(_RECORD) | st.lists(_COLUMN) | _JSON})
    | _JSON
)
def test_no_body_makes_invocations_fail(shared: Endpoint, body: Any) -> None:
    headers = {"Content-Type": "application/json"}
    answer = shared.client.post("/invocations", content=json.dumps(body).encode(), headers=headers)
    assert answer.status_code in (200, 400, 422), answer.text
    assert answer.status_code == 200 or isinstance(answer.json()["message"], str)


@_fuzz
@given(st.binary(max_size=60), st.sampled_from(["application/json", "text/csv", "application/vnd.apache.parquet"]))
def test_no_bytes_make_an_endpoint_fail(shared: Endpoint, body: bytes, kind: str) -> None:
    for path in ("/invocations", "/v2/models/eta/infer", "/v2/models/eta/feedback"):
        answer = shared.client.post(path, content=body, headers={"Content-Type": kind})
        assert answer.status_code == 400, answer.text


@_fuzz
@given(
    st.fixed_dictionaries(
        {"request_id": st.text(max_size=4) | _JSON, "label": st.floats() | _COLUMN | _JSON},
        optional={"row": st.integers(-1, 3) | _COLUMN | _JSON, "observed_at": _JSON},
    )
)
def test_no_feedback_makes_an_endpoint_fail(shared_feedback: Endpoint, body: Any) -> None:
    content = json.dumps(body).encode()
    answer = shared_feedback.client.post("/v2/models/eta/feedback", content=content)
    assert answer.status_code in (200, 400, 422), answer.text


@pytest.fixture(scope="module")
def shared_feedback(cases: Cases, serve: Serve) -> Endpoint:
    return serve(cases("linear").folder)

"""Handling of a request apart from HTTP: parse, predict, encode, log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from mlops_workbench.core.errors import WorkbenchError, did_you_mean
from mlops_workbench.core.ids import new_id
from mlops_workbench.serving.errors import InvalidRequest, NotReady, UnknownModel
from mlops_workbench.serving.log.answers import Answered
from mlops_workbench.serving.log.feedback import FeedbackLog, LabelKind, Outcomes, parse_feedback
from mlops_workbench.serving.log.predictions import PredictionLog
from mlops_workbench.serving.metrics import RequestMetrics
from mlops_workbench.serving.protocols import invocations, v2
from mlops_workbench.serving.protocols.body import Encoded, parse_object
from mlops_workbench.serving.routing.router import LoadedVersion, Router
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.rows.values import parse_time
from mlops_workbench.serving.runtimes.estimator import TRANSFORM, Prediction, limit_threads

log = logging.getLogger("mlops_workbench.serving")

#: Requests that may wait for the executor before new ones are refused.
MOST_WAITING = 1024

_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Answer:
    """Status and body of an answer, and the id of its request."""

    status: int
    content: Encoded
    request_id: str


class InferenceService:
    """One endpoint: its versions, its logs, and its executor thread.

    Parameters
    ----------
    name : str
        Name of the endpoint, which is the model's name in URLs.
    router : Router
        Versions.
    predictions : PredictionLog, optional
        Log of the answers.
    feedback : FeedbackLog, optional
        Log of the true outcomes.
    """

    def __init__(
        self,
        name: str,
        router: Router,
        predictions: PredictionLog | None = None,
        feedback: FeedbackLog | None = None,
    ) -> None:
        self.name = name
        self.router = router
        self.predictions = predictions
        self.feedback = feedback
        self.metrics = RequestMetrics(name)
        # One thread, since scikit-learn holds the GIL most of the time; the event loop serves health and metrics.
        self.executor = ThreadPoolExecutor(1, thread_name_prefix="predict", initializer=limit_threads)
        self.waiting = 0

    def check_name(self, name: str) -> None:
        """Raise `UnknownModel` unless `name` is this endpoint's."""
        if name != self.name:
            hint = did_you_mean(name[:200], [self.name])
            raise UnknownModel(f"this endpoint does not serve a model '{name[:200]}'; {hint}")

    def infer_v2(self, body: bytes, version: str | None, given_id: str, header_length: str | None = None) -> Answer:
        """Answer an inference request of the Open Inference Protocol.

        Parameters
        ----------
        body : bytes
            JSON, and raw tensors behind it.
        version : str or None
            Version in the URL.
        given_id : str
            Id in the headers, empty without one.
        header_length : str or None
            Header with the length of the JSON; None if the body has no raw tensors.
        """

        def work(target: LoadedVersion, request: _Request) -> Encoded:
            parsed = v2.read_infer(body, header_length, target.runtime)
            request.id = parsed.id or request.id
            prediction = request.predict(target, parsed.batch, parsed.outputs, parsed.event_time)
            return v2.infer_answer(self.name, target.version, request.id, parsed, prediction)

        return self._answer("v2", version, given_id, work, v2_error)

    def invoke(self, body: bytes, content_type: str | None, given_id: str, most: int = invocations.LARGEST) -> Answer:
        """Answer a request of MLflow's scoring protocol; `most` is the largest size of what a Parquet file holds."""

        def work(target: LoadedVersion, request: _Request) -> Encoded:
            runtime = target.runtime
            parsed = invocations.parse_invocation(body, content_type, runtime.signature, most)
            output = runtime.default_output
            prediction = request.predict(target, parsed.batch, (output,), parsed.event_time)
            return Encoded(invocations.predictions_body(prediction.outputs[output]))

        return self._answer("invocations", None, given_id, work, invocations.error_body)

    def read_feedback(self, body: bytes) -> Outcomes:
        """Parse true outcomes for this endpoint's model."""
        if self.feedback is None:
            raise NotReady("this endpoint does not accept feedback")
        classes = self.router.find().runtime.classes
        kinds: dict[str, LabelKind] = {"O": "text", "U": "text", "b": "boolean"}
        kind = "number" if classes is None else kinds.get(classes.dtype.kind, "number")
        return parse_feedback(parse_object(body), labels_are=kind)

    def exposition(self) -> str:
        """Metrics in Prometheus text form."""
        route = self.router.route
        written, dropped = (self.predictions.written, self.predictions.dropped) if self.predictions else (0, 0)
        stored = self.feedback.written if self.feedback else 0
        served = None
        if route is not None:
            loaded = route.present
            served = {"registered_model": loaded.model, "version": str(loaded.version), "digest": loaded.digest}
        return self.metrics.exposition(
            {
                "mlwb_ready": ("gauge", "Whether a version is served.", float(route is not None)),
                "mlwb_model_version": ("gauge", "Version that is served.", route.present.version if route else 0),
                "mlwb_waiting_requests": ("gauge", "Requests that wait or run.", self.waiting),
                "mlwb_log_written_rows_total": ("counter", "Rows written to the prediction log.", written),
                "mlwb_log_dropped_rows_total": ("counter", "Rows dropped from the prediction log.", dropped),
                "mlwb_feedback_rows_total": ("counter", "Outcomes stored.", stored),
            },
            served,
        )

    def close(self) -> None:
        """End the executor, and write and close the logs."""
        self.executor.shutdown(wait=True)
        if self.predictions is not None:
            self.predictions.close()
        if self.feedback is not None:
            self.feedback.close()

    def _answer(
        self,
        protocol: str,
        version: str | None,
        given_id: str,
        work: Callable[[LoadedVersion, _Request], Encoded],
        error_body: Callable[[int, str], bytes],
    ) -> Answer:
        request = _Request(given_id or new_id())
        target: LoadedVersion | None = None
        try:
            target = self.router.find(version)
            content = work(target, request)
        except WorkbenchError as error:
            self.metrics.refused(protocol, target.version if target else 0, error.status)
            return Answer(error.status, Encoded(error_body(error.status, error.message)), request.id)
        except Exception:  # a bug must not affect other requests
            log.exception("request %s failed", request.id)
            self.metrics.refused(protocol, target.version if target else 0, 500)
            return Answer(500, Encoded(error_body(500, "internal error")), request.id)
        total = time.perf_counter() - request.begun
        assert request.batch is not None and request.prediction is not None
        self.metrics.answered(
            protocol, target.version, rows=request.batch.rows, total=total, predict=request.predict_seconds
        )
        if self.predictions is not None:
            answered_us = time.time_ns() // 1000
            self.predictions.append(
                Answered(
                    request_id=request.id,
                    answered_us=answered_us,
                    event_us=answered_us if request.event_us is None else request.event_us,
                    model=target.model,
                    version=target.version,
                    digest=target.digest,
                    arm="champion",
                    protocol=protocol,
                    status=200,
                    total_us=int(total * 1e6),
                    predict_us=int(request.predict_seconds * 1e6),
                    batch=request.batch,
                    prediction=_logged(request.prediction),
                )
            )
        return Answer(200, content, request.id)


class _Request:
    """State of a request while it is answered."""

    def __init__(self, identity: str) -> None:
        self.id = identity
        self.begun = time.perf_counter()
        self.batch: Batch | None = None
        self.prediction: Prediction | None = None
        self.predict_seconds = 0.0
        self.event_us: int | None = None

    def predict(self, target: LoadedVersion, batch: Batch, outputs: tuple[str, ...], event_time: str) -> Prediction:
        if event_time:
            self.event_us = _micros(event_time)
        begun = time.perf_counter()
        self.batch, self.prediction = batch, target.runtime.predict(batch, outputs)
        self.predict_seconds = time.perf_counter() - begun
        return self.prediction


def _logged(prediction: Prediction) -> Prediction:
    """Without what is no prediction."""
    if TRANSFORM not in prediction.outputs:
        return prediction
    return Prediction({name: values for name, values in prediction.outputs.items() if name != TRANSFORM})


def v2_error(status: int, message: str) -> bytes:
    """``{"error": ...}``, the body of every error of the Open Inference Protocol."""
    return v2.error_body(message)


def _micros(text: str) -> int:
    try:
        moment = parse_time(text)
    except ValueError:
        raise InvalidRequest(f"event_time: expected a time in ISO 8601, got {text[:60]!r}") from None
    return (moment - _EPOCH) // timedelta(microseconds=1)

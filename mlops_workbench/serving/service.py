"""Handling of a request apart from HTTP: parse, predict, encode, log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from mlops_workbench.core.errors import WorkbenchError, did_you_mean
from mlops_workbench.core.ids import new_id
from mlops_workbench.serving.batching.batcher import Batcher, Predicted
from mlops_workbench.serving.errors import InvalidRequest, NotReady, Overloaded, UnknownModel
from mlops_workbench.serving.log.answers import Answered
from mlops_workbench.serving.log.feedback import FeedbackLog, LabelKind, Outcomes
from mlops_workbench.serving.log.feedback_bodies import parse_body, with_events
from mlops_workbench.serving.log.predictions import PredictionLog
from mlops_workbench.serving.metrics import Counts, RequestMetrics, exposition, merged_counts
from mlops_workbench.serving.protocols import invocations, v2
from mlops_workbench.serving.protocols.body import Encoded, parse_object
from mlops_workbench.serving.routing.router import LoadedVersion, Router
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.rows.values import parse_time
from mlops_workbench.serving.runtimes.estimator import TRANSFORM, Prediction, Runtime, limit_threads

log = logging.getLogger("mlops_workbench.serving")

#: Requests that may wait or run before new ones are refused.
MOST_WAITING = 1024
#: Bytes of a body that is parsed, and rows of an answer that is written, on the event loop.
_SMALL_BODY, _FEW_ROWS = 64 << 10, 1000

_DEFECT = "internal error"

_EPOCH = datetime(1970, 1, 1)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Answer:
    """Status and body of an answer, and the id of its request."""

    status: int
    content: Encoded
    request_id: str


class _Parsed(Protocol):
    """A request of either protocol."""

    @property
    def batch(self) -> Batch: ...

    @property
    def event_time(self) -> str: ...


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
    others : callable, optional
        Returns the counts of the other processes of the endpoint.
    """

    def __init__(
        self,
        name: str,
        router: Router,
        predictions: PredictionLog | None = None,
        feedback: FeedbackLog | None = None,
        others: Callable[[], list[Counts]] = list,
    ) -> None:
        self.name = name
        self.router = router
        self.predictions = predictions
        self.feedback = feedback
        self.metrics = RequestMetrics()
        self._others = others
        # One thread, since scikit-learn holds the GIL most of the time; the event loop serves health and metrics.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="predict", initializer=limit_threads)
        self._batcher = Batcher(self._executor, seconds=router.settings.timeout_seconds, observed=self.metrics.batch)
        self._waiting = 0

    def check_name(self, name: str) -> None:
        """Raise `UnknownModel` unless `name` is this endpoint's."""
        if name != self.name:
            hint = did_you_mean(name[:200], [self.name])
            raise UnknownModel(f"this endpoint does not serve a model '{name[:200]}'; {hint}")

    async def infer_v2(
        self, body: bytes, version: str | None, given_id: str, header_length: str | None = None
    ) -> Answer:
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
        request = _Request("v2", given_id)
        try:
            target = request.target = self.router.find(version)
            parsed = await _apart(len(body) > _SMALL_BODY, v2.read_infer, body, header_length, target.runtime)
            request.id = parsed.id or request.id
            predicted = await self._predict(request, target.runtime, parsed, parsed.outputs)
            content = await _apart(
                parsed.batch.rows > _FEW_ROWS,
                *(v2.infer_answer, self.name, target.version, request.id, parsed, predicted.prediction),
            )
        except WorkbenchError as error:
            return self._refuse(request, error.status, v2.error_body(error.message))
        except Exception:  # a defect must not affect other requests
            log.exception("request %s failed", request.id)
            return self._refuse(request, 500, v2.error_body(_DEFECT))
        return self._answered(request, parsed.batch, predicted, content)

    async def invoke(
        self, body: bytes, content_type: str | None, given_id: str, most: int = invocations.LARGEST
    ) -> Answer:
        """Answer a request of MLflow's scoring protocol; `most` is the largest size of what a Parquet file holds."""
        request = _Request("invocations", given_id)
        try:
            target = request.target = self.router.find()
            parsed = await _apart(
                len(body) > _SMALL_BODY,
                *(invocations.parse_invocation, body, content_type, target.runtime.signature, most),
            )
            output = target.runtime.default_output
            predicted = await self._predict(request, target.runtime, parsed, (output,))
            content = Encoded(
                await _apart(
                    parsed.batch.rows > _FEW_ROWS,
                    *(invocations.predictions_body, predicted.prediction.outputs[output], predicted.prediction.table),
                )
            )
        except WorkbenchError as error:
            return self._refuse(request, error.status, invocations.error_body(error.status, error.message))
        except Exception:  # a defect must not affect other requests
            log.exception("request %s failed", request.id)
            return self._refuse(request, 500, invocations.error_body(500, _DEFECT))
        return self._answered(request, parsed.batch, predicted, content)

    def read_feedback(self, body: bytes, content_type: str, most: int) -> Outcomes:
        """Parse true outcomes for this endpoint's model, of rows that it has answered; `most` bytes at most.

        Raises
        ------
        UnknownRows
            A row was not asked; none of the outcomes is stored then.
        """
        if self.feedback is None:
            raise NotReady("this endpoint does not accept feedback")
        classes = self.router.find().runtime.classes
        kinds: dict[str, LabelKind] = {"O": "text", "U": "text", "b": "boolean"}
        kind = "number" if classes is None else kinds.get(classes.dtype.kind, "number")
        outcomes = parse_body(body, content_type, labels_are=kind, parse_json=parse_object, most=most)
        return outcomes if self.predictions is None else with_events(outcomes, self.predictions.asked)

    def counts(self) -> Counts:
        """Counts of this process."""
        counts = self.metrics.snapshot()
        counts.waiting = self._waiting
        if self.predictions is not None:
            counts.log_written, counts.log_dropped = self.predictions.written, self.predictions.dropped
        if self.feedback is not None:
            counts.feedback_rows = self.feedback.written
        return counts

    def exposition(self) -> str:
        """Metrics of all processes of the endpoint in Prometheus text form."""
        counts = merged_counts([self.counts(), *self._others()])
        route = self.router.route
        served = None
        if route is not None:
            loaded = route.present
            served = {"registered_model": loaded.model, "version": str(loaded.version), "digest": loaded.digest}
        return exposition(
            self.name,
            counts,
            {
                "mlwb_ready": ("gauge", "Whether a version is served.", float(route is not None)),
                "mlwb_model_version": ("gauge", "Version that is served.", route.present.version if route else 0),
                "mlwb_waiting_requests": ("gauge", "Requests that wait or run.", counts.waiting),
                "mlwb_log_written_rows_total": ("counter", "Rows written to the prediction log.", counts.log_written),
                "mlwb_log_dropped_rows_total": ("counter", "Rows dropped from the prediction log.", counts.log_dropped),
                "mlwb_feedback_rows_total": ("counter", "Outcomes stored.", counts.feedback_rows),
            },
            served,
        )

    def close(self) -> None:
        """End the executor, and write and close the logs."""
        self._executor.shutdown(wait=True)
        if self.predictions is not None:
            self.predictions.close()
        if self.feedback is not None:
            self.feedback.close()

    async def _predict(
        self, request: _Request, runtime: Runtime, parsed: _Parsed, outputs: tuple[str, ...]
    ) -> Predicted:
        if parsed.event_time:
            request.event_us = event_micros(parsed.event_time)
        if self._waiting >= MOST_WAITING:
            raise Overloaded(f"{MOST_WAITING} requests are waiting already", hint="try again in a moment")
        self._waiting += 1
        try:
            return await self._batcher.predict(runtime, parsed.batch, outputs)
        finally:
            self._waiting -= 1

    def _refuse(self, request: _Request, status: int, body: bytes) -> Answer:
        self.metrics.refused(request.protocol, request.target.version if request.target else 0, status)
        return Answer(status, Encoded(body), request.id)

    def _answered(self, request: _Request, batch: Batch, predicted: Predicted, content: Encoded) -> Answer:
        """Count and log an answer."""
        target = request.target
        assert target is not None
        total = time.perf_counter() - request.begun
        self.metrics.answered(request.protocol, target.version, rows=batch.rows, total=total, predict=predicted.seconds)
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
                    arm=target.arm,
                    protocol=request.protocol,
                    status=200,
                    total_us=int(total * 1e6),
                    predict_us=int(predicted.seconds * 1e6),
                    batch=batch,
                    prediction=_logged(predicted.prediction),
                )
            )
        return Answer(200, content, request.id)


class _Request:
    """State of a request while it is answered."""

    __slots__ = ("begun", "event_us", "id", "protocol", "target")

    def __init__(self, protocol: str, identity: str) -> None:
        self.protocol = protocol
        self.id = identity or new_id()
        self.begun = time.perf_counter()
        self.event_us: int | None = None
        self.target: LoadedVersion | None = None


def _logged(prediction: Prediction) -> Prediction:
    """Without what is no prediction."""
    if TRANSFORM not in prediction.outputs:
        return prediction
    return Prediction({name: values for name, values in prediction.outputs.items() if name != TRANSFORM})


async def _apart(is_long: bool, work: Callable[..., _T], *arguments: object) -> _T:
    """Run in a thread what would delay other requests."""
    return await asyncio.to_thread(work, *arguments) if is_long else work(*arguments)


def event_micros(text: str) -> int:
    """Microseconds since 1970 of a time in ISO 8601; `InvalidRequest` if it is none."""
    try:
        moment = parse_time(text)
    except ValueError:
        raise InvalidRequest(f"event_time: expected a time in ISO 8601, got {text[:60]!r}") from None
    return (moment - _EPOCH) // timedelta(microseconds=1)

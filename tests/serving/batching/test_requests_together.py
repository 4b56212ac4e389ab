"""Requests that are answered together get their own answers, and a wrong one fails alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression

from mlops_workbench.serving.batching.batcher import Batcher, Predicted
from mlops_workbench.serving.errors import InvalidRequest, Overloaded, TimedOut
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.rows.signature import InputColumn, Signature
from mlops_workbench.serving.runtimes.estimator import Runtime

SIGNATURE = Signature((InputColumn("a", "double", key="a"), InputColumn("b", "double", key="b")), "matrix")


def batch(*rows: float, as_columns: bool = False) -> Batch:
    """Rows whose answer is their number."""
    values = np.array(rows, dtype=float)
    if as_columns:
        return Batch(SIGNATURE, len(rows), {"a": values, "b": np.zeros(len(rows))})
    return Batch(SIGNATURE, len(rows), None, np.column_stack((values, np.zeros(len(rows)))))


class Checked(RegressorMixin, BaseEstimator):
    """Answers with the first column; refuses negative numbers; waits while it is told to."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.wait: threading.Event | None = None

    def predict(self, X: Any) -> Any:
        self.sizes.append(len(X))
        if self.wait is not None:
            self.wait.wait(20)
        if (X[:, 0] < 0).any():
            raise ValueError("negative")
        return X[:, 0].copy()


def run(work: Callable[[Batcher], Awaitable[Any]], **options: Any) -> Any:
    async def main() -> Any:
        with ThreadPoolExecutor(1) as executor:
            return await work(Batcher(executor, **options))

    return asyncio.run(main())


async def ask(batcher: Batcher, runtime: Runtime, *batches: Batch) -> list[Predicted | BaseException]:
    return await asyncio.gather(
        *(batcher.predict(runtime, one, ("predict",)) for one in batches), return_exceptions=True
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    requests=st.lists(
        st.tuples(st.lists(st.integers(-2, 10**6), min_size=1, max_size=9), st.booleans(), st.integers(0, 2)),
        min_size=1,
        max_size=30,
    ),
    most=st.integers(1, 40),
    known=st.booleans(),
)
def test_every_request_gets_its_own_rows(requests, most, known) -> None:
    model = Checked()
    runtime = Runtime(model, SIGNATURE)
    if known:
        runtime.times.observe(1, 1e-5)

    async def work(batcher: Batcher) -> Any:
        async def one(values: list[int], as_columns: bool, pauses: int) -> Any:
            for _ in range(pauses):
                await asyncio.sleep(0)
            return await batcher.predict(runtime, batch(*values, as_columns=as_columns), ("predict",))

        found = await asyncio.gather(*(one(*request) for request in requests), return_exceptions=True)
        assert batcher.waiting_rows == 0
        return found

    for (values, *_), found in zip(requests, run(work, rows=most), strict=True):
        if min(values) < 0:
            assert isinstance(found, InvalidRequest)
        else:
            assert found.prediction.outputs["predict"].tolist() == values
    assert all(size <= max(most, 9) for size in model.sizes)


def test_what_arrives_together_is_one_prediction() -> None:
    model = Checked()
    runtime = Runtime(model, SIGNATURE)
    runtime.times.observe(1, 1e-5)
    seen: list[tuple[int, int]] = []
    run(
        lambda batcher: ask(batcher, runtime, *(batch(i) for i in range(16))),
        observed=lambda requests, rows: seen.append((requests, rows)),
    )
    assert model.sizes == [16]
    assert seen == [(16, 16)]


def test_while_a_long_prediction_runs_the_others_gather() -> None:
    model = Checked()
    model.wait = threading.Event()
    runtime = Runtime(model, SIGNATURE)

    async def work(batcher: Batcher) -> Any:
        first = asyncio.ensure_future(ask(batcher, runtime, batch(1)))
        while not model.sizes:
            await asyncio.sleep(0.001)
        others = asyncio.ensure_future(ask(batcher, runtime, *(batch(i) for i in range(2, 9))))
        await asyncio.sleep(0.01)  # the event loop is not blocked
        assert model.sizes == [1]
        assert model.wait is not None
        model.wait.set()
        return await first + await others

    found = run(work)
    assert [one.prediction.outputs["predict"].tolist() for one in found] == [[i] for i in range(1, 9)]
    assert model.sizes == [1, 7]


def test_a_model_whose_answers_depend_on_other_rows_is_asked_for_each_request() -> None:
    model = Checked()
    runtime = Runtime(model, SIGNATURE)
    runtime.is_row_wise = False
    run(lambda batcher: ask(batcher, runtime, *(batch(i) for i in range(5))))
    assert model.sizes == [1] * 5


def test_too_many_waiting_rows_are_refused() -> None:
    runtime = Runtime(Checked(), SIGNATURE)
    found = run(lambda batcher: ask(batcher, runtime, batch(1, 2, 3), batch(4, 5), batch(6)), waiting=4)
    assert [type(one) for one in found] == [Predicted, Overloaded, Predicted]


def test_a_request_that_takes_too_long_frees_its_place() -> None:
    model = Checked()
    model.wait = threading.Event()
    runtime = Runtime(model, SIGNATURE)

    async def work(batcher: Batcher) -> Any:
        found = await ask(batcher, runtime, batch(1))
        late = await ask(batcher, runtime, batch(2), batch(3))
        assert batcher.waiting_rows == 1  # only the one that runs
        assert model.wait is not None
        model.wait.set()
        after = await ask(batcher, runtime, batch(4))
        return [*found, *late, *after]

    found = run(work, seconds=0.2)
    assert [type(one) for one in found] == [TimedOut, TimedOut, TimedOut, Predicted]
    assert model.sizes == [1, 1]


def test_a_small_real_model_is_answered_on_the_event_loop() -> None:
    model = LinearRegression().fit([[0.0, 0.0], [1.0, 0.0]], [0.0, 1.0])
    runtime = Runtime(model, SIGNATURE)
    threads: set[int] = set()
    own = model.predict

    def predict(X: Any) -> Any:
        threads.add(threading.get_ident())
        return own(X)

    model.predict = predict
    runtime.times.observe(1, 1e-4)
    (found,) = run(lambda batcher: ask(batcher, runtime, batch(0.25)))
    assert isinstance(found, Predicted)
    assert found.prediction.outputs["predict"] == pytest.approx([0.25])
    assert threads == {threading.get_ident()}

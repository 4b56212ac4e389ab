"""A prediction log and feedback as real Parquet files, written the way endpoints write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

STAMP = pa.timestamp("us", tz="UTC")
START = datetime(2013, 4, 1, tzinfo=UTC)


@dataclass
class Traffic:
    """Writes segments of one endpoint."""

    root: Path
    endpoint: str = "délais"

    @property
    def predictions(self) -> Path:
        return self.root / "predictions"

    @property
    def feedback(self) -> Path:
        return self.root / "feedback"

    def answer(
        self,
        request: str,
        times: Sequence[datetime],
        prediction: Sequence[object],
        features: dict[str, Sequence[object]],
        *,
        version: int = 1,
        status: int = 200,
        arm: str = "champion",
        model: str = "m",
    ) -> Path:
        size = len(times)
        columns: dict[str, pa.Array] = {
            "request_id": pa.array([request] * size),
            "row": pa.array(range(size), pa.int32()),
            "ts": pa.array([datetime.now(UTC)] * size, STAMP),
            "event_time": pa.array(times, STAMP),
            "model": pa.array([model] * size),
            "version": pa.array([version] * size, pa.int32()),
            "arm": pa.array([arm] * size),
            "protocol": pa.array(["v2"] * size),
            "status": pa.array([status] * size, pa.int16()),
            "total_us": pa.array([900] * size, pa.int64()),
            "predict_us": pa.array([100] * size, pa.int64()),
        }
        columns |= {f"feature.{name}": pa.array(values) for name, values in features.items()}
        columns["prediction"] = pa.array(prediction)
        columns["probabilities"] = pa.nulls(size, pa.list_(pa.float64()))
        path = self.predictions / f"endpoint={self.endpoint}" / "date=2026-11-21" / f"{uuid4().hex}.parquet"
        return _write(path, columns)

    def feed_back(
        self, request: str, labels: Sequence[object], *, rows: Sequence[int] | None = None, received: int = 0
    ) -> Path:
        size = len(labels)
        moment = datetime(2026, 11, 21, tzinfo=UTC) + timedelta(seconds=received)
        columns = {
            "request_id": pa.array([request] * size),
            "row": pa.array(range(size) if rows is None else rows, pa.int32()),
            "label": pa.array(labels),
            "observed_at": pa.array([None] * size, STAMP),
            "received_at": pa.array([moment] * size, STAMP),
        }
        return _write(self.feedback / f"endpoint={self.endpoint}" / f"{uuid4().hex}.parquet", columns)

    def reference(self, columns: dict[str, Sequence[object]]) -> Path:
        path = self.root / "model" / "mlops" / "reference.parquet"
        return _write(path, {name: pa.array(values) for name, values in columns.items()})


def spread(start: datetime, hours: float, size: int) -> list[datetime]:
    """Instants evenly over some hours from `start` on."""
    return [start + timedelta(hours=hours) * (place / size) for place in range(size)]


def noise(seed: int, size: int, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1.0, size)


def _write(path: Path, columns: dict[str, pa.Array]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.tmp"
    pq.write_table(pa.table(columns), temporary, compression="zstd")
    temporary.rename(path)
    return path

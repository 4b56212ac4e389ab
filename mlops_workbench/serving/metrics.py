"""Metrics of an endpoint, and their Prometheus text format."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil

#: Upper bounds of the latency buckets, in seconds.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: Upper bounds of the buckets of rows per request.
ROW_BUCKETS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)


@dataclass(frozen=True)
class Totals:
    """Counts since the start, and latency of the last answers in milliseconds (None before the first)."""

    requests: int
    rows: int
    errors: int
    p50_ms: float | None
    p99_ms: float | None


class _Histogram:
    def __init__(self, bounds: Iterable[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str, labels: str) -> Iterable[str]:
        seen = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            seen += count
            edge = "+Inf" if bound == float("inf") else f"{bound:g}"
            yield f'{name}_bucket{{{labels},le="{edge}"}} {seen}'
        yield f"{name}_sum{{{labels}}} {self.total:.9g}"
        yield f"{name}_count{{{labels}}} {seen}"


class RequestMetrics:
    """Counters and histograms of one endpoint; safe to use from any thread.

    Parameters
    ----------
    model : str
        Value of the label ``model``: the endpoint's name.
    recent : int
        Number of last answers for the percentiles of `totals`.
    """

    def __init__(self, model: str, recent: int = 2048) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, str, int], int] = defaultdict(int)
        self._seconds: dict[str, _Histogram] = defaultdict(lambda: _Histogram(BUCKETS))
        self._predict: dict[str, _Histogram] = defaultdict(lambda: _Histogram(BUCKETS))
        self._rows: dict[str, _Histogram] = defaultdict(lambda: _Histogram(ROW_BUCKETS))
        self._recent: deque[float] = deque(maxlen=recent)

    def answered(self, protocol: str, version: int, *, rows: int, total: float, predict: float) -> None:
        """Count a prediction; times in seconds."""
        with self._lock:
            self._requests[protocol, str(version), 200] += 1
            self._seconds[protocol].observe(total)
            self._predict[str(version)].observe(predict)
            self._rows[protocol].observe(rows)
            self._recent.append(total)

    def refused(self, protocol: str, version: int, status: int) -> None:
        """Count a request that was answered with an error; version 0 for none."""
        with self._lock:
            self._requests[protocol, str(version) if version else "", status] += 1

    def totals(self) -> Totals:
        """Sums over all labels."""
        with self._lock:
            counts = list(self._requests.items())
            rows = int(sum(histogram.total for histogram in self._rows.values()))
            recent = sorted(self._recent)
        return Totals(
            requests=sum(count for _, count in counts),
            rows=rows,
            errors=sum(count for (_, _, status), count in counts if status != 200),
            p50_ms=_percentile(recent, 0.50),
            p99_ms=_percentile(recent, 0.99),
        )

    def exposition(self, gauges: Mapping[str, tuple[str, str, float]], served: Mapping[str, str] | None) -> str:
        """Prometheus text format 0.0.4.

        Parameters
        ----------
        served : mapping of str to str or None
            Labels that identify the version that is served; None before the first.
        gauges : mapping of str to (str, str, float)
            Further metrics by name: type (``gauge`` or ``counter``), help text and value.
        """
        model = f'model="{self._model}"'
        lines = _head("mlwb_requests_total", "counter", "Requests by protocol, version and HTTP status.")
        with self._lock:
            for (protocol, version, status), count in sorted(self._requests.items()):
                labels = f'{model},version="{version}",protocol="{protocol}",status="{status}"'
                lines.append(f"mlwb_requests_total{{{labels}}} {count}")
            for name, text, label, histograms in (
                (
                    "mlwb_request_seconds",
                    "Time from the last byte of a request to its answer.",
                    "protocol",
                    self._seconds,
                ),
                ("mlwb_predict_seconds", "Time in the model.", "version", self._predict),
                ("mlwb_request_rows", "Rows of a request.", "protocol", self._rows),
            ):
                lines += _head(name, "histogram", text)
                for value, histogram in sorted(histograms.items()):
                    lines += histogram.lines(name, f'{model},{label}="{value}"')
        if served is not None:
            labels = ",".join(f'{name}="{value}"' for name, value in served.items())
            lines += _head("mlwb_model_info", "gauge", "Identity of the version that is served; always 1.")
            lines.append(f"mlwb_model_info{{{model},{labels}}} 1")
        for name, (kind, text, number) in gauges.items():
            lines += [*_head(name, kind, text), f"{name}{{{model}}} {number:.17g}"]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _percentile(ordered: list[float], share: float) -> float | None:
    return round(ordered[max(ceil(share * len(ordered)) - 1, 0)] * 1000, 3) if ordered else None

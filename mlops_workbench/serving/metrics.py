"""Metrics of an endpoint, and their Prometheus text format."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import msgspec

#: Upper bounds of the latency buckets, in seconds.
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: Upper bounds of the buckets of rows per request.
ROW_BUCKETS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)
#: Upper bounds of the buckets of requests that are answered together.
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Totals:
    """Counts since the start, and latency of the last answers in milliseconds (None before the first)."""

    requests: int
    rows: int
    errors: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class RequestRate:
    """Requests a second over the last seconds, from counts at different times.

    Parameters
    ----------
    seconds : float
        Length of the window.
    """

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._counts: deque[tuple[float, int]] = deque()

    def of(self, now: float, requests: int) -> float | None:
        """The rate with a count at `now`, on a clock in seconds; None before there are two counts."""
        counts = self._counts
        if counts and requests < counts[-1][1]:
            # The counts began anew.
            counts.clear()
        counts.append((now, requests))
        # The last one before the window stays, so that the window is covered.
        while len(counts) > 2 and counts[1][0] <= now - self._seconds:
            counts.popleft()
        before, earlier = counts[0]
        return round((requests - earlier) / (now - before), 2) if now > before else None


class Histogram(msgspec.Struct, array_like=True):
    """Observations below each bound, the last above all, and their sum."""

    counts: list[int]
    total: float = 0.0

    def observe(self, bounds: Sequence[float], value: float) -> None:
        """Count an observation."""
        self.counts[bisect_left(bounds, value)] += 1
        self.total += value

    def lines(self, bounds: Sequence[float], name: str, labels: str) -> Iterable[str]:
        """Lines in Prometheus text form."""
        seen = 0
        for bound, count in zip((*bounds, float("inf")), self.counts, strict=True):
            seen += count
            edge = "+Inf" if bound == float("inf") else f"{bound:g}"
            yield f'{name}_bucket{{{labels},le="{edge}"}} {seen}'
        yield f"{name}_sum{{{labels}}} {self.total:.9g}"
        yield f"{name}_count{{{labels}}} {seen}"


class Counts(msgspec.Struct, array_like=True):
    """What the workers of an endpoint have counted.

    Attributes
    ----------
    requests : dict of str to int
        By ``protocol|version|status``.
    seconds, rows : dict of str to Histogram
        Of answers, by protocol.
    predict : dict of str to Histogram
        Seconds in the model, by version.
    batches : dict of str to Histogram
        Requests that were answered together; its key is empty.
    recent : list of float
        Seconds of the last answers.
    waiting, log_written, log_dropped, feedback_rows : int
        Requests that wait or run; rows of the logs.
    """

    requests: dict[str, int] = {}
    seconds: dict[str, Histogram] = {}
    rows: dict[str, Histogram] = {}
    predict: dict[str, Histogram] = {}
    batches: dict[str, Histogram] = {}
    recent: list[float] = []
    waiting: int = 0
    log_written: int = 0
    log_dropped: int = 0
    feedback_rows: int = 0

    def of_the_past(self) -> Counts:
        """The counts without what only a running process has."""
        return msgspec.structs.replace(self, waiting=0, recent=[])

    def totals(self) -> Totals:
        """Sums over all labels."""
        recent = sorted(self.recent)
        return Totals(
            requests=sum(self.requests.values()),
            rows=int(sum(histogram.total for histogram in self.rows.values())),
            errors=sum(count for key, count in self.requests.items() if not key.endswith("|200")),
            p50_ms=_percentile(recent, 0.50),
            p95_ms=_percentile(recent, 0.95),
            p99_ms=_percentile(recent, 0.99),
        )


#: Field of the counts, and the name, help, label and bounds of its histogram.
_HISTOGRAMS = (
    ("seconds", "mlwb_request_seconds", "Time from the last byte of a request to its answer.", "protocol", BUCKETS),
    ("predict", "mlwb_predict_seconds", "Time in the model.", "version", BUCKETS),
    ("rows", "mlwb_request_rows", "Rows of a request.", "protocol", ROW_BUCKETS),
    ("batches", "mlwb_batch_requests", "Requests that were answered together.", "", BATCH_BUCKETS),
)


class RequestMetrics:
    """Counters and histograms of one process; safe to use from any thread.

    Parameters
    ----------
    recent : int
        Number of last answers for the percentiles.
    """

    def __init__(self, recent: int = 1024) -> None:
        self._lock = threading.Lock()
        self._counts = Counts({}, {}, {}, {}, {"": Histogram([0] * (len(BATCH_BUCKETS) + 1))})
        self._recent: deque[float] = deque(maxlen=recent)

    def answered(self, protocol: str, version: int, *, rows: int, total: float, predict: float) -> None:
        """Count a prediction; times in seconds."""
        counts, number = self._counts, str(version)
        with self._lock:
            key = f"{protocol}|{number}|200"
            counts.requests[key] = counts.requests.get(key, 0) + 1
            _of(counts.seconds, protocol, BUCKETS).observe(BUCKETS, total)
            _of(counts.predict, number, BUCKETS).observe(BUCKETS, predict)
            _of(counts.rows, protocol, ROW_BUCKETS).observe(ROW_BUCKETS, rows)
            self._recent.append(total)

    def refused(self, protocol: str, version: int, status: int) -> None:
        """Count a request that was answered with an error; version 0 for none."""
        key = f"{protocol}|{version or ''}|{status}"
        with self._lock:
            self._counts.requests[key] = self._counts.requests.get(key, 0) + 1

    def batch(self, requests: int, rows: int) -> None:
        """Count requests that were answered together."""
        with self._lock:
            self._counts.batches[""].observe(BATCH_BUCKETS, requests)

    def snapshot(self) -> Counts:
        """The counts so far, without those of the logs."""
        with self._lock:
            copied = merged_counts([self._counts])
            copied.recent = list(self._recent)
        return copied


def merged_counts(parts: Iterable[Counts]) -> Counts:
    """The sum of counts."""
    total = Counts({}, {}, {}, {}, {}, [])
    for part in parts:
        for key, count in part.requests.items():
            total.requests[key] = total.requests.get(key, 0) + count
        for field, *_ in _HISTOGRAMS:
            known: dict[str, Histogram] = getattr(total, field)
            for key, histogram in getattr(part, field).items():
                if key not in known:
                    known[key] = Histogram(list(histogram.counts), histogram.total)
                else:
                    one = known[key]
                    one.counts = [a + b for a, b in zip(one.counts, histogram.counts, strict=True)]
                    one.total += histogram.total
        total.recent += part.recent
        total.waiting += part.waiting
        total.log_written += part.log_written
        total.log_dropped += part.log_dropped
        total.feedback_rows += part.feedback_rows
    return total


def exposition(
    model: str, counts: Counts, gauges: Mapping[str, tuple[str, str, float]], served: Mapping[str, str] | None
) -> str:
    """Prometheus text format 0.0.4.

    Parameters
    ----------
    model : str
        Value of the label ``model``: the endpoint's name.
    counts : Counts
        Of all workers.
    gauges : mapping of str to (str, str, float)
        Further metrics by name: type (``gauge`` or ``counter``), help text and value.
    served : mapping of str to str or None
        Labels that identify the version that is served; None before the first.
    """
    label = f'model="{model}"'
    lines = _head("mlwb_requests_total", "counter", "Requests by protocol, version and HTTP status.")
    for key, count in sorted(counts.requests.items()):
        protocol, version, status = key.split("|")
        lines.append(
            f'mlwb_requests_total{{{label},version="{version}",protocol="{protocol}",status="{status}"}} {count}'
        )
    for field, name, text, by, bounds in _HISTOGRAMS:
        lines += _head(name, "histogram", text)
        for value, histogram in sorted(getattr(counts, field).items()):
            lines += histogram.lines(bounds, name, f'{label},{by}="{value}"' if by else label)
    if served is not None:
        labels = ",".join(f'{name}="{value}"' for name, value in served.items())
        lines += _head("mlwb_model_info", "gauge", "Identity of the version that is served; always 1.")
        lines.append(f"mlwb_model_info{{{label},{labels}}} 1")
    for name, (kind, text, number) in gauges.items():
        lines += [*_head(name, kind, text), f"{name}{{{label}}} {number:.17g}"]
    return "\n".join(lines) + "\n"


def _of(known: dict[str, Histogram], key: str, bounds: Sequence[float]) -> Histogram:
    found = known.get(key)
    if found is None:
        found = known[key] = Histogram([0] * (len(bounds) + 1))
    return found


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _percentile(ordered: list[float], share: float) -> float | None:
    return round(ordered[max(ceil(share * len(ordered)) - 1, 0)] * 1000, 3) if ordered else None

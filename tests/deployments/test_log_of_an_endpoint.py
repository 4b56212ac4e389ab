"""Whoever follows the log of an endpoint gets every line once; what endpoints report about their requests."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.deployments.endpoint_folder import EndpointFolder
from mlops_workbench.serving.metrics import RequestMetrics, RequestRate

LINES = st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=20), max_size=12)


@given(LINES, st.data())
def test_a_follower_gets_every_line_once_however_it_was_written(lines: list[str], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = EndpointFolder(Path(root))
        assert folder.read_log(5) == ("", 0)
        whole = b"".join(f"{line}\n".encode() for line in lines)
        seen, end, written = b"", 0, 0
        while written < len(whole):
            written += data.draw(st.integers(1, len(whole) - written))
            (folder.path / "endpoint.log").write_bytes(whole[:written])
            text, end = folder.read_log(data.draw(st.integers(1, 3)), end)
            seen += text.encode()
        while text := (found := folder.read_log(3, end))[0]:
            seen, end = seen + text.encode(), found[1]
        assert seen == whole
        count = data.draw(st.integers(1, 15))
        expected = b"".join(whole.splitlines(keepends=True)[-count:]) if whole else b""
        assert folder.read_log(count)[0].encode() == expected
        # A process that started anew has begun a new log.
        (folder.path / "endpoint.log").write_bytes(b"new\n")
        assert folder.read_log(9, len(whole) + 9)[0] == "new\n"


def test_the_rate_is_that_of_the_last_seconds() -> None:
    rate = RequestRate(10.0)
    assert rate.of(0.0, 0) is None
    assert [rate.of(second, 5 * second) for second in range(1, 31)] == [5.0] * 30
    # No request any more.
    assert [rate.of(second, 150) for second in range(31, 42)][-1] == 0.0
    # The process was started anew.
    assert rate.of(42.0, 3) is None
    assert rate.of(43.0, 13) == 10.0


def test_the_percentiles_are_those_of_the_answers() -> None:
    metrics = RequestMetrics()
    for number in range(1, 101):
        metrics.answered("v2", 1, rows=1, total=number / 1000, predict=0.0)
    totals = metrics.snapshot().totals()
    assert (totals.p50_ms, totals.p95_ms, totals.p99_ms) == (50.0, 95.0, 99.0)

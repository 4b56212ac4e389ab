"""The tail of a cell's output, independent of the amount and of the printing code."""

from __future__ import annotations

import sys
import threading

import pytest

from mlops_workbench.capture.cells.output import TAIL, OutputTail


def test_many_threads_that_print_share_one_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", open("/dev/null", "w"))  # noqa: SIM115
    output = OutputTail(None)
    output.start()
    try:

        def speak() -> None:
            for number in range(3000):
                print("x" * (number % 97))

        threads = [threading.Thread(target=speak) for _ in range(6)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert len(output.text()) <= TAIL
        print("the end", "y" * (TAIL - 20))
    finally:
        output.stop()
        sys.stdout.close()
    assert output.text().endswith("the end " + "y" * (TAIL - 20) + "\n")
    assert output._length == sum(map(len, output._pieces))

"""Runs the tests of a model: functions ``test_...`` that may take ``model``, ``X`` and ``y``."""

from __future__ import annotations

import inspect
import linecache
import traceback
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import msgspec

_FILE = "<model-test>"


class TestResult(msgspec.Struct, frozen=True):
    """Result of a test: its name, whether it passed, and why not."""

    #: It is no test of pytest.
    __test__ = False

    name: str
    passed: bool
    detail: str = ""


def run_tests(source: str, given: Mapping[str, Any]) -> list[TestResult]:
    """Run the tests in a source.

    Parameters
    ----------
    source : str
        Python.
    given : mapping
        What a test may take, by the name of its parameter.
    """
    # For the line of an error.
    linecache.cache[_FILE] = (len(source), None, source.splitlines(keepends=True), _FILE)
    names: dict[str, Any] = {"__name__": "model_test"}
    if problem := _attempt(lambda: exec(compile(source, _FILE, "exec"), names)):  # noqa: S102 - the user's tests
        return [TestResult("the cell tagged model-test", False, problem)]
    tests = {
        name: value for name, value in names.items() if name.startswith("test") and isinstance(value, FunctionType)
    }
    return [_run(name, test, given) for name, test in tests.items()]


def _run(name: str, test: Callable[..., Any], given: Mapping[str, Any]) -> TestResult:
    if inspect.iscoroutinefunction(test) or inspect.isgeneratorfunction(test) or inspect.isasyncgenfunction(test):
        return TestResult(name, False, "it is a coroutine or a generator; write it as a plain function")
    wanted = [
        parameter.name
        for parameter in inspect.signature(test).parameters.values()
        if parameter.default is parameter.empty
    ]
    for parameter in wanted:
        if parameter not in given:
            return TestResult(name, False, f"it takes '{parameter}'; a test can take model, X and y")
        if given[parameter] is None:
            return TestResult(
                name, False, f"there is no {parameter}: the rows that the model was tested on are not kept"
            )
    problem = _attempt(lambda: test(**{parameter: given[parameter] for parameter in wanted}))
    return TestResult(name, not problem, problem)


def _attempt(work: Callable[[], Any]) -> str:
    """Why the work failed, empty if it did not."""
    try:
        result = work()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - the user's tests; those of pytest end with others than Exception
        lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == _FILE]
        at = f" (line {lines[-1].lineno}: {lines[-1].line})" if lines else ""
        text = str(error).splitlines()[0][:300] if str(error) else ""
        return f"{type(error).__name__}{': ' if text else ''}{text}{at}"
    return "it returned False" if result is False else ""

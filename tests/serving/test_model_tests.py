"""Tests of a model are run with what they ask for, and say why and where they fail."""

from __future__ import annotations

import numpy as np
import pytest

from mlops_workbench.serving.model_tests import TestResult, run_tests


class Twice:
    def predict(self, X):
        return np.asarray(X) * 2


GIVEN = {"model": Twice(), "X": np.array([1.0, 2.0]), "y": None}


def test_functions_that_begin_with_test_are_run() -> None:
    source = (
        "import numpy as np\n"
        "def helper(model, X):\n    return model.predict(X)\n"
        "def test_doubles(model, X):\n    assert np.allclose(helper(model, X), X * 2)\n"
        "def test_rises(model, X, step=1):\n    assert (model.predict(X + step) > model.predict(X)).all()\n"
        "tests = 5\n"
    )
    assert run_tests(source, GIVEN) == [TestResult("test_doubles", True), TestResult("test_rises", True)]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("model):\n    assert model.predict([1])[0] == 3, 'not three'", "AssertionError: not three (line 2: assert"),
        ("X):\n    raise KeyError('a')", "KeyError: 'a' (line 2: raise KeyError('a'))"),
        ("model, Z):\n    pass", "it takes 'Z'; a test can take model, X and y"),
        ("y):\n    pass", "there is no y: the rows that the model was tested on are not kept"),
        ("model):\n    return False", "it returned False"),
        ("model):\n    raise SystemExit(3)", "SystemExit: 3 (line 2: raise SystemExit(3))"),
        ("model):\n    import pytest\n    pytest.fail('no')", "Failed: no (line 3: pytest.fail('no'))"),
        ("model):\n    yield 1", "it is a coroutine or a generator"),
    ],
)
def test_a_failure_says_why_and_where(body, detail) -> None:
    (result,) = run_tests(f"def test_it({body}\n", GIVEN)
    assert not result.passed and result.detail.startswith(detail)


def test_a_cell_that_fails_is_one_failure() -> None:
    (result,) = run_tests("import no_such_module_at_all\n", GIVEN)
    assert not result.passed and "ModuleNotFoundError" in result.detail
    (result,) = run_tests("def broken(:\n", GIVEN)
    assert not result.passed and "SyntaxError" in result.detail


def test_without_tests_there_is_no_result() -> None:
    assert run_tests("x = 1\n", GIVEN) == []

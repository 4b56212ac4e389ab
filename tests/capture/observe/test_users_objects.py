"""Objects that answer oddly, or do something when they are asked: the cell and its neighbours never notice."""

from __future__ import annotations

import pytest
from kernels import Kernel

from mlops_workbench.core.records import CellExecuted, Params, Provenance

pytestmark = pytest.mark.process

CLASSES = """
class Raises:
    asked = []
    def __getattr__(self, name):
        Raises.asked.append(name)
        raise RuntimeError(name)
class Exits:
    asked = []
    def __getattribute__(self, name):
        Exits.asked.append(name)
        raise SystemExit(name)
class Answers:
    asked = []
    def __getattr__(self, name):
        Answers.asked.append(name)
        return self
    def __call__(self, *args, **kwargs):
        return self
class NoTruth:
    def __bool__(self): raise ValueError("bool")
    def __len__(self): raise ValueError("len")
    def __eq__(self, other): raise ValueError("eq")
    def __hash__(self): raise ValueError("hash")
    def __repr__(self): raise ValueError("repr")
class Estimator:
    def fit(self, X, y=None): return self
    def predict(self, X): return X
    def get_params(self, deep=True): return {NoTruth(): 1, "odd": NoTruth(), 3: 4}
class Forgetful(Estimator):
    def get_params(self, deep=True): raise AttributeError("alpha")
class Empty(Estimator):
    def get_params(self, deep=True): return None
"""


@pytest.fixture(scope="module")
def odd(kernel: Kernel) -> Kernel:
    kernel.run(CLASSES)
    return kernel


def texts(outputs: list[dict]) -> str:
    return "".join(output.get("text", "") for output in outputs if output["output_type"] == "stream")


def test_objects_are_not_asked_for_attributes_by_cells_that_use_them(odd):
    outputs = odd.run("a, b, c = Raises(), Answers(), NoTruth()\nheld = {'x': a, 'y': [b, c]}")
    outputs += odd.run("%%track asking\nnames = [a, b]\nscore = b.fit(a, c).score(c)")
    outputs += odd.run("again = a; more = b")
    outputs += odd.run("print(Raises.asked, sorted(set(Answers.asked)))")
    assert texts(outputs) == "[] ['fit', 'score']\n"


def test_an_object_that_exits_when_asked_takes_no_cell_with_it(odd):
    outputs = odd.run("e = Exits()") + odd.run("f = e") + odd.run("print(len(Exits.asked))")
    assert texts(outputs) == "0\n"


@pytest.mark.parametrize("name", ["Estimator", "Forgetful", "Empty"])
def test_an_estimator_whose_settings_cannot_be_read_is_a_run_all_the_same(odd, name):
    outputs = odd.run(f"%%track {name}\nmodel = {name}().fit([[1], [2]], [1, 2])")
    assert not texts(outputs)
    assert odd.records.values(Params, name)["estimator"] == name


def test_an_expression_of_hundreds_of_levels_is_in_the_log_of_cells(odd):
    outputs = odd.run("%%track deep\nx = " + "-" * 900 + "1")
    assert not texts(outputs)
    assert odd.records.of(Provenance, "deep")
    executed = [record for record in odd.records.of(CellExecuted) if record.source.startswith("%%track deep")]
    assert executed[-1].status == "ok" and "x" in executed[-1].writes

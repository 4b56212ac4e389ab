"""Capture keeps no references to a user's objects after it has observed them."""

from __future__ import annotations

import pytest
from kernels import Kernel

pytestmark = pytest.mark.process

HEAD = """
import gc, logging, sys, weakref
import numpy as np
from sklearn.linear_model import LinearRegression
class Big(np.ndarray): pass
def big(): return np.zeros((1000, 3)).view(Big)
def gone(ref):
    Out.clear()
    globals().update({name: None for name in list(globals()) if name.strip("_0123456789") == ""})
    gc.collect()
    return ref() is None
model = LinearRegression()
"""


@pytest.fixture(scope="module")
def holding(kernel: Kernel) -> Kernel:
    kernel.run(HEAD)
    return kernel


def freed(kernel: Kernel) -> bool:
    for _ in range(4):
        # IPython itself keeps the last three outputs.
        kernel.run("1")
    (output,) = kernel.run("print(gone(ref))")
    return output["text"] == "True\n"


def test_variables_of_a_function_that_failed_are_freed_with_its_traceback(holding):
    holding.run(
        "%%track failing\ndef fail():\n    global ref\n    local = big()\n    ref = weakref.ref(local)\n    1 / 0\n"
        "fail()",
        fails=True,
    )
    # Python itself keeps the last traceback.
    holding.run("[][0]", fails=True)
    assert freed(holding)


def test_training_data_and_models_are_freed_when_the_notebook_lets_go_of_them(holding):
    holding.run("%%track data\nX = big()\nmodel = LinearRegression().fit(X, X[:, 0])\nref = weakref.ref(X)")
    holding.run("del X")
    assert freed(holding)
    holding.run("ref = weakref.ref(model); del model")
    assert freed(holding)


def test_a_figure_that_was_shown_is_freed_though_the_cell_kept_its_stdout(holding):
    holding.run(
        "%%track drawing\nimport matplotlib.pyplot as plt\nhandler = logging.StreamHandler(sys.stdout)\n"
        "figure = plt.figure(); plt.plot([1]); plt.show()\nref = weakref.ref(figure)"
    )
    outputs = holding.run("plt.close('all'); del figure\nhandler.stream.write('still there')")
    assert [output["text"] for output in outputs if output["output_type"] == "stream"] == ["still there"]
    assert freed(holding)

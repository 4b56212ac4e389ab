"""The first cell of a kernel waits for none of our modules, and is recorded nevertheless."""

from __future__ import annotations

import pytest
from kernels import Kernel, until

from mlops_workbench.core.records import CellExecuted, Params, Provenance, RunStart
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.magics.first_cell import can_wait

#: The thread that imports modules beside the cells waits for longer than the test.
WITHOUT_PRELOADING = "from mlops_workbench.magics import preloading\npreloading._REPLY_SECONDS = 600.0\n"
FIRST = "import random, sys\nloaded = list(sys.modules)\nbase = random.randrange.__name__"


@pytest.fixture
def fresh(tmp_path):
    """A kernel without the extension, in which `cells` run one after the other without a pause."""
    Workspace.init(tmp_path)
    kernel = Kernel(tmp_path, loads=False)
    yield kernel
    kernel.close()


def executions(kernel):
    return {cell.source: cell for cell in kernel.records.of(CellExecuted)}


@pytest.mark.process
@pytest.mark.parametrize("more", ["", "\n%mlops autotrack on"])
def test_the_reply_to_the_first_cell_waits_for_none_of_our_modules(fresh, more):
    fresh.run(f"{WITHOUT_PRELOADING}%load_ext mlops_workbench{more}")
    fresh.run(FIRST)
    fresh.run("ours = [name for name in loaded if name.startswith('mlops_workbench.')]\nheavy = 'click' in loaded")
    (shown,) = fresh.run("sorted(name for name in ours if name.split('.')[1] not in ('magics', 'core')), heavy")
    names = eval(shown["data"]["text/plain"])
    assert not names[1] and {name.split(".")[1] for name in names[0]} <= {"capture", "commands"}
    assert not [
        name
        for name in names[0]
        if name.startswith(("mlops_workbench.capture.session", "mlops_workbench.capture.cells"))
    ]
    cell = until(lambda: executions(fresh).get(FIRST), "the record of the first cell")
    assert cell.status == "ok" and set(cell.writes) == {"random", "sys", "loaded", "base"} and cell.duration_us > 0


@pytest.mark.process
def test_a_run_depends_on_the_first_cell_and_knows_its_order(fresh):
    fresh.run("%load_ext mlops_workbench")
    fresh.run("base = 3")
    fresh.run("%%track after\nresult = base + 1")
    fresh.run("pass")
    sources = {cell.uid: cell.source for cell in fresh.records.of(CellExecuted)}
    (made,) = until(lambda: fresh.records.of(Provenance, "after"), "the provenance")
    assert [sources[uid] for uid in made.cells] == ["base = 3", "%%track after\nresult = base + 1"]
    counts = [cell.count for cell in executions(fresh).values()]
    assert counts == sorted(counts)


@pytest.mark.process
@pytest.mark.parametrize(
    "source",
    [
        # It starts a run that its source does not show.
        "import helper",
        "%load_ext mlops_workbench\nfrom mlops_workbench import track\nwith track('inside'):\n    depth = 2",
    ],
)
def test_a_first_cell_that_starts_a_run_is_observed_from_there_on(fresh, source):
    (fresh.root / "helper.py").write_text(
        "from mlops_workbench import track\nwith track('inside'):\n    depth = 2\n", encoding="utf-8"
    )
    if not source.startswith("%"):
        fresh.run("%load_ext mlops_workbench")
    fresh.run(source)
    fresh.run("pass")
    (run,) = fresh.records.of(RunStart)
    (cell,) = [cell for cell in executions(fresh).values() if cell.run_uids == [run.run_uid]]
    assert "with track" in cell.source or cell.source == source
    assert fresh.records.values(Params, "inside") == {"depth": 2}
    assert fresh.records.of(Provenance, "inside")[0].cells == [cell.uid]


@pytest.mark.process
def test_the_first_cell_is_recorded_when_the_kernel_ends_or_fails_it(fresh):
    fresh.run("%load_ext mlops_workbench")
    fresh.run("before = 1\nbefore / 0", fails=True)
    fresh.client.shutdown()

    def ended():
        cell = executions(fresh).get("before = 1\nbefore / 0")
        # Its start is a record of its own.
        return cell if cell is not None and cell.status != "running" else None

    cell = until(ended, "the record of the first cell")
    assert cell.status == "failed" and cell.error.startswith("ZeroDivisionError") and cell.writes == ["before"]


@pytest.mark.parametrize(
    ("source", "waits"),
    [
        ("x = 1", True),
        ("import numpy as np\nfrom os import path as p", True),
        ("def f(x):\n    for i in x:\n        g(i)\ny = len('a')", True),
        ("f = lambda x: fit(x)", True),
        ("model.fit(X)", False),
        ("x = f()", False),
        ("[f for f in y]", False),
        ("while True: pass", False),
        ("class A:\n    x = f()", False),
        ("@f()\ndef g(): pass", False),
        ("def f(x=g()): pass", False),
        ("%matplotlib inline", False),
        ("%%track\nx = 1", False),
        ("from mlops_workbench import log", False),
        ("await x", False),
        ("exec('x')", False),
    ],
)
def test_a_cell_waits_when_it_only_imports_assigns_and_defines(source, waits):
    assert can_wait(source) is waits

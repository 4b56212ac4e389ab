"""The log of cells in a real kernel: whatever way a cell ends, and whatever it does to names."""

from __future__ import annotations

import ast
import time

import nbclient
import nbformat
import pytest
from kernels import DEADLINE, Kernel, Records, until

from mlops_workbench.capture.provenance.randomness import Randomness, restore
from mlops_workbench.core.records import Artifact, CellExecuted, Provenance, RandomState, RunStart
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process


def executed(kernel: Kernel, source: str) -> CellExecuted:
    """The record of the last execution of a source, once it is written."""

    def found():
        cells = [cell for cell in kernel.records.of(CellExecuted) if cell.source == source]
        return cells and cells[-1].status != "running" and cells[-1]

    return until(found, f"the record of {source!r}")


def test_every_execution_is_logged_with_what_it_did_to_names(kernel):
    kernel.run("import math\nk = 2\ndef area(r):\n    return k * math.pi * r")
    defined = executed(kernel, "import math\nk = 2\ndef area(r):\n    return k * math.pi * r")
    assert (defined.reads, defined.writes, defined.kills) == ([], ["area", "k", "math"], ["area", "k", "math"])
    kernel.run("a = area(3)\ndel k")
    used = executed(kernel, "a = area(3)\ndel k")
    assert (used.reads, used.writes, used.deletes) == (["area", "k", "math"], ["a"], ["k"])
    assert used.status == "ok" and used.count == defined.count + 1 and used.started_ms >= defined.started_ms
    assert used.duration_us > 0 and used.random_state


def test_a_failed_cell_is_logged_with_what_it_bound_before_it_failed(kernel):
    source = "first = 1\nsecond = 1 / 0\nthird = 3"
    kernel.run(source, fails=True)
    cell = executed(kernel, source)
    assert (cell.status, cell.error, cell.writes) == ("failed", "ZeroDivisionError: division by zero", ["first"])
    kernel.run("x = (", fails=True)
    assert executed(kernel, "x = (").status == "failed"


def test_an_interrupted_cell_is_logged(kernel):
    source = "import time\nbegan = True\ntime.sleep(300)"
    kernel.send(source)
    until(lambda: [cell for cell in kernel.records.of(CellExecuted) if cell.source == source], "the cell to begin")
    time.sleep(0.2)
    kernel.manager.interrupt_kernel()
    cell = executed(kernel, source)
    assert cell.status == "interrupted" and "began" in cell.writes


def test_names_that_no_syntax_tree_shows_are_found_in_the_namespace(kernel):
    kernel.run("exec('made_by_exec = 1')")
    assert executed(kernel, "exec('made_by_exec = 1')").writes == ["made_by_exec"]
    kernel.run("from os.path import *")
    assert "basename" in executed(kernel, "from os.path import *").writes
    kernel.run("def count_up():\n    global made_by_exec\n    made_by_exec += 1")
    kernel.run("count_up()")
    cell = executed(kernel, "count_up()")
    assert cell.writes == ["made_by_exec"] and cell.reads == ["count_up", "made_by_exec"]


def test_changes_in_place_are_seen_by_the_type_of_what_is_changed(kernel):
    kernel.run("import pandas as pd\ntable = pd.DataFrame({'a': [1.0, None]})\nxs = [3, 1]\nsame = xs")
    for source, writes in {
        "table.dropna(inplace=True)": ["table"],
        "table.head()": [],
        "xs.sort()": ["same", "xs"],
        "xs.index(1)": [],
    }.items():
        kernel.run(source)
        assert executed(kernel, source).writes == writes, source
    kernel.run("def fill(target, value):\n    target.append(value)")
    kernel.run("fill(xs, 4)")
    assert executed(kernel, "fill(xs, 4)").writes == ["same", "xs"]


def test_cells_with_magics_commands_and_await_are_understood(kernel):
    kernel.run("part = 4")
    for source, reads, writes, effects in (
        ("%time timed = part + 1", ["part"], ["timed"], []),
        ("%%time\ntimed = part + 2", ["part"], ["timed"], []),
        ("%timeit -n 1 -r 1 part + 1", ["part"], [], []),
        ("lines = !echo {part}", ["part"], ["lines"], ["@shell"]),
        ("%cd .", [], [], ["@cwd"]),
        ("import asyncio\nawaited = await asyncio.sleep(0, part)", ["asyncio", "part"], ["asyncio", "awaited"], []),
        ("get_ipython().run_cell('nested = part')", [], ["nested"], []),
    ):
        kernel.run(source)
        cell = executed(kernel, source)
        assert (cell.reads, cell.writes, cell.effects) == (reads, writes, effects), source
    inner = executed(kernel, "nested = part")
    assert inner.reads == ["part"] and inner.writes == ["nested"] and inner.count == 0


def test_files_and_random_numbers_are_effects(kernel):
    kernel.run("import numpy as np\nPATH = 'f ü.txt'")
    kernel.run("with open(PATH, 'w') as f:\n    f.write('1')")
    cell = executed(kernel, "with open(PATH, 'w') as f:\n    f.write('1')")
    assert cell.effects == ["@file:f ü.txt", "@write:f ü.txt"]
    kernel.run("np.random.seed(1)")
    assert "@random" in executed(kernel, "np.random.seed(1)").effects
    kernel.run("drawn = np.random.rand()")
    assert executed(kernel, "drawn = np.random.rand()").effects == ["@drawn:numpy"]


def test_secrets_in_a_source_are_masked(kernel):
    kernel.run("password = 'correct horse battery'")
    assert executed(kernel, "password = '***'").writes == ["password"]


def test_a_state_of_the_random_numbers_is_written_when_it_has_changed_and_can_be_restored(kernel):
    kernel.run("import random, numpy as np\nrandom.seed(5); np.random.seed(5)")
    kernel.run("pair = random.random(), np.random.rand(), random.gauss(0, 1), np.random.randn()")
    source = "pair = random.random(), np.random.rand(), random.gauss(0, 1), np.random.randn()"
    cell = executed(kernel, source)
    (state,) = [state for state in kernel.records.of(RandomState) if state.digest == cell.random_state]
    kernel.run("quiet = 1")
    kernel.run("quieter = 2")
    assert executed(kernel, "quiet = 1").random_state == executed(kernel, "quieter = 2").random_state
    import random

    import numpy as np

    before = random.getstate(), np.random.get_state()
    try:
        assert restore(state.states) == []
        drawn = random.random(), np.random.rand(), random.gauss(0, 1), np.random.randn()
        assert restore({**state.states, "another": 1}) == ["another"]
        assert Randomness().read()[0] == state.digest
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
    shown = [o["data"]["text/plain"] for o in kernel.run("tuple(map(float, pair))") if "data" in o]
    assert ast.literal_eval(shown[-1]) == tuple(map(float, drawn))


def test_a_run_comes_with_the_cells_it_rests_on_as_a_notebook(kernel):
    kernel.run("base = 10")
    kernel.run("unrelated = 11")
    kernel.run("scale = base * 2")
    kernel.run("%%track rests\nresult = scale + 1")
    kernel.run("base = 0")
    records = kernel.records
    (run,) = [start.run_uid for start in records.of(RunStart) if start.name == "rests"]
    (made,) = [record for record in records.of(Provenance) if record.run_uid == run]
    sources = {cell.uid: cell.source for cell in records.of(CellExecuted)}
    rests = [sources[uid] for uid in made.cells]
    assert [source for source in rests if "unrelated" in source or source == "base = 0"] == []
    assert rests.index("base = 10") < rests.index("scale = base * 2")
    assert rests[-1] == "%%track rests\nresult = scale + 1" and made.warnings == []
    assert executed(kernel, "%%track rests\nresult = scale + 1").run_uids == [run]

    def kept():
        return [a for a in records.of(Artifact, "rests") if a.path == "executed_cells.ipynb"]

    (artifact,) = until(kept, "the notebook of executed cells")
    notebook = nbformat.reads(records.blob(artifact.digest).decode(), as_version=4)
    nbformat.validate(notebook)
    assert artifact.kind == "notebook" and [cell.source for cell in notebook.cells[1:]] == rests
    assert [cell.metadata.mlops.uid for cell in notebook.cells[1:]] == made.cells
    assert notebook.cells[0].source == "%load_ext mlops_workbench"
    assert notebook.cells[-1].execution_count == executed(kernel, rests[-1]).count


def test_runs_in_blocks_of_a_cell_know_where_they_come_from(kernel):
    kernel.run("from mlops_workbench import track")
    kernel.run("base = 3")
    kernel.run("for i in range(2):\n    with track(f'block {i}') as run:\n        run.log(m=base + i)")
    cell = executed(kernel, "for i in range(2):\n    with track(f'block {i}') as run:\n        run.log(m=base + i)")
    sources = {record.uid: record.source for record in kernel.records.of(CellExecuted)}
    made = [record for record in kernel.records.of(Provenance) if record.run_uid in cell.run_uids]
    assert len(cell.run_uids) == len(made) == 2
    for record in made:
        assert {"base = 3", "from mlops_workbench import track", cell.source} <= {sources[uid] for uid in record.cells}


def test_cells_that_run_at_once_in_threads_of_the_kernel_are_distinguished(tmp_path):
    Workspace.init(tmp_path)
    kernel = Kernel(tmp_path)
    try:
        client = kernel.client
        features = client.kernel_info(reply=True, timeout=DEADLINE)["content"].get("supported_features", [])
        if "kernel subshells" not in features:
            pytest.skip("this kernel has no subshells")
        client.control_channel.send(client.session.msg("create_subshell_request", {}))
        reply = client.get_control_msg(timeout=DEADLINE)["content"]
        long = "import threading\ngo = threading.Event()\nwaited = go.wait(60)"
        kernel.send(long)
        until(lambda: [cell for cell in kernel.records.of(CellExecuted) if cell.source == long], "the long cell")
        for source in (
            "while 'go' not in globals(): pass\nbeside = 1",
            "%%track at_once\nlast = beside + 1",
            "go.set()",
        ):
            content = {"code": source, "silent": False, "store_history": True, "user_expressions": {}}
            message = client.session.msg("execute_request", {**content, "allow_stdin": False, "stop_on_error": True})
            message["header"]["subshell_id"] = reply["subshell_id"]
            client.shell_channel.send(message)
        cell = executed(kernel, long)
        assert (cell.status, cell.writes) == ("ok", ["go", "threading", "waited"])
        run = executed(kernel, "%%track at_once\nlast = beside + 1")
        assert run.writes == ["last"] and len(run.run_uids) == 1
        sources = {record.uid: record.source for record in kernel.records.of(CellExecuted)}
        (made,) = kernel.records.of(Provenance)
        assert sources[made.cells[0]].endswith("beside = 1") and len(made.cells) == 2
    finally:
        kernel.close()


def test_a_cell_that_kills_its_kernel_is_known(tmp_path):
    Workspace.init(tmp_path)
    kernel = Kernel(tmp_path)
    try:
        source = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
        kernel.send(source)
        until(lambda: not kernel.manager.is_alive(), "the end of the kernel")
        cell = kernel.records.of(CellExecuted)[-1]
        assert (cell.source, cell.status) == (source, "running")
    finally:
        kernel.close()


@pytest.mark.parametrize("loads", ["%load_ext mlops_workbench\nimport math\nx = 4", "import math\nx = 4"])
def test_cells_before_the_extension_was_loaded_are_known(tmp_path, monkeypatch, loads):
    Workspace.init(tmp_path)
    monkeypatch.setenv("MLOPS_WORKSPACE", str(tmp_path))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    cells = [loads] if "load_ext" in loads else [loads, "%load_ext mlops_workbench"]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in [*cells, "%%track r\ny = math.sqrt(x)"]]
    )
    nbclient.NotebookClient(notebook, timeout=90, kernel_name="python3").execute(cwd=str(tmp_path))
    records = Records(tmp_path)
    (made,) = records.of(Provenance, "r")
    sources = {cell.uid: cell.source for cell in records.of(CellExecuted)}
    assert loads in [sources[uid] for uid in made.cells] and made.warnings == []


@pytest.mark.some(2)
@pytest.mark.parametrize(
    "cell", ["from math import *", "%run tools.py", "exec('sqrt = abs')", "globals()['sqrt'] = abs", "%load_ext tools"]
)
@pytest.mark.parametrize("where", ["before", "in", "after"])
def test_names_that_the_source_of_a_cell_does_not_show_come_from_it(tmp_path, monkeypatch, cell, where):
    Workspace.init(tmp_path)
    monkeypatch.setenv("MLOPS_WORKSPACE", str(tmp_path))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    tools = "sqrt = abs\ndef load_ipython_extension(shell):\n    shell.user_ns['sqrt'] = abs\n"
    (tmp_path / "tools.py").write_text(tools)
    load = "%load_ext mlops_workbench"
    cells = {"before": [cell, load], "in": [f"{load}\n{cell}"], "after": [load, cell]}[where]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in ["x = 4", *cells, "%%track r\ny = sqrt(x)"]]
    )
    nbclient.NotebookClient(notebook, timeout=90, kernel_name="python3").execute(cwd=str(tmp_path))
    records = Records(tmp_path)
    (made,) = records.of(Provenance, "r")
    sources = {record.uid: record.source for record in records.of(CellExecuted)}
    used = [sources[uid] for uid in made.cells]
    assert made.warnings == [] and cells[where == "after"] in used and "x = 4" in used


def test_runs_of_the_threads_of_a_cell_are_the_cells(kernel):
    code = """from concurrent.futures import ThreadPoolExecutor
from mlops_workbench import log, track
@track
def threaded(x):
    log(x=x)
with ThreadPoolExecutor(3) as pool:
    list(pool.map(threaded, range(4)))
"""
    kernel.run(code)
    kernel.run("pass")
    (record,) = [one for one in kernel.records.of(CellExecuted) if one.source == code and one.status == "ok"]
    reported = {one.run_uid for one in kernel.records.of(Provenance)}
    assert len(record.run_uids) == 4 and set(record.run_uids) <= reported

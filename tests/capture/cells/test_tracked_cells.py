"""``%%track`` in a real kernel."""

from __future__ import annotations

import queue
import re
import signal
import time

import nbclient
import nbformat
import pytest
from kernels import Kernel, Records, until

from mlops_workbench.core.records import Artifact, Dataset, Heartbeat, Metrics, Model, Params, RunEnd, RunStart
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process

SETUP = """
import numpy as np, pandas as pd
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error as mae_of
from mlops_workbench import log, log_model, track
chance = np.random.default_rng(0)
X = pd.DataFrame({"a": chance.normal(size=200), "b": chance.normal(size=200)})
y = X["a"] * 2 + X["b"]
"""


@pytest.fixture(scope="module", autouse=True)
def prepared(kernel):
    kernel.run(SETUP)


def cards(outputs):
    return [
        o["data"] for o in outputs if o["output_type"] == "display_data" and "run " in o["data"].get("text/plain", "")
    ]


def text(outputs, name="stdout"):
    return "".join(o["text"] for o in outputs if o["output_type"] == "stream" and o["name"] == name)


def test_a_cell_that_fits_a_model_is_recorded_without_a_logging_call(kernel):
    source = """%%track boosted --tag team=ops --param given=7 --note "a <note>"
alpha = 0.5
print("on stdout")
import sys; print("on stderr", file=sys.stderr)
model = Ridge(alpha=alpha).fit(X, y)
mae = mae_of(y, model.predict(X))
log(extra=np.float64(1.5))
mae"""
    outputs = kernel.run(source)
    records = kernel.records
    start = records.start("boosted")
    assert start.source == source and start.tags == {"team": "ops", "mlflow.note.content": "a <note>"}
    params = records.values(Params, "boosted")
    assert (params["given"], params["alpha"], params["estimator"], params["fit_intercept"]) == (7, 0.5, "Ridge", True)
    assert {r.origin: list(r.values) for r in records.of(Metrics, "boosted")} == {
        "logged": ["extra"],
        "observed": ["mae"],
    }
    metrics = records.values(Metrics, "boosted")
    shown = next(o["data"]["text/plain"] for o in outputs if o["output_type"] == "execute_result")
    assert metrics["extra"] == 1.5 and repr(metrics["mae"]) in shown
    data = {dataset.name: dataset for dataset in records.of(Dataset, "boosted")}
    assert list(data) == ["X", "y"] and data["X"].rows == 200 and data["X"].context == "training"
    assert [column.name for column in data["X"].columns] == ["a", "b"]
    end = records.end("boosted")
    assert end.status == "FINISHED" and end.complete and end.output == "on stdout\non stderr\n"
    (card,) = cards(outputs)
    assert "boosted" in card["text/plain"] and "mae=" in card["text/plain"] and "alpha=0.5" in card["text/plain"]
    assert "<script" not in card["text/html"] and "FINISHED" in card["text/html"]
    assert text(outputs) == "on stdout\n" and text(outputs, "stderr") == "on stderr\n"


def test_the_model_of_a_cell_can_be_saved_by_the_cell_or_later(kernel):
    kernel.run("%%track now\nmodel_now = Ridge().fit(X, y)\nlog_model(model_now)")
    (model,) = kernel.records.of(Model, "now")
    assert [column.name for column in model.inputs] == ["a", "b"] and "mlops/reference.parquet" in model.files
    kernel.run("%%track later\nmodel_later = Ridge(alpha=2).fit(X, y)")
    assert kernel.records.of(Model, "later") == []
    kernel.run(
        """
from mlops_workbench.capture import current_session, save_model_of_run
assert current_session().models.find("later") is model_later
assert save_model_of_run("later") and not save_model_of_run("later") and not save_model_of_run("no such run")
"""
    )
    (model,) = kernel.records.of(Model, "later")
    assert model.name == "model" and [column.name for column in model.inputs] == ["a", "b"]
    assert "mlops/reference.parquet" in model.files
    kernel.run("%%track lost\nRidge().fit(X, y); gone = Ridge().fit(X, y)")
    kernel.run(
        "del gone\nimport gc; gc.collect()\nassert current_session().models.find('lost') is None\n"
        "assert not save_model_of_run('lost')"
    )


def test_a_failing_cell_fails_as_without_tracking_and_is_recorded(kernel):
    kernel.run("mae = 0.123")
    source = "{}depth = 3\nlog(before=1)\nlist_of_things[0]\nmae = mae_of(y, y)"
    outputs = kernel.run("%%track failing\n" + source.format(""), fails=True)
    plain = kernel.run("with track('plain'):\n    log(before=1)\n" + "list_of_things[0]", fails=True)
    for found in (outputs, plain):
        (error,) = [o for o in found if o["output_type"] == "error"]
        assert error["ename"] == "NameError" and sum("list_of_things" in line for line in error["traceback"]) >= 1
        assert not any("mlops_workbench" in line for line in error["traceback"])
    end = kernel.records.end("failing")
    assert end.status == "FAILED" and end.error == "NameError: name 'list_of_things' is not defined"
    assert "line 4" in end.traceback and "IPython" not in end.traceback
    assert kernel.records.values(Params, "failing") == {"depth": 3}
    assert kernel.records.values(Metrics, "failing") == {"before": 1}, "the older mae is not this run's"
    (card,) = cards(outputs)
    assert "FAILED" in card["text/plain"] and "list_of_things" in card["text/plain"]


def test_awaiting_and_other_magics_work_inside(kernel):
    outputs = kernel.run(
        "%%track awaits\nimport asyncio\ndepth = 4\nawait asyncio.sleep(0.01)\nlog(a=1)\n%time q = 5\n"
        "!echo from the shell\nq"
    )
    assert kernel.records.values(Metrics, "awaits") == {"a": 1}
    assert kernel.records.values(Params, "awaits") == {"depth": 4}
    assert "from the shell" in kernel.records.end("awaits").output
    assert any(o["output_type"] == "execute_result" and o["data"]["text/plain"] == "5" for o in outputs)
    kernel.run("%%track timed\n%%time\nmodel_t = Ridge(alpha=9).fit(X, y)\nlog(b=1)")
    assert kernel.records.values(Params, "timed")["alpha"] == 9
    assert kernel.records.values(Metrics, "timed") == {"b": 1}


@pytest.mark.parametrize(
    "wait", ["import time\nwhile True: time.sleep(0.01)", "import asyncio\nawait asyncio.sleep(600)"]
)
def test_an_interrupted_cell_is_killed_and_the_kernel_goes_on(kernel, wait):
    request = kernel.send(f"%%track interrupted\nlog(before=1)\nprint('ready')\n{wait}")
    until(lambda: "ready" in said(kernel, request), "the cell to begin")
    kernel.manager.interrupt_kernel()
    # ipykernel notices an interrupted `await` only when its event loop next wakes up, tracked or not.
    kernel.client.kernel_info()
    assert kernel._reply(request)["status"] == "error"
    end = until(lambda: [e for e in kernel.records.of(RunEnd, "interrupted") if e], "the end")[-1]
    assert end.status == "KILLED" and kernel.records.values(Metrics, "interrupted") == {"before": 1}
    kernel.run("%%track after\nlog(a=1)")
    assert kernel.records.start("after").parent_uid == "" and kernel.records.end("after").status == "FINISHED"


def test_the_curve_on_a_card_has_every_point(kernel):
    outputs = kernel.run("%%track plateau\nfor value in [1, 1, 9, 1, 1]: log(loss=value)")
    [html] = [output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    points = [point.split(",") for point in re.search('<polyline points="([^"]*)"', html)[1].split()]
    heights = [float(y) for _, y in points]
    assert len(points) == 5 and heights[2] == min(heights) and len(set(heights)) == 2


def said(kernel, request):
    """What a cell prints, piece by piece; not the echo of its code."""
    try:
        message = kernel.client.get_iopub_msg(timeout=1)
    except queue.Empty:
        return ""
    ours = message["msg_type"] == "stream" and message["parent_header"].get("msg_id") == request
    return message["content"]["text"] if ours else ""


def test_bad_options_stop_the_cell_with_a_clear_message(kernel):
    outputs = kernel.run("%%track a b c\nreached = True", fails=True)
    assert "unexpected" in text(outputs, "stderr") and "Traceback" not in text(outputs, "stderr")
    kernel.run("assert 'reached' not in dir()")
    assert "--param" in text(kernel.run("%%track --help\n1"))


def test_every_execution_is_a_run_and_blocks_inside_are_children(kernel):
    source = "%%track again\nwith track('fold'):\n    log(score=1)"
    kernel.run(source)
    kernel.run(source)
    starts = [start for start in kernel.records.of(RunStart) if start.name == "again"]
    folds = [start for start in kernel.records.of(RunStart) if start.name == "fold"]
    assert [fold.parent_uid for fold in folds] == [start.run_uid for start in starts] and len(starts) == 2


def test_a_cell_run_by_the_cell_does_not_end_the_run(kernel):
    kernel.run("%%track outer\nget_ipython().run_cell('inner_value = 1')\nget_ipython().run_cell('')\nlog(after=1)")
    assert kernel.records.values(Metrics, "outer") == {"after": 1}
    kernel.run("%%track outer2\nget_ipython().run_cell('%%track inner\\nlog(x=1)')\nlog(after=2)")
    assert kernel.records.values(Metrics, "inner") == {"x": 1}
    assert kernel.records.values(Metrics, "outer2") == {"after": 2}


def test_figures_that_the_cell_shows_are_kept(kernel):
    kernel.run(
        """%%track figures
import matplotlib.pyplot as plt
plt.plot([1, 2]); plt.show()
from IPython.display import display, SVG
display(SVG("<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'/>"))
import plotly.graph_objects as go
go.Figure(go.Scatter(y=[1, 2]))
"""
    )
    kernel.run("pass")
    found = {artifact.path: artifact for artifact in kernel.records.of(Artifact, "figures")}
    assert {"figure.png", "figure.svg"} <= set(found) and any(path.endswith(".plotly.json") for path in found)
    assert kernel.records.blob(found["figure.png"].digest).startswith(b"\x89PNG")
    kernel.run("%%track nothing\n1")
    kernel.run("pass")
    kinds = {artifact.path: artifact.kind for artifact in kernel.records.of(Artifact, "nothing")}
    assert kinds == {"executed_cells.ipynb": "notebook"}, "the card is no figure of the cell"


def test_the_streams_are_given_back_and_long_output_is_cut(kernel):
    kernel.run("import sys\nbefore = sys.stdout, sys.stderr")
    kernel.run(
        """%%track loud
for i in range(3000): print("line", i, "x" * 30)
for i in range(50): print(f"\\r{i}%", end="")
print("\\rdone")"""
    )
    kernel.run("assert (sys.stdout, sys.stderr) == before")
    output = kernel.records.end("loud").output
    assert len(output) <= 33_000 and output.endswith("done\n") and "line 2999 " in output and "49%" not in output


def test_a_failing_observation_harms_neither_cell_nor_run(kernel):
    outputs = kernel.run(
        """%%track hostile
from sklearn.base import BaseEstimator
class Hostile(BaseEstimator):
    def fit(self, X, y=None): return self
class Scores(dict):
    def items(self): raise RuntimeError("no metrics for you")
def rate(*given): return Scores(b=1.0)
rate.__module__ = "sklearn.metrics"
model_h = Hostile().fit(X, y)
rating = rate(y, y)
log(a=1)"""
    )
    assert "no metrics for you" in text(outputs, "stderr")
    assert kernel.records.end("hostile").status == "FINISHED"
    assert kernel.records.values(Metrics, "hostile") == {"a": 1}
    assert {data.name for data in kernel.records.of(Dataset, "hostile")} == {"X", "y"}


def test_syntax_errors_and_empty_cells_are_ordinary(kernel):
    outputs = kernel.run("%%track broken\nx = = 1", fails=True)
    assert any(o["output_type"] == "error" and o["ename"] == "SyntaxError" for o in outputs)
    kernel.run("%%track empty")
    assert kernel.records.end("empty").status == "FINISHED"
    kernel.run("get_ipython().run_cell_magic('track', 'by_program', 'log(a=1)')")
    assert kernel.records.values(Metrics, "by_program") == {"a": 1}


def test_registering_twice_tracks_once(kernel):
    kernel.run("register_track(get_ipython()); register_track(get_ipython())")
    outputs = kernel.run("%%track once\nlog(a=1)")
    assert len(cards(outputs)) == 1
    assert len([start for start in kernel.records.of(RunStart) if start.name == "once"]) == 1


def test_a_killed_kernel_keeps_everything_it_logged(tmp_path):
    root = tmp_path / "getöteter kernel"
    Workspace.init(root)
    kernel = Kernel(root)
    try:
        request = kernel.send(
            """%%track dies
depth = 3
from mlops_workbench import log
import time
for i in range(1_000_000):
    log(i=i)
    if i == 5000: print("far enough", flush=True)
"""
        )
        records = Records(root)
        until(lambda: "far enough" in said(kernel, request), "5000 metrics")
        kernel.manager.signal_kernel(signal.SIGKILL)
        until(lambda: not kernel.manager.is_alive(), "the kernel's end")
        logged = [record.values["i"] for record in records.of(Metrics, "dies")]
        assert logged == list(range(len(logged))) and len(logged) > 5000
        assert records.values(Params, "dies") == {"depth": 3}
        assert records.of(RunEnd) == [] and records.of(Heartbeat)[-1].due_ms > time.time() * 1000 - 90_000
    finally:
        kernel.close()


def test_nbclient_sees_failed_cells_and_a_stage_owns_its_runs(tmp_path, monkeypatch):
    root = Workspace.init(tmp_path / "stage").root
    monkeypatch.setenv("MLOPS_WORKSPACE", str(root))
    monkeypatch.setenv("MLOPS_RUN_UID", "ab" * 16)
    monkeypatch.setenv("MLOPS_EXPERIMENT", "stage experiment")
    monkeypatch.setenv("JPY_SESSION_NAME", str(root / "mein notebook.ipynb"))
    cells = [
        "from mlops_workbench.magics.track import register_track\nregister_track(get_ipython())\n"
        "from mlops_workbench import log",
        "log(of_stage=1)",
        "%%track child\nlog(of_child=1)",
        "%%track fails\n1 / 0",
        "never = 'reached'",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(notebook, timeout=90, kernel_name="python3")
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="ZeroDivisionError"):
        client.execute()
    records = Records(root)
    assert [r.run_uid for r in records.of(Metrics) if r.values == {"of_stage": 1}] == ["ab" * 16]
    child = records.start("child")
    assert (child.parent_uid, child.experiment) == ("ab" * 16, "stage experiment")
    assert child.notebook == str(root / "mein notebook.ipynb")
    assert child.cell_id == "" or child.cell_id == notebook.cells[2].id
    assert records.end("fails").status == "FAILED"
    assert notebook.cells[2].outputs[-1].output_type == "display_data" and notebook.cells[4].outputs == []
    assert [o.output_type for o in notebook.cells[3].outputs].count("error") == 1

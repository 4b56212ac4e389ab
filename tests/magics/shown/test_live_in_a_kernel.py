"""The live view and the card of a cell, in a real kernel."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from front_end import Front

from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import read_address
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process

VIEW = "application/vnd.jupyter.widget-view+json"
LONG = """%%track {name}
import time
from mlops_workbench import log, track
print("before")
for epoch in track.progress(range(30), desc="epochs"):
    time.sleep(0.1)
    log(loss=1 / (epoch + 1))
print("after")
"""


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("live") / "ein Ordner"
    folder.mkdir()
    workspace = Workspace.init(folder)
    front = Front(folder)
    front.run("%load_ext mlops_workbench")
    yield front
    front.close()
    # A command that needs the control plane has started it.
    if (address := read_address(workspace)) is not None:
        with Client.connect(workspace, start=False) as client:
            client.shutdown()
        address.process.stop(grace=20)


def displays(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] in ("display_data", "update_display_data")]


def test_a_long_cell_has_one_output_that_ends_as_its_card(front: Front) -> None:
    messages = front.run(LONG.format(name="long"), cell_id="a")
    assert not [message for message in messages if message["type"] == "error"], messages
    first, *later = displays(messages)
    assert first["type"] == "display_data" and set(first["data"]) == {VIEW, "text/plain", "text/html"}
    assert "run long - RUNNING" in first["data"]["text/plain"] and "epochs" in first["data"]["text/plain"]
    assert {message["transient"]["display_id"] for message in displays(messages)} == {first["transient"]["display_id"]}
    assert {message["type"] for message in later} == {"update_display_data"}
    last = later[-1]["data"]
    assert set(last) == {"text/plain", "text/html"}
    assert "run long - FINISHED" in last["text/plain"] and "<polyline" in last["text/html"]
    drawn = [
        message["data"]["state"]["value"]
        for message in messages
        if message["type"] == "comm_msg" and "value" in message["data"].get("state", {})
    ]
    assert drawn and "epochs" in drawn[-1] and "loss" in drawn[-1]
    closed = {message["comm_id"] for message in messages if message["type"] == "comm_close"}
    assert {message["comm_id"] for message in messages if message["type"] == "comm_open"} == closed
    assert "".join(message["text"] for message in messages if message["type"] == "stream") == "before\nafter\n"


def test_in_vs_code_the_output_is_updated_without_a_widget(front: Front) -> None:
    messages = front.run(
        LONG.format(name="editor"), cell_id="vscode-notebook-cell:/ein%20Ordner/a.ipynb#W0sZmlsZQ%3D%3D"
    )
    first, *drawn, last = displays(messages)
    assert not [message for message in messages if message["type"].startswith("comm")]
    assert {*first["data"], *last["data"]} == {"text/plain", "text/html"} and first["type"] == "display_data"
    assert {message["type"] for message in [*drawn, last]} == {"update_display_data"}
    assert any("RUNNING" in one["data"]["text/html"] and "loss" in one["data"]["text/html"] for one in drawn)
    assert "run editor - FINISHED" in last["data"]["text/plain"]


def test_a_cell_that_fails_while_it_is_shown_ends_as_a_failed_card(front: Front) -> None:
    messages = front.run("%%track broken\nimport time\ntime.sleep(2)\n1 / 0", cell_id="b")
    assert displays(messages)[0]["type"] == "display_data"
    assert "run broken - FAILED" in displays(messages)[-1]["data"]["text/plain"]
    assert displays(messages)[-1]["type"] == "update_display_data"


def test_a_quick_cell_shows_its_card_alone(front: Front) -> None:
    [card] = displays(front.run("%%track quick\nx = 1", cell_id="c"))
    assert card["type"] == "display_data" and "run quick - FINISHED" in card["data"]["text/plain"]


def test_a_progress_bar_outside_of_a_run_is_shown_and_stays(front: Front) -> None:
    messages = front.run(
        "import time\nfrom mlops_workbench import track\n"
        "for n in track.progress(range(20), desc='wörk <b>'):\n    time.sleep(0.1)\nn",
        cell_id="d",
    )
    [result] = [message for message in messages if message["type"] == "execute_result"]
    assert result["data"]["text/plain"] == "19"
    last = displays(messages)[-1]["data"]
    assert set(last) == {"text/plain", "text/html"}
    assert "20/20" in last["text/plain"] and "wörk &lt;b&gt;" in last["text/html"]


def test_without_a_notebook_application_only_the_card_is_shown(front: Front) -> None:
    messages = front.run(LONG.format(name="unseen"))
    *printed, card = messages
    assert "".join(message["text"] for message in printed) == "before\nafter\n"
    assert card["type"] == "display_data" and "run unseen - FINISHED" in card["data"]["text/plain"]


NESTED = """%%track outer
import time
time.sleep(1.5)
get_ipython().run_cell("x = 1")
get_ipython().run_cell("%%track inner\\nimport time\\ntime.sleep(1.5)")
time.sleep(0.5)
"""


def test_cells_that_a_cell_runs_have_views_of_their_own(front: Front) -> None:
    messages = displays(front.run(NESTED, cell_id="nested"))
    by_view: dict[str, list[str]] = {}
    for message in messages:
        by_view.setdefault(message["transient"]["display_id"], []).append(message["data"]["text/plain"])
    ends = sorted(texts[-1].splitlines()[0].split(" in ")[0] for texts in by_view.values())
    assert ends == ["run inner - FINISHED", "run outer - FINISHED"]
    assert any("run outer - RUNNING" in text for texts in by_view.values() for text in texts)
    first, *later = displays(front.run(LONG.format(name="next"), cell_id="after nested"))
    assert first["type"] == "display_data" and "run next - RUNNING" in first["data"]["text/plain"]
    # Nothing is drawn of a cell that is over.
    assert {message["transient"]["display_id"] for message in later} == {first["transient"]["display_id"]}


def test_captured_output_does_not_capture_the_card(front: Front) -> None:
    messages = front.run("%%track hidden\n%%capture\nimport time\ntime.sleep(2)\nprint('unseen')", cell_id="e")
    assert "run hidden - FINISHED" in displays(messages)[-1]["data"]["text/plain"]
    assert not [message for message in messages if message["type"] == "stream"]


def test_an_executed_notebook_holds_the_card_and_no_widget(tmp_path: Path) -> None:
    Workspace.init(tmp_path)
    cells = [nbformat.v4.new_code_cell(text) for text in ("%load_ext mlops_workbench", LONG.format(name="saved"))]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    *printed, card = notebook.cells[1].outputs
    assert "".join(output.text for output in printed) == "before\nafter\n"
    assert set(card.data) == {"text/plain", "text/html"} and "run saved - FINISHED" in card.data["text/plain"]
    assert "widgets" not in notebook.metadata
    nbformat.validate(notebook)


BIG = """%%track big
import numpy as np, pandas as pd
from sklearn.linear_model import LinearRegression
X = pd.DataFrame(np.random.default_rng(0).normal(size=(200_000, 30)))
y = X[0] * 2
model = LinearRegression().fit(X, y)
"""


def test_an_executed_notebook_has_the_version_of_data_that_was_computed_after_the_reply(tmp_path: Path) -> None:
    Workspace.init(tmp_path)
    cells = [nbformat.v4.new_code_cell(text) for text in ("%load_ext mlops_workbench", BIG, "1")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    [card] = notebook.cells[1].outputs
    assert "X 200,000 x 30 #" in card.data["text/plain"] and "version pending" not in card.data["text/plain"]
    assert [output.data["text/plain"] for output in notebook.cells[2].outputs] == ["1"]


def test_the_second_run_is_compared_with_the_first(front: Front) -> None:
    front.run("%mlops experiment compared")
    front.run("%%track one\ndepth = 3\nseed = 1\nfrom mlops_workbench import log\nlog(mae=2.0, auc=0.9, other=5)")
    [card] = displays(front.run("%%track two\ndepth = 4\nseed = 1\nlog(mae=1.5, auc=0.8, other=6)"))
    text = card["data"]["text/plain"]
    assert "mae=1.5  −0.5 (25.0 %) better than one; best so far" in text
    assert "auc=0.8  −0.1 (11.1 %) worse than one; best is 0.9" in text
    assert "other=6  +1 (20.0 %) against one\n" in text
    assert "changed  depth=4 (was 3)\n" in text and "params   seed=1" in text
    [card] = displays(front.run("%%track two\ndepth = 5\nnew = 7\nlog(mae=1.75)"))
    assert "mae=1.75  +0.25 (16.7 %) worse than the previous run; best is 1.5" in card["data"]["text/plain"]
    assert "changed  depth=5 (was 4), new=7 (new)" in card["data"]["text/plain"]


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal")
def test_a_terminal_shows_progress_on_one_line_and_then_the_card(tmp_path: Path) -> None:
    import pexpect

    Workspace.init(tmp_path)
    shell = pexpect.spawn(
        sys.executable, ["-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"],
        cwd=str(tmp_path), encoding="utf-8", timeout=60, dimensions=(24, 100),
    )  # fmt: skip
    try:
        shell.expect_exact("In [1]:")
        shell.sendline("%load_ext mlops_workbench")
        shell.expect_exact("In [2]:")
        shell.sendline("from mlops_workbench import track; import time")
        shell.expect_exact("In [3]:")
        shell.sendline("for _ in track.progress(range(8), desc='epochs'): time.sleep(0.15)")
        shell.sendline("")
        shell.expect(r"\repochs \[#+\.+\] \d+ % \d/8")
        shell.expect(r"epochs \[#{20}\] 100 % 8/8")
        shell.expect_exact("In [4]:")
        shell.sendline('get_ipython().run_cell("%%track t\\nfrom mlops_workbench import log\\nlog(mae=1)");')
        shell.expect(r"run t - FINISHED in")
        shell.expect_exact("In [5]:")
        assert shell.before.count("run t -") == 0
    finally:
        shell.close(force=True)

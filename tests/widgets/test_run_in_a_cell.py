"""A run that a cell waits for: live while it goes on, and small, static and readable in the saved notebook."""

from __future__ import annotations

import html.parser
from collections.abc import Iterator
from typing import Any

import pytest
from front_end import Front
from hypothesis import given
from hypothesis import strategies as st
from notebook_files import write

from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import read_address
from mlops_workbench.commands.progress.frame import frame
from mlops_workbench.core.pipelines import PipelineRun, RunProgress, StageProgress, StageRun, StageState
from mlops_workbench.core.shown.plain_text import visible
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.widgets.run_html import run_html
from mlops_workbench.widgets.run_output import still

VIEW = "application/vnd.jupyter.widget-view+json"
STATES: list[StageState] = ["pending", "running", "succeeded", "failed", "cancelled", "skipped", "refused"]
TEXTS = st.text(st.sampled_from("ab<>&\"'ü日\u202e\x1b\n"), min_size=1, max_size=200)

# It ends when its output was seen, however slow the machine is.
WAITS = """\
import time
from pathlib import Path
print("epoch 1", flush=True)
while not Path(seen).exists():
    time.sleep(0.05)
"""


class Tags(html.parser.HTMLParser):
    """The tags of a document, and its text."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.names: set[str] = set()
        self.feed(document)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert {name for name, _ in attrs} <= {"style", "colspan"}
        self.names.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.lists(st.tuples(TEXTS, st.sampled_from(STATES), TEXTS), max_size=60), TEXTS)
def test_what_stays_in_a_notebook_is_small_and_no_text_of_others_is_markup(
    parts: list[tuple[str, StageState, str]], message: str
) -> None:
    stages = [StageRun(name, "n.ipynb", state, "", 1, 5, 2, 3, text) for name, state, text in parts]
    run = PipelineRun("0123456789abcdef", message, "failed", "manual", {}, "", 1, 9, stages, message=message)
    progress = RunProgress(run, 9, [StageProgress(one.name, 5, [message] * 5) for one in stages])
    for bundle in (still(progress), {"text/html": run_html(frame(progress, 100))}):
        found = Tags(visible(bundle["text/html"]))
        assert found.names <= {"div", "b", "span", "table", "tbody", "tr", "td", "pre"}
        assert found.text.startswith("pipeline ") and "failed" in found.text
    assert sum(len(part.encode()) for part in still(progress).values()) < 5000


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    made = Workspace.init(tmp_path_factory.mktemp("widgets") / "ein Ordner")
    write(made.root / "fits.ipynb", "zero = 0", "1 / zero")
    write(made.root / "ends.ipynb", WAITS, parameters="seen = 'seen'")
    yield made
    address = read_address(made)
    if address is not None:
        with Client.connect(made, start=False) as client:
            for run in client.pipeline_runs():
                if run.active:  # of a test that has failed
                    client.cancel_pipeline_run(run.id)
            client.shutdown()
        address.process.stop(grace=20)


@pytest.fixture(scope="module")
def front(workspace: Workspace) -> Iterator[Front]:
    started = Front(workspace.root)
    started.run("%load_ext mlops_workbench")
    yield started
    started.close()


def outputs(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a notebook keeps of a cell: each output as it is after its last update."""
    found: list[dict[str, Any]] = []
    for message in messages:
        known = [one for one in found if one.get("transient") and one["transient"] == message.get("transient")]
        if message["type"] == "update_display_data":
            for one in known:
                one["data"] = message["data"]
        elif not message["type"].startswith("comm"):
            found.append(dict(message))
    return found


def values(messages: list[dict[str, Any]]) -> list[str]:
    """The HTML that a widget showed."""
    states = [message["data"].get("state", {}) for message in messages if message["type"].startswith("comm_")]
    return [state["value"] for state in states if "value" in state]


@pytest.mark.process
def test_a_run_is_a_widget_until_its_result_takes_the_place(front: Front, workspace: Workspace) -> None:
    def look(message: dict[str, Any]) -> None:
        if any("epoch 1" in value for value in values([message])):
            (workspace.root / "seen").touch()

    messages = front.run("%mlops run ends.ipynb", cell_id="1", when=look)
    shown = values(messages)
    assert any("running" in value and "epoch 1" in value for value in shown)
    opened = {m["comm_id"] for m in messages if m["type"] == "comm_open"}
    assert opened and opened == {m["comm_id"] for m in messages if m["type"] == "comm_close"}
    first = next(message for message in messages if message["type"] == "display_data")
    assert VIEW in first["data"] and "notebook ends.ipynb" in first["data"]["text/plain"]
    [kept] = outputs(messages)
    assert set(kept["data"]) == {"text/plain", "text/html"}
    assert "succeeded" in kept["data"]["text/plain"] and "executed.ipynb" in kept["data"]["text/html"]
    # A result that is shown later has an output of its own.
    [kept] = outputs(front.run("view = get_ipython().run_line_magic('mlops', 'run ends.ipynb')", cell_id="2"))
    assert "succeeded" in kept["data"]["text/html"] and "executed.ipynb" not in kept["data"]["text/html"]
    [later] = front.run("view", cell_id="3")
    assert later["type"] == "display_data" and "executed.ipynb" in later["data"]["text/html"]


@pytest.mark.process
def test_a_failure_leaves_the_stages_the_traceback_and_one_line(front: Front) -> None:
    kept = outputs(front.run("%mlops run fits.ipynb", cell_id="4"))
    assert list(dict.fromkeys(output["type"] for output in kept)) == ["display_data", "stream", "error"]
    assert set(kept[0]["data"]) == {"text/plain", "text/html"}
    assert sum(map(len, kept[0]["data"].values())) < 5000
    assert "✗ fits  2/2  failed after" in kept[0]["data"]["text/plain"]
    assert "----> 1 1 / zero" in "".join(output.get("text", "") for output in kept)
    assert kept[-1]["ename"] == "PipelineFailed" and "fits.ipynb, cell 3: ZeroDivisionError" in kept[-1]["evalue"]


@pytest.mark.process
def test_without_widgets_the_output_is_updated(front: Front, workspace: Workspace) -> None:
    def look(message: dict[str, Any]) -> None:
        if "epoch 1" in message.get("data", {}).get("text/plain", ""):
            (workspace.root / "seen too").touch()

    front.run("import sys; known = sys.modules.pop('ipywidgets', None); sys.modules['ipywidgets'] = None")
    messages = front.run("%mlops run ends.ipynb -p 'seen=seen too'", cell_id="5", when=look)
    front.run("del sys.modules['ipywidgets']")
    assert not [message for message in messages if message["type"].startswith("comm")]
    updates = [m["data"]["text/plain"] for m in messages if m["type"] == "update_display_data"]
    assert any("epoch 1" in text and "running" in text for text in updates)
    [kept] = outputs(messages)
    assert "succeeded" in kept["data"]["text/plain"] and VIEW not in kept["data"]


@pytest.mark.process
def test_where_nobody_watches_it_is_printed_in_lines(front: Front, workspace: Workspace) -> None:
    (workspace.root / "seen").touch()
    kept = outputs(front.run("%mlops run ends.ipynb"))
    assert [output["type"] for output in kept if output["type"] != "stream"] == ["display_data"]
    lines = "".join(output.get("text", "") for output in kept).splitlines()
    assert lines[0] == "  ends: running" and lines[-1].startswith("  ends: succeeded in ")

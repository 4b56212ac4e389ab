"""A tracked cell in JupyterLab: its live view, its card, and the card in the saved notebook."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from lab_page import LIGHTNESS, PATIENCE, TOKEN, Lab, connected, start
from playwright.sync_api import Locator, expect

from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import read_address
from mlops_workbench.core.workspace import Workspace

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

# It goes on until the test has seen enough, however slow the machine is.
LONG = """\
%%track long
import time
from pathlib import Path
from mlops_workbench import log, track
print("before")
for step in track.progress(range(100_000), desc="epochs"):
    time.sleep(0.05)
    log(loss=1 / (step + 1))
    if Path("enough").exists():
        break
print("after")
"""
Start = Callable[[Workspace], Lab]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    workspace = Workspace.init(tmp_path_factory.mktemp("live") / "läuft")
    cells = [nbformat.v4.new_code_cell(text) for text in ("%load_ext mlops_workbench", LONG)]
    kernelspec = {"name": "python3", "language": "python", "display_name": "Python 3"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec}), path(workspace))
    yield workspace
    # The page of the run started it.
    address = read_address(workspace)
    if address is not None:
        with Client.connect(workspace, start=False) as client:
            client.shutdown()
        address.process.stop(grace=PATIENCE)


COMMANDS = (
    "%load_ext mlops_workbench\nfrom mlops_workbench import log",
    "%%track one\ndepth = 2\nfor step in range(5): log(loss=1 / (step + 1), step=step)",
    "%%track two\ndepth = 4\nfor step in range(5): log(loss=1 / (step + 2), step=step)",
    "%mlops runs",
    "%mlops show two",
    "%mlops compare one two",
)


def path(workspace: Workspace) -> Path:
    return workspace.root / "watched.ipynb"


def opened(lab: Lab) -> Locator:
    start(lab, "docmanager:open", path="watched.ipynb", factory="Notebook")
    cells = lab.page.locator(".jp-Notebook .jp-CodeCell")
    expect(cells).to_have_count(2)
    return cells.nth(1).locator(".jp-Cell-outputArea")


def test_a_running_cell_is_live_and_its_card_stays_in_the_notebook(lab_on: Start, watched: Workspace) -> None:
    lab = lab_on(watched)
    outputs = opened(lab)
    connected(lab)
    start(lab, "notebook:run-all-cells")

    view = outputs.locator(".jupyter-widgets")
    expect(view).to_contain_text(re.compile("long RUNNING .*epochs.*loss"))
    first = view.inner_text()
    expect(view.locator("svg polyline")).to_be_visible()
    expect(view).not_to_have_text(first)
    lab.shoot_in_both_themes("live-view")

    (watched.root / "enough").touch()
    card = outputs.get_by_text("FINISHED")
    expect(card).to_be_visible()
    expect(view).to_have_count(0)
    expect(outputs.locator("svg polyline")).to_be_visible()
    lab.shoot_in_both_themes("card")
    # The name of the run is the way to its page.
    outputs.get_by_role("button", name="long").click()
    expect(lab.page.get_by_role("article", name="Run long")).to_be_visible()

    start(lab, "application:activate-previous-tab")
    outputs.get_by_text("FINISHED").click()
    start(lab, "docmanager:save")
    lab.page.wait_for_function("() => !document.querySelector('.jp-mod-dirty')")
    saved = nbformat.read(path(watched), 4)
    kinds = [set(output.get("data", {})) for output in saved.cells[1].outputs]
    assert kinds.count({"text/plain", "text/html"}) == 1 and "widget" not in str(kinds)
    assert "widgets" not in saved.metadata
    texts = "".join(output.text for output in saved.cells[1].outputs if output.output_type == "stream")
    assert texts == "before\nafter\n"

    again = lab_on(watched)
    outputs = opened(again)
    expect(outputs.get_by_text("FINISHED")).to_be_visible()
    expect(outputs.get_by_text(re.compile("experiment default"))).to_be_visible()


def test_the_address_of_a_run_opens_its_page(lab_on: Start, watched: Workspace) -> None:
    lab = lab_on(watched)
    with Client.connect(watched) as client:
        uid = client.run("long").run.uid
    lab.page.goto(f"{lab.url}/lab?mlops-run={uid}&token={TOKEN}")
    expect(lab.page.get_by_role("article", name="Run long")).to_be_visible()
    expect(lab.page).not_to_have_url(re.compile("mlops-run"))


def test_a_tracked_cell_in_notebook_7(lab_on: Callable[..., Lab], watched: Workspace) -> None:
    cells = [nbformat.v4.new_code_cell(text) for text in ("%load_ext mlops_workbench", LONG.replace("long", "alone"))]
    kernelspec = {"name": "python3", "language": "python", "display_name": "Python 3"}
    document = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec})
    nbformat.write(document, watched.root / "alone.ipynb")
    (watched.root / "enough").unlink(missing_ok=True)
    lab = lab_on(watched, "alone.ipynb")
    outputs = lab.page.locator(".jp-Notebook .jp-CodeCell").nth(1).locator(".jp-Cell-outputArea")
    connected(lab)
    start(lab, "notebook:run-all-cells")

    view = outputs.locator(".jupyter-widgets")
    expect(view).to_contain_text(re.compile("alone RUNNING .*epochs.*loss"))
    expect(view.locator("svg polyline")).to_be_visible()
    lab.shoot_in_both_themes("notebook-7-live-view")
    (watched.root / "enough").touch()
    expect(outputs.get_by_text("FINISHED")).to_be_visible()
    expect(view).to_have_count(0)
    lab.shoot_in_both_themes("notebook-7-card")
    # It shows one document on a page, so that a run has a page of its own, in JupyterLab.
    with lab.page.expect_popup() as opened_page:
        outputs.get_by_role("button", name="alone").click()
    expect(opened_page.value.get_by_role("article", name="Run alone")).to_be_visible()
    panel = lab.panel()
    expect(panel.get_by_text("alone").first).to_be_visible()
    lab.shoot("notebook-7-panel")


def test_output_of_commands_is_readable_in_both_themes(lab_on: Start, watched: Workspace) -> None:
    cells = [nbformat.v4.new_code_cell(text) for text in COMMANDS]
    kernelspec = {"name": "python3", "language": "python", "display_name": "Python 3"}
    document = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec})
    nbformat.write(document, watched.root / "commands.ipynb")
    lab = lab_on(watched)
    start(lab, "docmanager:open", path="commands.ipynb", factory="Notebook")
    found = lab.page.locator(".jp-Notebook .jp-CodeCell")
    expect(found).to_have_count(len(COMMANDS))
    connected(lab)
    start(lab, "notebook:run-all-cells")
    expect(found.nth(5).locator(".jp-OutputArea-output").first).to_contain_text("depth")
    expect(found.nth(5).locator(".js-plotly-plot").first).to_be_visible()
    for place, name in ((3, "runs"), (4, "show"), (5, "compare")):
        found.nth(place).scroll_into_view_if_needed()
        found.nth(place).evaluate("cell => cell.scrollIntoView()")
        lab.shoot_in_both_themes(f"command-{name}")
        text, ground = found.nth(place).locator("table, pre").first.evaluate(LIGHTNESS)
        assert abs(text - ground) > 0.4, (name, text, ground)

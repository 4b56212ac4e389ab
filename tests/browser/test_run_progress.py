"""A run that a cell waits for: its progress in JupyterLab, and what stays in the saved notebook."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import nbformat
import pytest
from lab_page import LIGHTNESS, PATIENCE, Lab, connected, start
from notebook_files import write
from playwright.sync_api import expect

from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import read_address
from mlops_workbench.core.workspace import Workspace

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

Start = Callable[[Workspace], Lab]
# They go on until the test has seen enough, however slow the machine is.
WAITS = """\
import time
from pathlib import Path
step = 0
while not Path(enough).exists():
    step += 1
    print(f"epoch {step}: loss {1 / step:.4f}, a line that is longer than a narrow page is wide" + " and longer" * 8)
    time.sleep(0.2)
"""
SPEC = """\
version: 2
stages:
  prepare:
    notebook: prepare.ipynb
    outputs: {data: data.txt}
  train:
    notebook: train.ipynb
    inputs: {data: prepare.data}
    params: [{rate: 0.1}, {enough: ENOUGH}]
    matrix: {rate: [0.1, 0.2]}
  evaluate:
    notebook: evaluate.ipynb
    inputs: {data: prepare.data}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    workspace = Workspace.init(tmp_path_factory.mktemp("progress") / "läuft")
    write(workspace.root / "fits.ipynb", "1 + 1", WAITS, "zero = 0\nstep / zero", parameters="enough = 'enough'")
    specs = workspace.pipeline_specs
    write(specs / "prepare.ipynb", "from pathlib import Path\nPath(data).write_text('1')", parameters="data = ''")
    write(specs / "train.ipynb", WAITS, "print(data)", parameters="rate: float = 0.1\ndata = ''\nenough = ''")
    write(specs / "evaluate.ipynb", "print(data)", parameters="data = ''")
    (specs / "flights.yaml").write_text(SPEC.replace("ENOUGH", str(workspace.root / "enough")))
    cells = ["%load_ext mlops_workbench", "%mlops run fits.ipynb", "%mlops pipeline run flights"]
    write(workspace.root / "watched.ipynb", *cells)
    yield workspace
    address = read_address(workspace)
    if address is not None:
        with Client.connect(workspace, start=False) as client:
            client.shutdown()
        address.process.stop(grace=PATIENCE)


def test_a_cell_shows_the_run_that_it_waits_for(lab_on: Start, place: Workspace) -> None:
    lab = lab_on(place)
    start(lab, "docmanager:open", path="watched.ipynb", factory="Notebook")
    cells = lab.page.locator(".jp-Notebook .jp-CodeCell")
    expect(cells).to_have_count(3)
    connected(lab)
    for place_of_cell in (0, 2):
        cells.nth(place_of_cell).click()
        start(lab, "notebook:run-cell")
    outputs = cells.nth(2).locator(".jp-Cell-outputArea")
    view = outputs.locator(".jupyter-widgets")
    expect(view).to_contain_text(re.compile(r"pipeline flights.*running.*epoch \d+: loss", re.DOTALL))
    lab.shoot_in_both_themes("run-pipeline")
    start(lab, "application:toggle-left-area")
    lab.page.set_viewport_size({"width": 480, "height": 900})
    lab.page.wait_for_function("() => document.querySelector('.jupyter-widgets').clientWidth < 400")
    # Long lines of output are cut off; nothing is wider than the cell.
    assert view.evaluate(
        "view => [...view.querySelectorAll('*')].every(e => e.tagName === 'PRE' || e.scrollWidth < 400)"
    )
    lab.shoot("run-pipeline-480")
    lab.page.set_viewport_size({"width": 1440, "height": 900})
    (place.root / "enough").touch()
    expect(view).to_have_count(0)
    # The result has taken the place of the view.
    expect(outputs).to_contain_text("train@rate=0.2")
    expect(outputs.locator(".jp-OutputArea-output")).to_have_count(1)
    lab.shoot_in_both_themes("run-pipeline-end")

    cells.nth(1).click()
    start(lab, "notebook:run-cell")
    outputs = cells.nth(1).locator(".jp-Cell-outputArea")
    expect(outputs.get_by_text("PipelineFailed")).to_be_visible()
    expect(outputs.locator("table")).to_contain_text("failed after")
    lab.shoot_in_both_themes("run-failed")
    # No text is on another one.
    assert outputs.locator("table").evaluate(
        "table => [...table.querySelectorAll('td')].every(cell => cell.scrollWidth <= cell.offsetWidth)"
    )
    text, ground = outputs.locator("table").evaluate(LIGHTNESS)
    assert abs(text - ground) > 0.4, (text, ground)

    start(lab, "docmanager:save")
    lab.page.wait_for_function("() => !document.querySelector('.jp-mod-dirty')")
    saved = nbformat.read(place.root / "watched.ipynb", 4)
    shown = [
        output.data for cell in saved.cells if cell.cell_type == "code" for output in cell.outputs if "data" in output
    ]
    assert [set(data) for data in shown] == [{"text/plain", "text/html"}] * 2 and "widgets" not in saved.metadata
    assert all(len("".join(data.values())) < 5000 for data in shown)

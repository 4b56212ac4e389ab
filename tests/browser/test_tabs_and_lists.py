"""Tabs of documents, lists of the panel, and code that pages put into notebooks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lab_page import Lab, connected
from playwright.sync_api import Locator, expect

from mlops_workbench.core.workspace import Workspace

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

NAME = "flight-delays"
Start = Callable[[Workspace], Lab]


def tabs(lab: Lab, kind: str) -> Locator:
    """The tabs of documents of a kind."""
    return lab.page.locator("#jp-main-dock-panel .lm-TabBar-tab", has_text=f"– {kind}")


def test_one_tab_shows_what_is_clicked_and_what_is_kept_stays(lab_on: Start, filled: Workspace) -> None:
    lab = lab_on(filled)
    lab.panel()
    runs = lab.section("Runs")
    runs.get_by_role("button", name="baseline").click()
    expect(lab.document("Run", "baseline")).to_be_visible()
    expect(tabs(lab, "Run")).to_have_text(["baseline – Run"])
    lab.section("Models").get_by_role("button", name=NAME).click()
    expect(lab.document("Registered model", NAME)).to_be_visible()
    expect(tabs(lab, "Run")).to_have_count(0)

    # By a double click on the row or the tab, and with the keyboard.
    runs.get_by_role("button", name="linear").dblclick()
    expect(lab.document("Run", "linear")).to_be_visible()
    runs.get_by_role("button", name="boosted").click()
    tabs(lab, "Run").filter(has_text="boosted").dblclick()
    runs.get_by_role("button", name="baseline").press("Enter")
    expect(tabs(lab, "Run")).to_have_text(["linear – Run", "boosted – Run", "baseline – Run"])
    runs.get_by_role("button", name="forgot the target").click()
    expect(lab.document("Run", "forgot the target")).to_be_visible()
    lab.section("Models").get_by_role("button", name=NAME).click()
    expect(tabs(lab, "Run")).to_have_count(3)
    expect(tabs(lab, "Model")).to_have_text([f"{NAME} – Model"])
    lab.shoot("tabs")

    # Titles are names after a reload, too, also of documents that are not shown.
    lab.wait_saved(f"mlops-workbench-model:{NAME}")
    lab.page.wait_for_timeout(2000)
    lab.open(reset=False)
    expect(tabs(lab, "Run")).to_have_text(["linear – Run", "boosted – Run", "baseline – Run"])


@pytest.mark.some(2)
@pytest.mark.parametrize("width", [480, 1440])
def test_lists_of_the_panel_scroll_to_their_last_entry(lab_on: Start, crowded: Workspace, width: int) -> None:
    lab = lab_on(crowded)
    lab.page.set_viewport_size({"width": width, "height": 700})
    lab.panel()
    for name, last in (("Runs", "run 0"), ("Pipelines", "pipeline-49")):
        rows = lab.section(name).get_by_role("listitem")
        expect(rows).to_have_count(50)
        rows.last.scroll_into_view_if_needed()
        expect(rows.last).to_contain_text(last)
        expect(rows.last).to_be_in_viewport(ratio=0.9)
    lab.shoot(f"crowded-panel-{width}")


def test_code_of_a_page_is_put_into_cells_and_runs(lab_on: Start, empty: Workspace) -> None:
    lab = lab_on(empty)
    panel = lab.panel()
    panel.get_by_role("button", name="Insert into notebook").first.click()
    cells = lab.page.locator(".jp-NotebookPanel .jp-CodeCell")
    expect(cells).to_have_count(2)
    connected(lab)
    lab.run("notebook:run-all-cells")
    expect(lab.section("Runs").get_by_role("button", name="my-first-run")).to_contain_text("0.")
    lab.shoot_in_both_themes("first-run")

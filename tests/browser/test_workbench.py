"""The Workbench as a user sees it: real data, a real JupyterLab, a real browser."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import pytest
from lab_page import PATIENCE, Lab
from playwright.sync_api import expect

from mlops_workbench.client.launch import find_running
from mlops_workbench.core.workspace import Workspace

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

NAME = "flight-delays"
ELSEWHERE = """\
from mlops_workbench import log, track
with track("from-elsewhere", experiment="other"):
    log(score=0.75)
"""
Start = Callable[[Workspace], Lab]


def test_a_newcomer_is_told_what_to_do(lab_on: Start, fresh: Workspace) -> None:
    lab = lab_on(fresh)
    panel = lab.panel()
    expect(panel.get_by_text("No runs yet")).to_be_visible()
    expect(panel.get_by_text("%%track my-first-run")).to_be_visible()
    for text in ("No registered models", "No endpoints", "No pipelines"):
        expect(panel.get_by_text(text)).to_be_visible()
    lab.shoot("empty")


def test_jupyterlab_starts_nothing_until_the_panel_is_opened(lab_on: Start, untouched: Workspace) -> None:
    lab = lab_on(untouched)
    expect(lab.page.locator(".jp-LauncherCard", has_text="Workbench")).to_be_visible()
    # The extension's own request at the start has been answered.
    lab.page.wait_for_function(
        "() => performance.getEntriesByType('resource').some("
        "entry => entry.name.includes('/mlops-workbench/handshake') && entry.responseEnd > 0)"
    )
    assert find_running(untouched) is None
    panel = lab.panel()
    expect(panel.get_by_text("No runs yet")).to_be_visible()
    assert find_running(untouched) is not None


def test_the_panel_is_reached_by_launcher_menu_and_keyboard(lab_on: Start, fresh: Workspace) -> None:
    lab = lab_on(fresh)
    region = lab.page.get_by_role("region", name="Workbench")
    expect(region).to_be_hidden()
    lab.page.locator(".jp-LauncherCard", has_text="Workbench").click()
    expect(region).to_be_visible()
    lab.run("application:toggle-left-area")
    expect(region).to_be_hidden()
    lab.press("Control+Shift+M", "mlops-workbench:show-panel")
    expect(region).to_be_visible()
    lab.run("application:toggle-left-area")
    lab.page.get_by_role("menuitem", name="View").click()
    lab.page.get_by_role("menuitem", name="Show the Workbench").click()
    expect(region).to_be_visible()


def test_the_palette_finds_a_run_by_name(lab_on: Start, filled: Workspace) -> None:
    lab = lab_on(filled)
    search = lab.page.locator(".lm-CommandPalette-input")
    lab.press("Control+Shift+C", "apputils:activate-command-palette")
    search.fill("Find a Run")
    lab.page.locator(".lm-CommandPalette-item", has_text="Find a Run").click()
    dialog = lab.page.get_by_role("dialog")
    choices = dialog.locator("select")
    choices.wait_for()
    (label,) = [text for text in choices.locator("option").all_inner_texts() if text.startswith("linear ")]
    choices.select_option(label=label)
    dialog.get_by_role("button", name="Open").click()
    expect(lab.document("Run", "linear")).to_be_visible()


def test_the_panel_lists_what_the_workspace_has(lab_on: Start, filled: Workspace) -> None:
    lab = lab_on(filled)
    panel = lab.panel()
    expect(panel.get_by_text(filled.root.name)).to_be_visible()
    runs = lab.section("Runs")
    for name in ("baseline", "linear", "boosted", "forgot the target"):
        expect(runs.get_by_role("button", name=name)).to_be_visible()
    expect(runs.get_by_role("button", name="boosted")).to_contain_text(re.compile(r"1\d\.\d\d"))
    expect(lab.section("Models").get_by_role("button", name=NAME)).to_contain_text("champion v1")
    endpoint = lab.section("Endpoints").get_by_role("button", name=NAME)
    expect(endpoint).to_contain_text("5 requests")
    expect(endpoint.get_by_role("img", name="Ready")).to_be_visible()
    pipelines = lab.section("Pipelines")
    expect(pipelines.get_by_role("button", name=f"{NAME} prepare → train → evaluate")).to_be_visible()
    expect(pipelines.get_by_role("button", name="Run broken…")).to_be_disabled()


@pytest.mark.some(2)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_documents_show_the_whole_story(lab_on: Start, filled: Workspace, theme: str) -> None:
    lab = lab_on(filled)
    lab.theme(f"JupyterLab {theme.title()}")
    lab.panel()

    lab.section("Runs").get_by_role("button", name="boosted").click()
    run = lab.document("Run", "boosted")
    expect(run.get_by_role("heading", name="boosted")).to_be_visible()
    metrics = run.get_by_role("region", name="Metrics")
    expect(metrics).to_contain_text("rmse")
    expect(metrics.get_by_role("img", name=re.compile("test mae over 60 steps"))).to_be_visible()
    expect(run.get_by_role("region", name="Parameters")).to_contain_text("max_depth6")
    figures = run.get_by_role("region", name="Figures")
    picture = figures.get_by_role("img", name="predicted vs actual.png")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
    expect(figures.locator(".js-plotly-plot .barlayer")).to_be_visible()
    expect(run.get_by_role("region", name="Source", exact=True)).to_contain_text(
        "HistGradientBoostingRegressor(max_depth=max_depth"
    )
    expect(run.get_by_role("region", name="Output")).to_contain_text("4,500 flights, off by")
    expect(run.get_by_role("table", name="Data")).to_contain_text("4,500")
    lab.shoot(f"run-{theme}")

    lab.section("Runs").get_by_role("button", name="forgot the target").click()
    failed = lab.document("Run", "forgot the target")
    expect(failed.get_by_role("region", name="Error")).to_contain_text("could not convert string to float")
    lab.shoot(f"failed-run-{theme}")

    lab.section("Models").get_by_role("button", name=NAME).click()
    model = lab.document("Registered model", NAME)
    expect(model.get_by_role("table", name="Versions")).to_contain_text("champion")
    checks = model.get_by_role("list", name="Conditions of the gate").get_by_role("listitem")
    expect(checks).to_have_count(2)
    expect(checks.first.get_by_role("img", name="Passed")).to_be_visible()
    expect(model.get_by_role("list", name="Inputs").get_by_role("listitem")).to_have_count(6)
    lab.shoot(f"model-{theme}")

    lab.section("Endpoints").get_by_role("button", name=NAME).click()
    endpoint = lab.document("Endpoint", NAME)
    expect(endpoint.get_by_role("table", name="Windows").get_by_role("row")).to_have_count(6)
    expect(endpoint.get_by_role("img", name=re.compile("mae per window"))).to_be_visible()
    drift = endpoint.get_by_role("table", name="Drift by column and window")
    expect(drift.get_by_role("row", name=re.compile("^temp "))).to_be_visible()
    expect(endpoint.get_by_role("list", name="Alerts").get_by_role("listitem")).not_to_have_count(0)
    lab.shoot(f"endpoint-{theme}")

    lab.section("Pipelines").get_by_role("button", name=f"{NAME} prepare").click()
    pipeline = lab.document("Pipeline", NAME)
    stages = pipeline.get_by_role("list", name="Stages").get_by_role("listitem")
    expect(stages).to_have_count(3)
    for stage in stages.all():
        expect(stage.get_by_role("img", name="Succeeded")).to_be_visible()
    lab.shoot(f"pipeline-{theme}")


def test_open_documents_survive_a_reload(lab_on: Start, filled: Workspace) -> None:
    lab = lab_on(filled)
    lab.panel()
    lab.section("Models").get_by_role("button", name=NAME).click()
    expect(lab.document("Registered model", NAME)).to_be_visible()
    lab.run("mlops-workbench:open-endpoint", id=NAME)
    expect(lab.document("Endpoint", NAME)).to_be_visible()
    lab.wait_saved(f"mlops-workbench-model:{NAME}", f"mlops-workbench-endpoint:{NAME}")
    lab.open(reset=False)
    expect(lab.document("Endpoint", NAME)).to_be_visible()
    lab.page.get_by_role("tab", name=NAME).first.click()
    expect(lab.document("Registered model", NAME)).to_be_visible()


def test_the_panel_works_by_keyboard_alone(lab_on: Start, filled: Workspace) -> None:
    lab = lab_on(filled)
    lab.panel()
    rows = lab.section("Runs").get_by_role("button")
    expect(rows.first).to_be_visible()
    rows.first.focus()
    lab.page.keyboard.press("ArrowDown")
    expect(rows.nth(1)).to_be_focused()
    lab.page.keyboard.press("Home")
    lab.page.keyboard.press("ArrowDown")
    lab.page.keyboard.press("Enter")
    expect(lab.document("Run", "forgot the target")).to_be_visible()


def test_what_is_done_elsewhere_shows_by_itself(lab_on: Start, filled: Workspace) -> None:
    lab = lab_on(filled)
    lab.panel()
    expect(lab.section("Runs").get_by_role("button", name="boosted")).to_be_visible()
    subprocess.run([sys.executable, "-c", ELSEWHERE], cwd=filled.root, check=True, timeout=PATIENCE)
    row = lab.section("Runs").get_by_role("button", name="from-elsewhere")
    expect(row).to_contain_text("0.75")


def test_a_pipeline_is_run_from_a_typed_form(lab_on: Start, filled: Workspace) -> None:
    lab = lab_on(filled)
    lab.panel()
    lab.section("Pipelines").get_by_role("button", name=f"Run {NAME}…").click()
    dialog = lab.page.get_by_role("dialog", name=f"Run {NAME}")
    dialog.wait_for()
    # Typed as soon as the dialog is visible: the first field has the focus and keeps it.
    lab.page.keyboard.type("[1, 2]many")
    lab.page.keyboard.press("Tab")
    lab.page.keyboard.type("600")
    months, rows = dialog.get_by_label("months"), dialog.get_by_label("rows")
    expect(months).to_have_value("[1, 2]many")
    expect(rows).to_have_value("600")

    lab.page.keyboard.press("Enter")
    refusal = dialog.get_by_role("alert")
    expect(refusal).to_contain_text("'[1, 2]many' is not a list[int]")
    expect(refusal).to_contain_text("write it as [1, 2]")
    expect(months).to_have_value("[1, 2]many")
    expect(months).to_be_focused()
    expect(months).to_have_attribute("aria-invalid", "true")
    expect(rows).to_have_value("600")
    lab.shoot_in_both_themes("pipeline-form")

    months.fill("[3]")
    dialog.get_by_role("button", name="Run").click()
    pipeline = lab.document("Pipeline", NAME)
    expect(dialog).to_have_count(0)
    parameters = pipeline.get_by_role("region", name="Parameters")
    expect(parameters).to_contain_text("months[3]")
    expect(parameters).to_contain_text("rows600")
    pipeline.get_by_role("button", name="Cancel…").click()
    question = lab.page.get_by_role("dialog")
    expect(question.get_by_role("button", name="Keep running")).to_be_focused()
    lab.shoot("cancel-form")
    question.get_by_role("button", name="Cancel run").click()
    expect(
        pipeline.get_by_role("table", name="Runs").get_by_role("row").nth(1).get_by_role("img", name="Cancelled")
    ).to_be_visible()


def test_a_model_is_promoted_behind_a_gate_that_can_say_no(lab_on: Start, filled: Workspace) -> None:
    lab = lab_on(filled)
    lab.panel()
    lab.section("Models").get_by_role("button", name=NAME).click()
    model = lab.document("Registered model", NAME)
    model.get_by_role("button", name="Promote…").click()
    dialog = lab.page.get_by_role("dialog")
    dialog.get_by_label("Alias").fill("flawless")
    gate = dialog.get_by_label("Gate")
    gate.fill("mae is good")
    dialog.get_by_role("button", name="Promote").click()
    expect(dialog.get_by_role("alert")).to_contain_text("not a condition")
    expect(gate).to_be_focused()
    gate.fill("mae < 0.001")
    dialog.get_by_role("button", name="Promote").click()
    refusal = dialog.get_by_role("alert")
    expect(refusal).to_contain_text("mae < 0.001")
    expect(refusal).to_be_focused()
    expect(dialog.get_by_label("Alias")).to_have_value("flawless")
    lab.shoot_in_both_themes("promote-form")
    # The gate that failed is kept with the version, and the alias did not move.
    expect(model.get_by_role("list", name="Conditions of the gate").get_by_role("img", name="Failed")).to_be_visible()
    expect(model.get_by_role("table", name="Versions")).not_to_contain_text("flawless")
    dialog.get_by_label("Alias").fill("tested")
    gate.fill("mae < 25")
    dialog.get_by_role("button", name="Promote").click()
    expect(dialog).to_have_count(0)
    expect(model.get_by_role("table", name="Versions")).to_contain_text("tested")

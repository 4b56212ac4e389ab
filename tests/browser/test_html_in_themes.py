"""What is shown in a notebook can be read on light and dark pages, whichever application they belong to."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from mlops_workbench.capture.session.session import Session
from mlops_workbench.commands.view import View
from mlops_workbench.core.run_ranking import MetricChange, RunRanking
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.magics.shown.card import card
from mlops_workbench.magics.shown.live_drawing import Snapshot, live_html

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

#: What widgets bring to a page of VS Code, as version 1.139 has it, dark or not.
WIDGETS = "--jp-content-font-color1:black;--jp-border-color2:#e0e0e0;--jp-success-color1:#4caf50;"
PAGES = {
    "VS Code, dark": (WIDGETS + "--vscode-foreground:#ccc;--vscode-charts-green:#89d185", "#1f1f1f", "#ccc"),
    "VS Code, light": (WIDGETS + "--vscode-foreground:#3b3b3b;--vscode-charts-green:#388a34", "#fff", "#3b3b3b"),
    "JupyterLab, dark": ("--jp-content-font-color1:#fff;--jp-success-color1:#4caf50", "#111", "#fff"),
    "no application, light": ("", "#fff", "#000"),
}
CONTRASTS = r"""() => {
    const light = colour => {
        const [r, g, b] = colour.match(/[\d.]+/g).slice(0, 3).map(
            one => one / 255 <= 0.03928 ? one / 255 / 12.92 : ((one / 255 + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
    };
    const ground = light(getComputedStyle(document.body).backgroundColor);
    const says = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    return [...document.body.querySelectorAll("*")].filter(says).map(element => {
        const text = light(getComputedStyle(element).color);
        return [element.textContent, Math.max(text, ground) / Math.min(text, ground)];
    });
}"""


@pytest.mark.parametrize("name", PAGES)
def test_text_stands_out_from_the_page(name, browser: Browser, tmp_path, monkeypatch) -> None:
    workspace = Workspace.init(tmp_path)
    monkeypatch.setenv("MLOPS_WORKSPACE", str(workspace.root))
    session = Session(workspace)
    try:
        run = session.start_run("boosted")
        run.log({"auc": 0.9})
        run.end("FINISHED")
    finally:
        session.close()
    change = MetricChange("auc", 0.9, "higher", previous=0.8, best=0.8)
    view = View("runs", ["run", "auc"], [["boosted", 0.9]], facts=[("state", "up")], block="-a\n+b\n c", diff=True)
    parts = [
        card(run, RunRanking(previous="linear", metrics=[change]))["text/html"],
        live_html(Snapshot("boosted", "default", 2.0, {"auc": 0.9}, {"auc": [0.5, 0.9]})),
        view.html(),
    ]
    variables, ground, text = PAGES[name]
    page = browser.new_page()
    try:
        style = f":root{{{variables}}} body{{background:{ground};color:{text}}}"
        page.set_content(f"<!doctype html><style>{style}</style>{''.join(parts)}")
        contrasts = page.evaluate(CONTRASTS)
    finally:
        page.close()
    assert {"boosted", "FINISHED", "RUNNING", "+b", "state"} <= {words for words, _ in contrasts}
    # What contrasts less than 3 to 1 is hard to read even when it is large.
    assert [(words, contrast) for words, contrast in contrasts if contrast < 3] == []

"""Figures in a notebook, and the text that replaces them elsewhere."""

from __future__ import annotations

import plotly.graph_objects as go
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

from mlops_workbench.commands.view import Plot, View


def test_a_figure_has_text_and_html_that_runs_nothing() -> None:
    title = "3 runs of <img src=x onerror=alert(1)>"
    shell = InteractiveShell.instance()
    usual, shell.display_pub = shell.display_pub, CapturingDisplayPublisher()
    try:
        shell.kernel = None  # of no front end, but a front end that could draw
        View(title, ("a",), [(1,)], plots=[Plot(title, go.Figure)])._ipython_display_()
        [table, shown] = shell.display_pub.outputs
    finally:
        shell.display_pub = usual
        InteractiveShell.clear_instance()
    assert "1" in table["data"]["text/plain"]
    bundle = shown["data"]
    assert title in bundle["text/plain"]
    assert "<img" not in bundle["text/html"]
    assert "&lt;img" in bundle["text/html"]
    assert "application/vnd.plotly.v1+json" in bundle


def test_a_terminal_imports_no_plotly() -> None:
    shell = InteractiveShell.instance()
    usual, shell.display_pub = shell.display_pub, CapturingDisplayPublisher()
    try:
        View("runs", plots=[Plot("figure", lambda: 1 / 0)])._ipython_display_()
        assert len(shell.display_pub.outputs) == 1
    finally:
        shell.display_pub = usual
        InteractiveShell.clear_instance()

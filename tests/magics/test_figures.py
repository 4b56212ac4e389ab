"""Figures in a notebook: what stands in their place where they are not drawn."""

from __future__ import annotations

import plotly.graph_objects as go
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

from mlops_workbench.magics.verb import _show_plot
from mlops_workbench.verbs.view import Plot


def test_a_figure_has_text_and_html_that_runs_nothing() -> None:
    title = "3 runs of <img src=x onerror=alert(1)>"
    shell = InteractiveShell.instance()
    usual, shell.display_pub = shell.display_pub, CapturingDisplayPublisher()
    try:
        _show_plot(Plot(title, go.Figure))
        [shown] = shell.display_pub.outputs
    finally:
        shell.display_pub = usual
        InteractiveShell.clear_instance()
    bundle = shown["data"]
    assert title in bundle["text/plain"]
    assert "<img" not in bundle["text/html"]
    assert "&lt;img" in bundle["text/html"]
    assert "application/vnd.plotly.v1+json" in bundle

"""Colours and fonts of HTML in a notebook, taken from the theme of the application that shows it."""

from __future__ import annotations


def _themed(vscode: str, jupyter: str, plain: str) -> str:
    # VS Code's first: on dark pages its widgets define Jupyter's variables with light colours.
    return f"var(--vscode-{vscode},var(--jp-{jupyter},{plain}))"


TEXT = _themed("foreground", "content-font-color1", "inherit")
BORDER = _themed("notebook-cellBorderColor", "border-color2", "rgba(128,128,128,.4)")
GOOD = _themed("charts-green", "success-color1", "#3a9d40")
BAD = _themed("charts-red", "error-color1", "#d9453d")
WARN = _themed("charts-yellow", "warn-color1", "#c77a00")
INFO = _themed("charts-blue", "info-color1", "#2a7ae2")
ACCENT = _themed("charts-blue", "brand-color1", "#2a7ae2")
FONT = "font-family:" + _themed("font-family", "ui-font-family", "system-ui,sans-serif")
CODE_FONT = "font-family:" + _themed("editor-font-family", "code-font-family", "monospace")

"""An output of a cell that changes, as a widget where the application shows those, and is static at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops_workbench.core.shown.plain_text import visible

_VIEW = "application/vnd.jupyter.widget-view+json"


class LiveOutput:
    """One output of a cell.

    While it changes, its HTML is the value of a widget, so that the notebook is not written anew; without widgets, the
    output itself is updated. At the end the widget is closed, and static HTML and text remain.

    Parameters
    ----------
    publisher : DisplayPublisher
        Publishes outputs of the cell.
    display_id : str
        Id of the output, unique in the kernel.
    metadata : mapping
        Marks the output as the workbench's.
    widget : bool
        Whether to try a widget.

    Attributes
    ----------
    shown : bool
        Whether there is an output in the cell.
    """

    def __init__(self, publisher: Any, display_id: str, metadata: Mapping[str, Any], *, widget: bool) -> None:
        self._publisher = publisher
        self._display_id = display_id
        self.metadata = metadata
        self._may_have_widget = widget
        self._widget: Any = None
        self.shown = False

    def prepare(self, html: str) -> None:
        """Make the widget, if that is not done yet; :meth:`draw` does so, too, but this may take a second."""
        if self._may_have_widget:
            self._may_have_widget = False
            self._widget = _html_widget(html)

    def draw(self, html: str, text: str) -> None:
        """Show the output, or what it has become."""
        if self.shown and self._widget is not None:
            self._widget.value = visible(html)
            return
        self.prepare(html)
        bundle: dict[str, Any] = {"text/plain": text, "text/html": html}
        if self._widget is not None:
            bundle[_VIEW] = {"version_major": 2, "version_minor": 0, "model_id": self._widget.model_id}
        self.replace(bundle)

    def replace(self, bundle: Mapping[str, Any]) -> None:
        """Show a MIME bundle in its place."""
        shown = {kind: visible(part) if isinstance(part, str) else part for kind, part in bundle.items()}
        self._publisher.publish(
            shown, dict(self.metadata), transient={"display_id": self._display_id}, update=self.shown
        )
        self.shown = True

    def close_widget(self) -> None:
        """Remove the widget; its models would stay in the kernel and in the notebook."""
        widget, self._widget = self._widget, None
        if widget is not None:
            for part in (widget, widget.layout, widget.style):
                part.close()


def cell_id(shell: Any) -> str:
    """Id of the cell that the kernel executes, as the application sent it; empty if it sent none."""
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    return str(parent.get("metadata", {}).get("cellId") or "")


def is_watched(shell: Any, cell: str) -> bool:
    """Whether a notebook application shows the outputs of a cell with this id as they arrive.

    Such applications send the id of the cell and show widgets. nbclient and papermill, which write the executed
    notebook to a file, do not.
    """
    return hasattr(shell, "kernel") and bool(cell or in_vscode(shell, cell))


def in_vscode(shell: Any, cell: str) -> bool:
    """Whether the cell runs in VS Code, where an output is updated instead of a widget.

    VS Code draws widgets on white even in dark themes. Without its extension for widgets, the first widget is not
    shown and no later cell runs.
    """
    return "__vsc_ipynb_file__" in shell.user_ns or cell.startswith("vscode-notebook-cell:")


def _html_widget(value: str) -> Any:
    try:
        # Imported here: the import takes longer than most cells.
        from ipywidgets import HTML

        return HTML(value=visible(value))
    except Exception:  # noqa: BLE001 without widgets the output itself is updated
        return None

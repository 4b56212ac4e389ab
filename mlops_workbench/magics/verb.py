"""``%mlops VERB ...``: the verbs in a notebook."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from mlops_workbench.core.errors import InvalidInput, WorkbenchError
from mlops_workbench.magics.notebook import Notebook

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from mlops_workbench.verbs.view import View


def register_verbs(shell: InteractiveShell) -> None:
    """Add ``%mlops`` and its completion to an IPython session."""
    notebook = Notebook(shell)

    def mlops(line: str) -> View | None:
        """Run a verb: ``%mlops runs``, ``%mlops --help`` lists them."""
        # Errors end the cell as any error does, so that papermill sees it, but without our traceback.
        from mlops_workbench.verbs.app import run

        try:
            view = run(split(line), notebook, prog="%mlops")
        except WorkbenchError as error:
            shown = [f"{type(error).__name__}: {error}"]
            error._render_traceback_ = lambda: shown  # type: ignore[attr-defined]
            raise
        if view is not None and view.figure is not None:
            _show_figure(view)
        return view

    shell.register_magic_function(mlops, magic_kind="line", magic_name="mlops")
    shell.set_hook("complete_command", lambda _self, event: _complete(event.line, notebook), str_key="%mlops")


def split(line: str) -> list[str]:
    """Words of a magic line.

    What follows ``predict ENDPOINT`` is an expression of the notebook and keeps its quotes.

    Raises
    ------
    InvalidInput
        A quote is not closed.
    """
    parts = line.split(maxsplit=2)
    if len(parts) == 3 and parts[0] == "predict" and not parts[2].startswith("-"):
        return ["predict", parts[1], "--", parts[2]]
    try:
        return shlex.split(line) or ["--help"]
    except ValueError as error:
        raise InvalidInput(f"cannot read '%mlops {line}': {error}", hint="close the quote") from error


def _show_figure(view: View) -> None:
    from html import escape

    from IPython.display import display

    assert view.figure is not None
    figure = view.figure()
    # One bundle: a front end with plotly draws it, any other shows the table that follows anyway.
    display(
        {
            "application/vnd.plotly.v1+json": figure.to_plotly_json(),
            "text/html": f"<em>interactive figure: {escape(view.title)}</em>",
            "text/plain": f"[figure: {view.title}]",
        },
        raw=True,
    )


def _complete(line: str, notebook: Notebook) -> list[str]:
    # A completer must never raise into the shell.
    try:
        from mlops_workbench.verbs.app import complete

        words = line.lstrip().removeprefix("%mlops").lstrip()
        done, _, incomplete = words.rpartition(" ")
        return [str(item.value) for item in complete(done.split(), incomplete, notebook)]
    except Exception as error:  # noqa: BLE001 - a hook in the user's shell
        sys.stderr.write(f"mlops: completion failed: {error}\n")
        return []

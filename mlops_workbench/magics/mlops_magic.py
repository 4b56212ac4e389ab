"""``%mlops COMMAND ...``: the commands in a notebook."""

from __future__ import annotations

import re
import shlex
import sys
from functools import partial
from typing import TYPE_CHECKING

from mlops_workbench.core.errors import InvalidInput, WorkbenchError
from mlops_workbench.core.shown.plain_text import visible
from mlops_workbench.magics.notebook import Notebook

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from mlops_workbench.commands.view import View

#: End of a word in a filter after which a value follows.
_COMPARES = re.compile(r"([=<>(,]|^(i?like|in))$", re.IGNORECASE)


def register_commands(shell: InteractiveShell) -> None:
    """Add ``%mlops`` and its completion to an IPython session."""
    notebook = Notebook(shell)

    def mlops(line: str) -> View | None:
        """Run a command, for example ``%mlops runs``; ``%mlops --help`` lists the commands."""
        # An error fails the cell, so that papermill sees it, but is shown without our traceback.
        notebook.output = None
        try:
            words = split(line)
            view = _run([word for word in words if word != "--json"], notebook)
        except WorkbenchError as error:
            shown = [f"{type(error).__name__}: {error}"]
            error._render_traceback_ = lambda: shown  # type: ignore[attr-defined]
            raise
        if view is not None and "--json" in words:
            sys.stdout.write(view.json() + "\n")
            return None
        if view is not None and notebook.output is not None:
            view.place = notebook.output.take
        elif view is not None and view.refresh is not None:
            view.place = partial(notebook.show_live, view)
        return view

    shell.register_magic_function(mlops, magic_kind="line", magic_name="mlops")
    shell.set_hook("complete_command", lambda _self, event: _complete(event.line, notebook), str_key="%mlops")


def _run(words: list[str], notebook: Notebook) -> View | None:
    from mlops_workbench.commands.quick import set_at_once

    if (view := set_at_once(words, notebook)) is not None:
        return view
    from mlops_workbench.commands.app import run

    return run(words, notebook, prog="%mlops")


def split(line: str) -> list[str]:
    """Words of a magic line.

    The expression after ``predict ENDPOINT`` and the filter after ``runs`` keep their quotes. So do the words after
    ``data``, as in ``df["a"]``, except for quotes around a whole word.

    Raises
    ------
    InvalidInput
        A quote is not closed.
    """
    parts = line.split(maxsplit=2)
    is_batch = "--batch" in line.split()
    if len(parts) == 3 and parts[0] == "predict" and not parts[2].startswith("-") and not is_batch:
        return ["predict", parts[1], "--", parts[2]]
    try:
        if parts[:1] == ["data"]:
            return [_unquoted(word) for word in shlex.split(line, posix=False)]
        return (_filter_words(line) if parts[:1] == ["runs"] else shlex.split(line)) or ["--help"]
    except ValueError as error:
        raise InvalidInput(f"cannot read '%mlops {line}': {error}", hint="close the quote") from error


def _filter_words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    words = list(lexer)
    for i, word in enumerate(words):
        # Quotes around a value belong to the filter; quotes around an option's value or the whole filter do not.
        if len(word) > 1 and word[0] in "'\"" and word[-1] == word[0] and not _COMPARES.search(words[i - 1]):
            words[i] = word[1:-1]
    return words


def _unquoted(word: str) -> str:
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"" else word


def _complete(line: str, notebook: Notebook) -> list[str]:
    try:
        from mlops_workbench.commands.app import complete

        words = line.lstrip().removeprefix("%mlops").lstrip()
        done, _, incomplete = words.rpartition(" ")
        return [str(item.value) for item in complete(done.split(), incomplete, notebook)]
    except Exception as error:  # noqa: BLE001 a completer must not raise into the shell
        sys.stderr.write(f"mlops: completion failed: {visible(str(error))}\n")
        return []

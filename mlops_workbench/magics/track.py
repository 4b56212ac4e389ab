"""``%%track``: tracks a cell as a run."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_workbench.core.errors import did_you_mean
from mlops_workbench.core.shown.plain_text import visible
from mlops_workbench.core.tags import NOTE
from mlops_workbench.magics.hooks import shell_hooks

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

USAGE = '%%track [NAME] [--tag K=V]... [--param K=V]... [--note "..."] [--nested]'

_OPTIONS = ("--tag", "--param", "--note", "--nested", "--help")
_FUTURE = re.compile(r"\s*from\s+__future__\s+import\b[^(\\]*$")

_HELP = f"""{USAGE}

Track the cell as a run: record its source, literal parameters, the settings and data of the estimators that it fits,
metrics from scikit-learn, figures, output and status. Record other values with log(...).

  NAME         name of the run; by default generated from its id
  --tag K=V    tag
  --param K=V  parameter
  --note TEXT  description
  --nested     make it a child of the active run: one that another cell started and has not ended yet, or the run of
               the parent process; a cell of a pipeline stage is always a child of the stage's run
"""


class BadOptions(ValueError):
    """The line after ``%%track`` is invalid; the message contains the usage."""


@dataclass(frozen=True)
class TrackOptions:
    """Options of ``%%track``."""

    name: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    nested: bool = False
    help: bool = False


def parse_track_line(line: str) -> TrackOptions:
    """Parse the line after ``%%track``; raises `BadOptions` for unknown options, missing values and open quotes."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise BadOptions(f"%%track: {error} in: {line}\n  {USAGE}") from None
    name, tags, params, nested = "", {}, {}, False
    while words:
        word = words.pop(0)
        option, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if option in ("--help", "-h"):
            return TrackOptions(help=True)
        if option == "--nested":
            nested = True
        elif option in ("--tag", "--param", "--note"):
            if not equals:
                if not words:
                    raise BadOptions(f"%%track: {option} needs a value\n  {USAGE}")
                value = words.pop(0)
            if option == "--note":
                tags[NOTE] = value
                continue
            key, equals, content = value.partition("=")
            if not key or not equals:
                raise BadOptions(f"%%track: {option} takes KEY=VALUE, not '{value}'\n  {USAGE}")
            if option == "--tag":
                tags[key] = content
            else:
                params[key] = _literal(content)
        elif option.startswith("-"):
            raise BadOptions(f"%%track: unknown option '{option}'; {did_you_mean(option, _OPTIONS)}\n  {USAGE}")
        elif name:
            raise BadOptions(f"%%track: unexpected '{word}'; put a name with spaces in quotes\n  {USAGE}")
        else:
            name = word
    return TrackOptions(name, tags, params, nested)


def transform_track(lines: list[str]) -> list[str]:
    """Replace the ``%%track`` line of a cell by a call of the magic.

    The kernel executes the rest as it executes any cell, so that ``await``, other magics, errors, line numbers and
    outputs are the same as without ``%%track``.
    """
    if not lines or not re.match(r"%%track(\s|$)", lines[0]):
        return lines
    from IPython.core.inputtransformer2 import cell_magic

    line = lines[0][len("%%track") :].strip()
    call = f"get_ipython().run_line_magic('track', {line!r})"
    body = lines[1:]
    # Python accepts these imports only as the first statements.
    last = max((i for i, text in enumerate(body) if _FUTURE.match(text.rstrip("\n"))), default=-1)
    if last >= 0:
        body[last] = f"{body[last].rstrip()}; {call}\n"
        return ["\n", *body]
    first = next((i for i, text in enumerate(body) if text.strip()), 0)
    return [call + "\n", *body[:first], *cell_magic(body[first:])]


class TrackMagic:
    """The magic ``%track``: starts a run, which ends with the cell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    def track(self, line: str, cell: str | None = None) -> None:
        """Track the cell as a run; see ``%%track --help``."""
        if cell is not None:
            # Called by a program, without the transformation of input.
            self._shell.run_cell(f"%%track {line}\n{cell}")
            return
        from IPython.core.error import UsageError

        try:
            options = parse_track_line(line)
        except BadOptions as error:
            raise UsageError(visible(str(error))) from None
        if options.help:
            sys.stdout.write(_HELP)
            return
        from mlops_workbench.capture.cells.watch import CellOptions

        chosen = CellOptions(options.name, options.tags, options.params, options.nested)
        shell_hooks(self._shell).track(chosen)


def register_track(shell: InteractiveShell) -> None:
    """Add ``%%track`` to an IPython session; a second call has no effect."""
    transforms: list[Any] = shell.input_transformers_cleanup
    if any(getattr(transform, "__name__", "") == transform_track.__name__ for transform in transforms):
        return
    shell.register_magic_function(TrackMagic(shell).track, "line_cell", "track")
    transforms.append(transform_track)
    shell_hooks(shell).register()


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text

"""``%%track``: an execution of a cell is a run."""

from __future__ import annotations

import ast
import re
import shlex
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_workbench.core.errors import did_you_mean

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from mlops_workbench.capture.cell import CellRun

USAGE = '%%track [NAME] [--tag K=V]... [--param K=V]... [--note "..."] [--nested]'

_OPTIONS = ("--tag", "--param", "--note", "--nested", "--help")
_NOTE = "mlflow.note.content"
_FUTURE = re.compile(r"\s*from\s+__future__\s+import\b[^(\\]*$")

_HELP = f"""{USAGE}

Run the cell as a run: its source, literal parameters, the settings and data of the estimators it fits, metrics
from scikit-learn, figures, output and outcome are recorded. Use log(...) for what cannot be seen.

  NAME         name of the run; by default one made from its id
  --tag K=V    a tag
  --param K=V  a parameter
  --note TEXT  a description
  --nested     make it a child of the run that is active
"""


class BadOptions(ValueError):
    """The line after ``%%track`` cannot be understood; the text says what to write."""


@dataclass(frozen=True)
class TrackOptions:
    """What the line after ``%%track`` says."""

    name: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    nested: bool = False
    help: bool = False


def parse_track_line(line: str) -> TrackOptions:
    """Understand the line after ``%%track``.

    Raises
    ------
    BadOptions
        An option is unknown, lacks its value, or a quote is not closed.
    """
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
                tags[_NOTE] = value
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
            raise BadOptions(f"%%track: '{word}' is one word too many; put a name with spaces in quotes\n  {USAGE}")
        else:
            name = word
    return TrackOptions(name, tags, params, nested)


def transform_track(lines: list[str]) -> list[str]:
    """Turn a cell that begins with ``%%track`` into a call in the place of that line, and the cell's own code.

    The code is executed by the kernel as any other cell, so that ``await``, other magics, errors, line numbers
    and what is shown are the same as without ``%%track``.
    """
    if not lines or not re.match(r"%%track(\s|$)", lines[0]):
        return lines
    from IPython.core.inputtransformer2 import cell_magic

    line = lines[0][len("%%track") :].strip()
    call = f"get_ipython().run_line_magic('track', {line!r})"
    body = lines[1:]
    # Python takes such imports only as the first statement.
    last = max((i for i, text in enumerate(body) if _FUTURE.match(text.rstrip("\n"))), default=-1)
    if last >= 0:
        body[last] = f"{body[last].rstrip()}; {call}\n"
        return ["\n", *body]
    first = next((i for i, text in enumerate(body) if text.strip()), 0)
    return [call + "\n", *body[:first], *cell_magic(body[first:])]


@dataclass
class _Execution:
    """A cell that executes now, and its run if it has one."""

    info: Any
    cell: CellRun | None = None


class Tracker:
    """Begins a run when ``%track`` is reached and ends it with the cell.

    Parameters
    ----------
    shell : InteractiveShell
        The IPython session.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._local = threading.local()

    def track(self, line: str, cell: str | None = None) -> None:
        """Make the cell a run; see ``%%track --help``."""
        if cell is not None:
            # Called by a program, past the transformation of input.
            self._shell.run_cell(f"%%track {line}\n{cell}")
            return
        from IPython.core.error import UsageError

        try:
            options = parse_track_line(line)
        except BadOptions as error:
            raise UsageError(str(error)) from None
        if options.help:
            sys.stdout.write(_HELP)
            return
        executions = self._executions()
        if not executions:
            # The extension was loaded by this very cell, after its beginning was announced.
            executions.append(_Execution(None))
        if executions[-1].cell is None:
            executions[-1].cell = _begin(self._shell, executions[-1].info, options)

    def before(self, info: Any) -> None:
        """A cell begins."""
        self._executions().append(_Execution(info))

    def after(self, result: Any = None) -> None:
        """A cell ended."""
        execution = self._take(result)
        if execution is None or execution.cell is None:
            return
        _end(self._shell, execution.cell, _error(result))

    def _executions(self) -> list[_Execution]:
        # Subshells of a kernel execute cells in threads of their own.
        if not hasattr(self._local, "executions"):
            self._local.executions = []
        return self._local.executions  # type: ignore[no-any-return]

    def _take(self, result: Any) -> _Execution | None:
        executions = self._executions()
        info = getattr(result, "info", None)
        for i in range(len(executions) - 1, -1, -1):
            if executions[i].info is info:
                found = executions[i]
                del executions[i:]
                return found
        if not executions:
            return None
        top = executions[-1].info
        # An interrupted cell comes with no result, or with one made anew.
        if info is None or top is None or info.raw_cell == top.raw_cell:
            return executions.pop()
        return None


def register_track(shell: InteractiveShell) -> None:
    """Add ``%%track`` to an IPython session; doing it twice changes nothing."""
    if any(getattr(transform, "__name__", "") == transform_track.__name__ for transform in _transforms(shell)):
        return
    tracker = Tracker(shell)
    shell.register_magic_function(tracker.track, "line_cell", "track")
    _transforms(shell).append(transform_track)
    shell.events.register("pre_run_cell", tracker.before)
    shell.events.register("post_run_cell", tracker.after)


def _transforms(shell: InteractiveShell) -> list[Any]:
    return shell.input_transformers_cleanup  # type: ignore[no-any-return]


def _begin(shell: Any, info: Any, options: TrackOptions) -> CellRun | None:
    from mlops_workbench.capture.cell import CellRun
    from mlops_workbench.capture.notices import notify
    from mlops_workbench.capture.observe.scope import parse_cell, unwrap_magics
    from mlops_workbench.capture.output import OutputTail
    from mlops_workbench.capture.place import cell_source
    from mlops_workbench.capture.session import current_session

    try:
        session = current_session()
        raw = info.raw_cell if info is not None else cell_source()
        around = session.current_run()
        # In a pipeline's stage every run belongs to the stage.
        parent = around if around is not None and (options.nested or around.joined) else None
        if options.nested and parent is None:
            notify("%%track --nested: no run is active, so this one has no parent")
        run = session.start_run(
            options.name,
            experiment=parent.experiment if parent is not None else "",
            parent_uid=parent.uid if parent is not None else "",
            cell_id=getattr(info, "cell_id", None) or "",
            tags=options.tags,
            source=raw,
        )
        if options.params:
            run.log_params(options.params)
        tree = unwrap_magics(parse_cell(shell.transform_cell(raw)), shell.transform_cell)
        cell = CellRun(session, run, tree, shell.user_ns, OutputTail(shell))
        cell.begin()
    except Exception as error:  # noqa: BLE001 this runs in the user's cell, which goes on without us
        notify(f"this cell could not be tracked ({type(error).__name__}: {error})")
        return None
    return cell


def _end(shell: Any, cell: CellRun, error: BaseException | None) -> None:
    from mlops_workbench.capture.card import card
    from mlops_workbench.capture.notices import notify

    try:
        cell.end(error)
        if cell.run.ended:
            shell.display_pub.publish(card(cell.run))
    except Exception as problem:  # noqa: BLE001 this runs in the user's cell, which is done
        notify(f"the end of this run could not be recorded ({type(problem).__name__}: {problem})")


def _error(result: Any) -> BaseException | None:
    if result is not None:
        return result.error_before_exec or result.error_in_exec  # type: ignore[no-any-return]
    # IPython gives no result for an `await` that was interrupted; the exception is on its way.
    return sys.exc_info()[1] or KeyboardInterrupt()


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text

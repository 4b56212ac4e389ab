"""The log of all executed cells of a session, with their changes to names."""

from __future__ import annotations

import ast
import asyncio
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mlops_workbench.capture.cells.execution import Execution
from mlops_workbench.capture.kernel.deferred import DeferredWork
from mlops_workbench.capture.kernel.place import notebook_path
from mlops_workbench.capture.provenance.contents import Contents
from mlops_workbench.capture.provenance.live_names import used_names
from mlops_workbench.capture.provenance.name_changes import changes_of, is_user_name
from mlops_workbench.capture.provenance.randomness import Randomness
from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.ids import new_id
from mlops_workbench.core.members import has, is_a
from mlops_workbench.core.records import CellExecuted
from mlops_workbench.core.secrets import mask
from mlops_workbench.notebooks.lineage.graph import DRAWN, RANDOM, Lineage, Step
from mlops_workbench.notebooks.names.cell_names import cell_names
from mlops_workbench.notebooks.names.nouns import CellNames, FunctionNames
from mlops_workbench.notebooks.source import parse_cell, unwrap_magics

#: Longest recorded source, in characters.
MAX_SOURCE = 1_000_000
#: Longest source in the record that is written before a cell runs.
_MAX_START_SOURCE = 2_000
_MAX_NAMES = 10_000
_MAX_HISTORY = 2_000


@dataclass(eq=False)
class _Entry:
    """An execution that is not recorded yet."""

    execution: Execution
    before: dict[str, int]
    random_state: str
    sign: CellExecuted
    outcome: tuple[str, str] = ("ok", "")
    run_uids: list[str] = field(default_factory=list)
    overlaps: bool = False
    done: bool = False


class CellLog:
    """Writes a `CellExecuted` for every execution.

    A preliminary record is written before the cell runs, so that it exists if the cell kills the kernel. The final
    record with the same uid follows shortly after the reply.

    Parameters
    ----------
    shell : InteractiveShell
        The IPython session.
    session : Session
        Recorder.
    deferred : DeferredWork
        Queue of work after the reply.

    Attributes
    ----------
    lineage : Lineage
        The executions so far, with unmasked sources.
    given : frozenset of str
        Names that existed before the first cell.
    """

    what = "the changes of this cell to names"

    def __init__(self, shell: Any, session: Session, deferred: DeferredWork) -> None:
        self.lineage = Lineage()
        self.given: frozenset[str] = frozenset()
        #: Names that the cells before the extension was loaded bind by their sources.
        self._earlier: set[str] = set()
        self._shell = shell
        self._session = session
        self._deferred = deferred
        self._functions: dict[str, FunctionNames] = {}
        self._contents = Contents()
        self._randomness = Randomness()
        self._begun = False
        self._notebook = ""
        # Subshells of a kernel execute cells in their own threads.
        self._local = threading.local()
        self._running: list[_Entry] = []
        #: Runs that ended in the cell that loaded the extension.
        self._unplaced: list[str] = []
        self._lock = threading.RLock()
        session.run_ended.append(self._run_ended)

    def before(self, execution: Execution) -> None:
        """Write the preliminary record of a cell."""
        if not self._begun:
            self._begun = True
            self._catch_up(execution)
        digest, state = self._randomness.read(execution.start.generators)
        if state is not None:
            self._session.write(state)
        sign = CellExecuted(
            uid=execution.uid,
            count=execution.count,
            cell_id=execution.cell_id,
            source=mask(execution.source[:_MAX_START_SOURCE]),
            started_ms=execution.started_ms,
            duration_us=0,
            status="running",
            notebook=self._notebook,
            random_state=digest,
        )
        self._session.write(sign)
        entry = _Entry(execution, execution.ids(), digest, sign)
        mine = self._entries()
        if others := [other for other in list(self._running) if other not in mine]:
            # Another thread executes a cell at the same time: their changes are attributed by the sources.
            for each in (entry, *others):
                each.overlaps = True
        self._running.append(entry)
        mine.append(entry)

    def after(self, execution: Execution) -> None:
        """Record a cell, at once if its run needs the record, else after the reply."""
        entries = self._entries()
        entry = next((entry for entry in reversed(entries) if entry.execution is execution), None)
        if entry is None:
            # The cell loaded the extension: the namespace before it is unknown.
            self.before(execution)
            entry = entries[-1]
            if self.names_of(execution.source).opaque:
                entry.before = {name: value for name, value in entry.before.items() if name in self._earlier}
            entry.run_uids += self._unplaced
            self._unplaced.clear()
        for ended in entries[entries.index(entry) :]:
            entries.remove(ended)
            self._running.remove(ended)
        self._local.last = entry
        entry.outcome = _outcome(execution.error)
        if entry.run_uids or entries:
            # Before an outer cell continues, whose changes must not be attributed to this one.
            self._finish(entry)
        else:
            self._deferred.add(self.what, lambda: self._finish(entry))

    def runs_of(self, execution: Execution) -> list[str]:
        """Return the uids of the runs of the last execution, if its record is written."""
        last: _Entry | None = getattr(self._local, "last", None)
        return list(last.run_uids) if last is not None and last.execution is execution and last.done else []

    def names_of(self, source: str) -> CellNames:
        """Return the names in a source."""
        return cell_names(self._tree(source), self._parse)

    def _finish(self, entry: _Entry) -> None:
        with self._lock:
            if entry.done:
                return
            entry.done = True
            # A client may set the path of the notebook by a cell.
            self._notebook = notebook_path()
            try:
                record, step = self._record(entry, entry.execution.tree)
            except RecursionError:
                # An expression with thousands of levels: use only the namespace.
                record, step = self._record(entry, None)
            self._session.write(msgspec.structs.replace(record, source=self._masked(entry, record)))
            self.lineage.add(step)

    def _record(self, entry: _Entry, tree: ast.Module | None) -> tuple[CellExecuted, Step]:
        execution, values = entry.execution, entry.execution.names
        status, error = entry.outcome
        names = cell_names(tree, self._parse, lambda name: _path(values.get(name)))
        self._functions = {**self._functions, **names.functions} if names.functions else self._functions
        known = entry.before.keys() | values.keys()
        for name in list(names.reads):
            if name in values and is_user_name(name):
                names.use(name, used_names(values[name], values, known))
        changes = changes_of(
            names,
            entry.before,
            values,
            functions=self._functions,
            compare=self._contents.compare,
            completed=status == "ok",
            overlaps=entry.overlaps,
        )
        effects = [*names.effects]
        if self._randomness.digest == entry.random_state:
            seeded = RANDOM in effects
            effects += [DRAWN + library for library in self._randomness.changed_libraries(seeded=seeded)]
        record = msgspec.structs.replace(
            entry.sign,
            source=execution.source[:MAX_SOURCE],
            duration_us=max(0, round(execution.seconds * 1e6)),
            status=status,
            error=error,
            reads=_listed(changes.reads),
            writes=_listed(changes.writes),
            deletes=_listed(changes.deletes),
            kills=_listed(changes.kills),
            effects=effects[:_MAX_NAMES],
            run_uids=entry.run_uids,
        )
        return record, Step(
            record,
            rebound=frozenset(changes.rebound),
            unsure=frozenset(changes.unsure),
            slots={name: frozenset(keys) for name, keys in changes.slots.items()},
            repeats=frozenset(changes.repeats),
            own=frozenset(names.reads) - names.exposed,
        )

    def _masked(self, entry: _Entry, record: CellExecuted) -> str:
        source = entry.execution.source
        # The long queries of variables that editors send after each cell have no effects that others depend on.
        effective = record.writes or record.deletes or record.effects or record.run_uids
        if len(source) <= _MAX_START_SOURCE or not (record.count or effective):
            return entry.sign.source
        return mask(source[:MAX_SOURCE])

    def _catch_up(self, execution: Execution) -> None:
        """Record the cells that ran before the extension was loaded, from IPython's history."""
        self._notebook = notebook_path()
        history = getattr(getattr(self._shell, "history_manager", None), "input_hist_raw", None) or []
        earlier = list(enumerate(history))[1:][-_MAX_HISTORY:]
        ran = [
            (count, source, self.names_of(source))
            for count, source in earlier
            if source and not (execution.count and count >= execution.count)
        ]
        for _, _, names in ran:
            self._earlier |= names.writes
        # This cell may have loaded the extension, and its own names exist already.
        own = self.names_of(execution.source) if execution.info is None else CellNames()
        hidden = getattr(self._shell, "user_ns_hidden", {})
        made = {name for name in execution.ids() if is_user_name(name) and name not in hidden}
        # Of a star import, exec or %run the source does not show the names.
        others = made - self._earlier - own.writes
        for count, source, names in ran:
            self._functions.update(names.functions)
            writes = names.writes | others if names.opaque else names.writes
            record = CellExecuted(
                uid=new_id(), count=count, cell_id="", source=source[:MAX_SOURCE], started_ms=execution.started_ms,
                duration_us=0, status="unknown", notebook=self._notebook, reads=_listed(names.reads),
                writes=_listed(writes), deletes=_listed(names.deletes),
                kills=_listed(names.kills), effects=names.effects[:_MAX_NAMES],
            )  # fmt: skip
            self._session.write(msgspec.structs.replace(record, source=mask(record.source)))
            own = frozenset(names.reads) - names.exposed
            self.lineage.add(Step(record, repeats=frozenset(names.repeats), own=own))
        if execution.info is not None and not any(names.opaque for _, _, names in ran):
            self.given = frozenset(others)

    def _run_ended(self, run: Any) -> None:
        # A run that ends in another thread belongs to the running cell, if there is only one.
        entries = self._entries() or (list(self._running) if len(self._running) == 1 else [])
        if entries:
            entries[-1].run_uids.append(run.uid)
        elif not self._begun:
            self._unplaced.append(run.uid)

    def _parse(self, source: str) -> Any:
        return parse_cell(self._shell.transform_cell(source))

    def _tree(self, source: str) -> Any:
        return unwrap_magics(self._parse(source), self._shell.transform_cell)

    def _entries(self) -> list[_Entry]:
        if not hasattr(self._local, "entries"):
            self._local.entries = []
        return self._local.entries  # type: ignore[no-any-return]


def _listed(names: Iterable[str]) -> list[str]:
    return sorted(names)[:_MAX_NAMES]


def _outcome(error: BaseException | None) -> tuple[str, str]:
    if error is None:
        return "ok", ""
    stopped = isinstance(error, KeyboardInterrupt | asyncio.CancelledError)
    try:
        text = mask(f"{type(error).__name__}: {error}"[:_MAX_START_SOURCE])
    except BaseException:  # noqa: BLE001 __str__ of a user's class
        text = type(error).__name__
    return "interrupted" if stopped else "failed", text


def _path(value: Any) -> str:
    if is_a(value, str):
        return value if len(value) < 1000 and "\n" not in value else ""
    return str(value) if type(value).__module__.startswith("pathlib") and has(value, "__fspath__") else ""

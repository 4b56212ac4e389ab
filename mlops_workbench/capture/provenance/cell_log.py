"""The log of a session's cells: every execution, tracked or not, with what it did to names."""

from __future__ import annotations

import ast
import asyncio
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mlops_workbench.capture.cells.execution import Execution
from mlops_workbench.capture.kernel.deferred import DeferredWork
from mlops_workbench.capture.kernel.place import notebook_path
from mlops_workbench.capture.provenance.contents import Contents
from mlops_workbench.capture.provenance.live_names import used_names
from mlops_workbench.capture.provenance.mutations import mutations
from mlops_workbench.capture.provenance.randomness import Randomness
from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.ids import new_id
from mlops_workbench.core.members import has, is_a
from mlops_workbench.core.records import CellExecuted
from mlops_workbench.core.secrets import mask
from mlops_workbench.notebooks.lineage.graph import DRAWN, Lineage, Step
from mlops_workbench.notebooks.names.cell_names import cell_names
from mlops_workbench.notebooks.names.nouns import CellNames, FunctionNames
from mlops_workbench.notebooks.source import parse_cell, unwrap_magics

#: Characters of a source that are kept.
MAX_SOURCE = 1_000_000
#: Characters of the sign that a cell runs, which is written before it does.
_MAX_SIGN = 2_000
_MAX_NAMES = 10_000
_MAX_HISTORY = 2_000

#: Names that IPython keeps for itself. Outputs by their number are followed: they are another cell's.
_IPYTHONS = re.compile(r"_+|_i+|_i\d+|_\d+|_[iod]h|In|Out|exit|quit|get_ipython|open|__\w+__|__vsc_ipynb_file__")
_OUTPUT = re.compile(r"_+|_\d+")


@dataclass(eq=False)
class _Entry:
    """An execution between its beginning and its record."""

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

    A sign that the cell runs is in the journal before it does, so that a cell that takes the kernel with it is
    known; the record that follows under the same uid, shortly after the reply, tells how it ended and what it did.

    Parameters
    ----------
    shell : InteractiveShell
        The IPython session.
    session : Session
        Where records go.
    deferred : DeferredWork
        Takes what may wait for the reply.

    Attributes
    ----------
    lineage : Lineage
        What is known so far; sources in it are as typed.
    given : frozenset of str
        Names that were there before the first cell and that no cell made.
    """

    what = "what this cell did to names"

    def __init__(self, shell: Any, session: Session, deferred: DeferredWork) -> None:
        self.lineage = Lineage()
        self.given: frozenset[str] = frozenset()
        self._shell = shell
        self._session = session
        self._deferred = deferred
        self._functions: dict[str, FunctionNames] = {}
        self._contents = Contents()
        self._randomness = Randomness()
        self._begun = False
        self._notebook = ""
        # Subshells of a kernel execute cells in threads of their own.
        self._local = threading.local()
        self._under_way: list[_Entry] = []
        self._lock = threading.RLock()
        session.run_ended.append(self._run_ended)

    def before(self, execution: Execution) -> None:
        """Write the sign that a cell runs."""
        if not self._begun:
            self._begun = True
            self._catch_up(execution)
        digest, state = self._randomness.look()
        if state is not None:
            self._session.write(state)
        sign = CellExecuted(
            uid=execution.uid,
            count=execution.count,
            cell_id=execution.cell_id,
            source=mask(execution.source[:_MAX_SIGN]),
            started_ms=execution.started_ms,
            duration_us=0,
            status="running",
            notebook=self._notebook,
            random_state=digest,
        )
        self._session.write(sign)
        names = execution.names
        entry = _Entry(execution, dict(zip(names, map(id, names.values()), strict=False)), digest, sign)
        mine = self._entries()
        if others := [other for other in list(self._under_way) if other not in mine]:
            # Another thread executes a cell: which of the two bound a name only the sources tell.
            for each in (entry, *others):
                each.overlaps = True
        self._under_way.append(entry)
        mine.append(entry)

    def after(self, execution: Execution) -> None:
        """Look at what a cell did, now if its run is to be judged by it, else after the reply."""
        entries = self._entries()
        entry = next((entry for entry in reversed(entries) if entry.execution is execution), None)
        if entry is None:
            # It loaded the extension itself: what was before it is not known.
            self.before(execution)
            entry = entries[-1]
            if execution.run is not None:
                entry.run_uids.append(execution.run.uid)
        for ended in entries[entries.index(entry) :]:
            entries.remove(ended)
            self._under_way.remove(ended)
        self._local.last = entry
        entry.outcome = _outcome(execution.error)
        if entry.run_uids or entries:
            # Inside another cell, what follows in that one must not be taken for its doing.
            self._finish(entry)
        else:
            self._deferred.add(self.what, lambda: self._finish(entry))

    def runs_of(self, execution: Execution) -> list[str]:
        """Uids of the runs of an execution that has just ended, whose record is written by now."""
        last: _Entry | None = getattr(self._local, "last", None)
        return list(last.run_uids) if last is not None and last.execution is execution and last.done else []

    def names_of(self, source: str) -> CellNames:
        """What a source alone tells."""
        return cell_names(self._tree(source), self._parse)

    def _finish(self, entry: _Entry) -> None:
        with self._lock:
            if entry.done:
                return
            entry.done = True
            # A client may tell where the notebook is by a cell of its own.
            self._notebook = notebook_path()
            try:
                record, step = self._record(entry, entry.execution.tree)
            except RecursionError:
                # An expression thousands of levels deep: what it did shows in the names alone.
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
            if name in values and _is_user_name(name):
                names.use(name, used_names(values[name], values, known))
        new, gone, rebound = _difference(entry.before, values)
        if entry.overlaps and not names.opaque:
            new, gone, rebound = new & names.writes, gone & names.deletes, rebound & names.writes
        changed = mutations(names, values, self._functions)
        bound_anew = new | rebound | (names.writes - names.updates)
        touched = filter(_is_user_name, bound_anew | names.updates | names.reads.keys())
        altered, unaltered = self._contents.compare(touched, values)
        if not entry.overlaps:
            changed.settle(altered - bound_anew, unaltered - bound_anew, names.updates)
        effects = [*names.effects]
        if self._randomness.digest == entry.random_state:
            effects += [DRAWN + library for library in self._randomness.moved()]
        bound = {name for name in names.writes if name in values}
        made = bound | changed.sure | changed.maybe | new | rebound
        writes = {name for name in made | self._aliases(changed.sure | names.updates, values) if _is_user_name(name)}
        kills = names.kills & writes
        if status != "ok":
            # It is not known how far it came: what holds another object was bound.
            kills &= new | rebound
        reads = [name for name in names.reads if name in known and _is_user_name(name)]
        reads += [name for name in names.reads if _OUTPUT.fullmatch(name) and name in values]
        record = msgspec.structs.replace(
            entry.sign,
            source=execution.source[:MAX_SOURCE],
            duration_us=max(0, round(execution.seconds * 1e6)),
            status=status,
            error=error,
            reads=sorted(reads)[:_MAX_NAMES],
            writes=sorted(writes)[:_MAX_NAMES],
            deletes=sorted(name for name in gone if _is_user_name(name))[:_MAX_NAMES],
            kills=sorted(kills)[:_MAX_NAMES],
            effects=effects[:_MAX_NAMES],
            run_uids=entry.run_uids,
        )
        in_place = names.updates | changed.sure
        step = Step(
            record,
            rebound=frozenset(rebound | new),
            unsure=frozenset(
                (changed.maybe - names.writes - rebound)
                | (names.writes - in_place - names.kills - rebound - new if status == "ok" else writes - rebound - new)
            ),
            slots={name: frozenset(keys) for name, keys in self._slots(names, changed.slots).items()},
            repeats=frozenset((names.repeats & (in_place | rebound | new)) | changed.repeats),
        )
        return record, step

    def _slots(self, names: CellNames, called: Mapping[str, set[object]]) -> dict[str, set[object]]:
        slots = {name: set(keys) for name, keys in names.slots.items()}
        for name, keys in called.items():
            if name not in slots:
                slots[name] = keys
            elif slots[name]:
                slots[name] |= keys
        return slots

    def _aliases(self, names: set[str], values: Mapping[str, Any]) -> set[str]:
        """Other names of objects that were changed in place."""
        changed = {id(values[name]) for name in names if name in values}
        return {name for name, value in list(values.items()) if id(value) in changed} if changed else set()

    def _masked(self, entry: _Entry, record: CellExecuted) -> str:
        source = entry.execution.source
        # What an editor asks about each variable after each cell is as long as a module; nothing can rest on it.
        left_something = record.writes or record.deletes or record.effects or record.run_uids
        if len(source) <= _MAX_SIGN or not (record.count or left_something):
            return entry.sign.source
        return mask(source[:MAX_SOURCE])

    def _catch_up(self, execution: Execution) -> None:
        """Take in the cells that ran before the extension was there; IPython kept their sources."""
        self._notebook = notebook_path()
        history = getattr(getattr(self._shell, "history_manager", None), "input_hist_raw", None) or []
        earlier = list(enumerate(history))[1:][-_MAX_HISTORY:]
        made: set[str] = set()
        for count, source in earlier:
            if not source or (execution.count and count >= execution.count):
                continue
            names = self.names_of(source)
            self._functions.update(names.functions)
            record = CellExecuted(
                uid=new_id(), count=count, cell_id="", source=source[:MAX_SOURCE], started_ms=execution.started_ms,
                duration_us=0, status="unknown", notebook=self._notebook, reads=sorted(names.reads)[:_MAX_NAMES],
                writes=sorted(names.writes)[:_MAX_NAMES], deletes=sorted(names.deletes)[:_MAX_NAMES],
                kills=sorted(names.kills)[:_MAX_NAMES], effects=names.effects[:_MAX_NAMES],
            )  # fmt: skip
            made |= names.writes
            self._session.write(msgspec.structs.replace(record, source=mask(record.source)))
            self.lineage.add(Step(record, repeats=frozenset(names.repeats)))
        if execution.info is None:
            # This very cell loaded the extension: what it made itself is there already.
            return
        hidden = getattr(self._shell, "user_ns_hidden", {})
        self.given = frozenset(
            name for name in execution.names if _is_user_name(name) and name not in made and name not in hidden
        )

    def _run_ended(self, run: Any) -> None:
        # A run that ends in a thread of a cell is the cell's, if there is no doubt which one's.
        entries = self._entries() or (list(self._under_way) if len(self._under_way) == 1 else [])
        if entries:
            entries[-1].run_uids.append(run.uid)

    def _parse(self, source: str) -> Any:
        return parse_cell(self._shell.transform_cell(source))

    def _tree(self, source: str) -> Any:
        return unwrap_magics(self._parse(source), self._shell.transform_cell)

    def _entries(self) -> list[_Entry]:
        if not hasattr(self._local, "entries"):
            self._local.entries = []
        return self._local.entries  # type: ignore[no-any-return]


def _difference(before: Mapping[str, int], values: Mapping[str, Any]) -> tuple[set[str], set[str], set[str]]:
    """Names that are new, gone, and bound to another object than before."""
    known = before.get
    bound = [name for name, value in list(values.items()) if known(name) != id(value)]
    users = {name for name in bound if _is_user_name(name)}
    new = {name for name in users if name not in before}
    return new, before.keys() - values.keys(), users - new


def _is_user_name(name: object) -> bool:
    return isinstance(name, str) and _IPYTHONS.fullmatch(name) is None


def _outcome(error: BaseException | None) -> tuple[str, str]:
    if error is None:
        return "ok", ""
    stopped = isinstance(error, KeyboardInterrupt | asyncio.CancelledError)
    try:
        text = mask(f"{type(error).__name__}: {error}"[:_MAX_SIGN])
    except BaseException:  # noqa: BLE001 the user's own __str__
        text = type(error).__name__
    return "interrupted" if stopped else "failed", text


def _path(value: Any) -> str:
    if is_a(value, str):
        return value if len(value) < 1000 and "\n" not in value else ""
    return str(value) if type(value).__module__.startswith("pathlib") and has(value, "__fspath__") else ""

"""Lists of runs: SQL for filter, order and page that is fast with a hundred thousand runs.

Two plans for the first page:

* a condition that few runs meet (or a small experiment) *drives*: its runs are looked up and sorted;
* otherwise the *order* drives: an index gives the runs in order, conditions are checked run by run, and reading
  stops when the page is full. Runs without the value they are ordered by come after those that have it.

The plan is chosen by counting at most `RARE` entries of an index.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.tags import (
    ERROR,
    EXPERIMENT,
    KIND,
    NOTE,
    NOTEBOOK,
    PARENT_RUN_ID,
    PARENT_UID,
    RUN_NAME,
    RUN_UID,
    SOURCE_NAME,
    SOURCE_TYPE,
    USER,
)
from mlops_workbench.tracking.index.filter import Condition, parse_identifier
from mlops_workbench.tracking.mapping.values import MAX_INT
from mlops_workbench.tracking.sqlite import Query

RUN_COLUMNS = (
    "r.uid, r.run_id, r.experiment, r.name, r.kind, r.status, r.start_ms, r.end_ms, r.parent_uid, r.notebook, r.error,"
    " r.origin, r.user"
)
#: Up to this many runs are sorted faster than looked up in order.
RARE = 3000

_ATTRIBUTES = {
    "run_name": "r.name",
    "status": "r.status",
    "user_id": "nullif(r.user, '')",
    "start_time": "r.start_ms",
    "end_time": "nullif(r.end_ms, 0)",
    "experiment": "r.experiment",
    "kind": "r.kind",
    "notebook": "r.notebook",
    "duration": "CASE WHEN r.end_ms > 0 THEN (r.end_ms - r.start_ms) / 1000.0 END",
}


def _tag(name: str, otherwise: str) -> str:
    """A tag as it was set, else the value that delivery writes."""
    return f"coalesce((SELECT t.value FROM tags t WHERE t.uid = r.uid AND t.name = '{name}'), {otherwise})"


#: Tags that MLflow has of a run and the index keeps in columns, or derives.
_TAGS = {
    RUN_NAME: "nullif(r.name, '')",
    USER: _tag(USER, "nullif(r.user, '')"),
    PARENT_RUN_ID: _tag(PARENT_RUN_ID, "(SELECT nullif(p.run_id, '') FROM runs p WHERE p.uid = r.parent_uid)"),
    NOTE: _tag(
        NOTE,
        "CASE r.origin WHEN '' THEN (SELECT t.value FROM tags t WHERE t.uid = r.uid AND t.name = 'note') END",
    ),
    SOURCE_TYPE: _tag(
        SOURCE_TYPE,
        "CASE r.origin WHEN '' THEN CASE r.notebook WHEN '' THEN 'LOCAL' ELSE 'NOTEBOOK' END END",
    ),
    SOURCE_NAME: _tag(
        SOURCE_NAME,
        "CASE r.origin WHEN '' THEN nullif(r.notebook, '') END",
    ),
    RUN_UID: "r.uid",
    KIND: "nullif(r.kind, '')",
    EXPERIMENT: "nullif(r.experiment, '')",
    PARENT_UID: "nullif(r.parent_uid, '')",
    NOTEBOOK: "nullif(r.notebook, '')",
    ERROR: "nullif(r.error, '')",
}


@dataclass(frozen=True)
class Clause:
    """A condition on a run `r`; `among` selects the uids of the runs that meet it."""

    sql: str
    values: tuple[Any, ...]
    among: str = ""
    among_values: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Source:
    """Runs in the order of an index: the text after FROM, a condition, and the order."""

    tables: str
    where: str
    values: tuple[Any, ...]
    order: str


@dataclass(frozen=True)
class Statement:
    """A statement of a plan with its values; `page` takes limit and offset last."""

    page: str
    count: str
    values: tuple[Any, ...]


def search(
    query: Query, clauses: Sequence[Clause], order_by: str, *, descending: bool, limit: int, offset: int
) -> list[tuple[Any, ...]]:
    """Rows of `RUN_COLUMNS` of the runs that meet all clauses, one page of them."""
    limit, offset = min(limit, MAX_INT), min(offset, MAX_INT)
    rows: list[tuple[Any, ...]] = []
    for statement in plan(query, clauses, order_by, descending=descending):
        found = query(statement.page, (*statement.values, limit - len(rows), offset))
        rows += found
        if len(rows) >= limit:
            break
        if offset and found:
            offset = 0
        elif offset:
            offset -= min(offset, query(statement.count, statement.values)[0][0])
    return rows


def plan(query: Query, clauses: Sequence[Clause], order_by: str, *, descending: bool) -> list[Statement]:
    """The statements that select the runs, one after the other.

    Raises
    ------
    InvalidInput
        `order_by` is not valid.
    """
    kind, name = _order(order_by)
    direction = "DESC" if descending else "ASC"
    rare = _rarest(query, clauses)
    if rare is not None:
        driver = f"({rare.among}) d CROSS JOIN runs r ON r.uid = d.uid"
        rest = [clause for clause in clauses if clause is not rare]
        return [_statement(_sorted(driver, rare.among_values, kind, name, direction), rest)]
    if _column(kind, name):
        return [_statement(_sorted("runs r", (), kind, name, direction), clauses)]
    return [_statement(source, clauses) for source in _ordered(kind, name, direction)]


def clause(condition: Condition) -> Clause:
    """The SQL of a condition of the filter language."""
    kind, name, operator, value = condition.kind, condition.name, condition.operator, condition.value
    if kind == "attributes" and name == "run_id":
        uid, run_id = _compare("r.uid", operator, value), _compare("r.run_id", operator, value)
        word = "AND" if operator in ("!=", "NOT IN") else "OR"
        return Clause(f"({uid[0]} {word} {run_id[0]})", (*uid[1], *run_id[1]))
    if kind == "attributes":
        return Clause(*_compare(_ATTRIBUTES[name], operator, value))
    if kind == "tags":
        value = tuple(map(str, value)) if isinstance(value, tuple) else value if value is None else str(value)
        if name in _TAGS:
            return Clause(*_compare(_TAGS[name], operator, value))
    if kind == "datasets":
        sql, values = _compare(f"v.{name}", operator, value)
        return Clause(f"EXISTS (SELECT 1 FROM datasets v WHERE v.uid = r.uid AND {sql})", values)
    if operator in ("IS NULL", "IS NOT NULL"):
        word = "NOT EXISTS" if operator == "IS NULL" else "EXISTS"
        return Clause(f"{word} (SELECT 1 FROM {kind} v WHERE v.uid = r.uid AND v.name = ?)", (name,))
    sql, values = _compare_values(kind, operator, value)
    return Clause(
        f"EXISTS (SELECT 1 FROM {kind} v WHERE v.uid = r.uid AND v.name = ? AND {sql})",
        (name, *values),
        among=f"SELECT v.uid FROM {kind} v WHERE v.name = ? AND {sql}",
        among_values=(name, *values),
    )


def column_clause(column: str, value: str) -> Clause:
    """Runs with this value in a column of their own: ``experiment name status kind parent_uid``."""
    indexed = column in ("experiment", "name") or (column == "parent_uid" and value)
    return Clause(
        f"r.{column} = ?", (value,), among=f"SELECT uid FROM runs WHERE {column} = ?" if indexed else "",
        among_values=(value,) if indexed else (),
    )  # fmt: skip


def kind_clause(kind: str) -> Clause:
    """Runs of this kind; a whole notebook (``notebook``) that was run is a ``run`` too."""
    return column_clause("kind", kind) if kind != "run" else Clause("r.kind IN ('run', 'notebook')", ())


#: Runs that are not part of another run, as the candidates of a search are; runs in a stage of a pipeline are included.
NOT_NESTED = Clause("NOT EXISTS (SELECT 1 FROM runs p WHERE p.uid = r.parent_uid AND p.kind = 'run')", ())


def _compare_values(kind: str, operator: str, value: Any) -> tuple[str, tuple[Any, ...]]:
    if kind == "metrics":
        sql, values = _compare("v.value", operator, value)
        # As in MLflow: NaN differs from everything.
        return (f"({sql} OR v.value IS NULL)" if operator == "!=" else sql), values
    if kind == "tags":
        return _compare("v.value", operator, value)
    items = value if isinstance(value, tuple) else (value,)
    numbers = tuple(item for item in items if not isinstance(item, str))
    if not numbers:
        return _compare("v.value", operator, value)
    if operator in ("IN", "NOT IN"):
        texts = tuple(item for item in items if isinstance(item, str))
        number_sql, number_values = _compare("v.number", "IN", numbers)
        text_sql, text_values = _compare("v.value", "IN", texts) if texts else ("0", ())
        found = f"(coalesce({number_sql}, 0) OR {text_sql})"
        return (f"NOT {found}" if operator == "NOT IN" else found), (*number_values, *text_values)
    sql, values = _compare("v.number", operator, value)
    return (f"({sql} OR v.number IS NULL)" if operator == "!=" else sql), values


def _compare(column: str, operator: str, value: Any) -> tuple[str, tuple[Any, ...]]:
    if operator in ("IS NULL", "IS NOT NULL"):
        return f"{column} {operator}", ()
    if operator in ("IN", "NOT IN"):
        items = tuple(_bound(item) for item in value)
        return f"{column} {operator} ({', '.join('?' * len(items))})", items
    if operator == "ILIKE":
        return f"lower({column}) LIKE lower(?)", (value,)
    return f"{column} {operator} ?", (_bound(value),)


def _bound(value: Any) -> Any:
    # An int outside the range of the database is compared as the nearest double.
    return float(value) if isinstance(value, int) and abs(value) > MAX_INT else value


def _rarest(query: Query, clauses: Iterable[Clause]) -> Clause | None:
    fewest, found = RARE + 1, None
    for clause in clauses:
        if not clause.among:
            continue
        counted = query(f"SELECT count(*) FROM ({clause.among} LIMIT {fewest})", clause.among_values)[0][0]
        if counted < fewest:
            fewest, found = counted, clause
    return found


def _order(order_by: str) -> tuple[str, str]:
    try:
        kind, name = parse_identifier(order_by)
    except InvalidInput as error:
        raise InvalidInput(
            f"runs cannot be ordered by '{order_by}'",
            hint=f"{error.hint}; use start, end, name, status, experiment, duration, metrics.NAME, params.NAME or"
            " tags.NAME",
        ) from None
    if kind == "datasets":
        raise InvalidInput("runs cannot be ordered by data sets", hint="filter by datasets.name instead")
    return kind, name


def _ordered(kind: str, name: str, direction: str) -> list[Source]:
    def within(index: str, where: str, *columns: str) -> Source:
        return Source(
            f"{kind} o INDEXED BY {index} CROSS JOIN runs r ON r.uid = o.uid",
            f"o.name = ? AND {where}",
            (name,),
            ", ".join(f"o.{column} {direction}" for column in (*columns, "uid")),
        )

    if kind == "metrics":
        with_value = [within("metrics_by_value", "o.value IS NOT NULL", "value")]
        known = "o.value IS NOT NULL"
    elif kind == "params":
        with_value = [
            within("params_by_number", "o.number IS NOT NULL", "number", "value"),
            within("params_by_number", "o.number IS NULL", "value"),
        ]
        known = "1"
    else:
        with_value, known = [within("tags_by_value", "1", "value")], "1"
    without = Source(
        "runs r",
        f"NOT EXISTS (SELECT 1 FROM {kind} o WHERE o.uid = r.uid AND o.name = ? AND {known})",
        (name,),
        f"r.start_ms {direction}, r.uid {direction}",
    )
    return [*with_value, without]


def _column(kind: str, name: str) -> str:
    """SQL of a value that the index has as a column or derives from columns, else empty."""
    if kind == "attributes":
        return "r.uid" if name == "run_id" else _ATTRIBUTES[name]
    return _TAGS.get(name, "") if kind == "tags" else ""


def _sorted(driver: str, values: tuple[Any, ...], kind: str, name: str, direction: str) -> Source:
    tail = f"r.start_ms {direction}, r.uid {direction}"
    if column := _column(kind, name):
        order = (
            tail if (kind, name) == ("attributes", "start_time") else f"{column} IS NULL, {column} {direction}, {tail}"
        )
        return Source(driver, "1", values, order)
    present = {
        "metrics": "o.value IS NULL",
        "params": "o.value IS NULL, o.number IS NULL, o.number {}",
        "tags": "o.value IS NULL",
    }
    return Source(
        f"{driver} LEFT JOIN {kind} o ON o.uid = r.uid AND o.name = ?",
        "1",
        (*values, name),
        f"{present[kind].format(direction)}, o.value {direction},"
        f" CASE WHEN o.value IS NULL THEN r.start_ms END {direction}, r.uid {direction}",
    )


def _statement(source: Source, clauses: Iterable[Clause]) -> Statement:
    where, values = ["r.started = 1", source.where], list(source.values)
    for clause in clauses:
        where.append(clause.sql)
        values += clause.values
    what = f"FROM {source.tables} WHERE {' AND '.join(where)}"
    return Statement(
        f"SELECT {RUN_COLUMNS} {what} ORDER BY {source.order} LIMIT ? OFFSET ?",
        f"SELECT count(*) {what}",
        tuple(values),
    )

"""The card as headings, facts and tables, which every rendering shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mlops_workbench.core.model_card import CardColumn, CardDataset, CardInput, ModelCard
from mlops_workbench.core.releases import Quarantine
from mlops_workbench.core.shown.formats import NOTHING, change, number
from mlops_workbench.core.wire.json_numbers import JsonNumber, real_number
from mlops_workbench.registry.cards.free_text import FIELDS

#: Most rows of a table, and values of a column, that are shown; the JSON has all.
_MOST_ROWS, _MOST_VALUES, _MOST_TEXT = 200, 12, 200
_ZEROS = re.compile(r"\.0+\Z")
_HIDDEN = "personal or secret"

#: A text, or a number with the digits that are shown of it; None for an unknown value.
Shown = str | int | float | bool | None


@dataclass(frozen=True)
class Section:
    """A part of the card.

    Attributes
    ----------
    heading : str
        Its heading.
    facts : sequence of (name, value)
        Shown first.
    columns, rows : sequence
        A table.
    notes : sequence of str
        Sentences of ours about it.
    written : str
        What a person wrote: Markdown.
    alert : bool
        Whether somebody has to do something about it.
    """

    heading: str
    facts: Sequence[tuple[str, Shown]] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Shown]] = ()
    notes: Sequence[str] = ()
    written: str = ""
    alert: bool = False

    def __bool__(self) -> bool:
        return bool(self.facts or self.rows or self.notes or self.written)


def title(card: ModelCard) -> str:
    """Heading of the card."""
    return f"{card.name}/{card.version}"


def card_sections(card: ModelCard) -> list[Section]:
    """The parts of a card, those without content left out."""
    parts = [
        _summary(card),
        *_written(card),
        _metrics(card),
        _gate(card),
        _slices(card),
        _importance(card),
        _inputs(card),
        _outputs(card),
        *map(_training, card.training),
        _other_data(card),
        _golden(card),
        _table("Parameters", ("parameter", "value"), [(name, value) for name, value in card.params.items()]),
        _lineage(card),
        _changes(card),
        _software(card),
        Section("Not known", notes=[_one_line(note) for note in card.notes]),
    ]
    return [part for part in parts if part]


def shown(value: Shown) -> str:
    """A value as text."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else number(value)


def is_number(value: Shown) -> bool:
    """Whether a value is aligned as a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def utc(at_ms: int) -> str:
    """A moment in UTC, so that a card is the same everywhere."""
    if not at_ms:
        return ""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        # Beyond the years 1 to 9999.
        return str(at_ms)


def _summary(card: ModelCard) -> Section:
    signed = {
        "none": "no",
        "trusted": "by a trusted key, with which its files are compared when it is loaded",
        "unknown": "by an unknown key",
        "wrong": "wrong signature",
    }
    return Section(
        "Summary",
        facts=[
            ("version", title(card)),
            ("digest", card.digest),
            ("registered", utc(card.created_ms)),
            ("author", card.author),
            ("estimator", card.estimator),
            ("format", card.format),
            ("task", card.task),
            *([("answered by", str(card.runtime))] if card.runtime is not None else []),
            ("aliases", ", ".join(card.lineage.aliases)),
            ("signed", " ".join(filter(None, (signed[card.signature], card.signed_by)))),
            *([("cannot be deployed", card.problem)] if card.problem else []),
            *([("in quarantine", _quarantine(card.quarantine))] if card.quarantine is not None else []),
        ],
        alert=card.quarantine is not None,
    )


def _quarantine(found: Quarantine) -> str:
    return f"{_one_line(found.reason)} (rolled back by {_one_line(found.by)}, {utc(found.at_ms)})"


def _written(card: ModelCard) -> list[Section]:
    parts = [Section(heading, written=getattr(card.text, name)) for name, (heading, _) in FIELDS.items()]
    if card.open_questions:
        missing = ", ".join(card.open_questions)
        note = f"nobody has written about: {missing}. Fill in cards/{card.name}.md"
        parts.append(Section("Open questions", notes=[note], alert=True))
    return parts


def _metrics(card: ModelCard) -> Section:
    rows = [(name, _real(value)) for name, value in sorted(card.metrics.items())]
    return _table("Metrics of the run", ("metric", "value"), rows)


def _gate(card: ModelCard) -> Section:
    if card.gate is None:
        return Section("Gate")
    result = "passed" if card.gate.passed else "failed"
    return Section(
        "Gate",
        facts=[("result", result), ("evaluated", utc(card.gate.at_ms))],
        columns=("condition", "passed", "evidence"),
        rows=[(check.condition, check.passed, check.detail) for check in card.gate.checks],
        alert=not card.gate.passed,
    )


def _slices(card: ModelCard) -> Section:
    if card.slices is None:
        return Section("Quality over slices")
    found = card.slices
    rows = [(part.column, part.value, part.rows, part.score, part.low, part.high) for part in found.slices]
    return _table(
        "Quality over slices, on training data",
        ("column", "value", "rows", found.metric, "95 % from", "to"),
        rows,
        f"on {found.rows:,} rows of the training data, which the model has seen: on new data it is worse. "
        f"On all these rows it is {number(found.score)}. A slice has at least 20 rows",
    )


def _importance(card: ModelCard) -> Section:
    if card.importance is None:
        return Section("Permutation importance")
    found = card.importance
    metric = "R²" if found.metric == "r2" else found.metric
    notes = [
        f"how much the {metric} of {number(found.score)} falls when a column is permuted: on {found.rows:,} rows of "
        f"the training data, mean of {found.repeats}. Columns that say the same share their importance"
    ]
    if found.left_out:
        notes.append(f"no time for {len(found.left_out)} columns: {_listed(found.left_out)}")
    ordered = sorted(found.columns, key=lambda column: (-column.mean, column.name))
    rows = [(column.name, column.mean, column.std if found.repeats > 1 else None) for column in ordered]
    return _table("Permutation importance, on training data", ("column", "importance", "deviation"), rows, *notes)


def _inputs(card: ModelCard) -> Section:
    columns = ("name", "type", "in training", "required", "takes missing", "range or values")
    rows = [(c.name, c.type, c.dtype, c.required, c.nullable, _range(c)) for c in card.inputs]
    return _table("Inputs", columns, rows)


def _range(column: CardInput) -> str:
    if column.hidden:
        return _HIDDEN
    if column.values:
        return _listed(column.values)
    if column.low is None or column.high is None:
        return ""
    low, high = (_bound(bound) for bound in (column.low, column.high))
    return f"{low} to {high}"


def _bound(bound: JsonNumber) -> str:
    # A time has the digits of its type, to the nanosecond.
    return _ZEROS.sub("", bound) if isinstance(bound, str) else number(bound)


def _outputs(card: ModelCard) -> Section:
    def row(kind: str, column: CardColumn) -> tuple[Shown, ...]:
        return (kind, column.name, column.dtype, column.width or None)

    rows = [*(row("target", found) for found in card.targets), *(row("output", found) for found in card.outputs)]
    section = _table("Targets and outputs", ("kind", "name", "type", "values a row"), rows)
    facts = [("classes", _listed(card.classes, 50))] if card.classes else []
    return Section(section.heading, facts, section.columns, section.rows, section.notes)


def _training(data: CardDataset) -> Section:
    return Section(
        "Training data",
        facts=[
            ("name", data.name),
            ("digest", _digest(data)),
            ("rows", data.rows),
            ("columns", data.columns),
            ("missing values", _missing(data) or "none"),
            *((f"times in {span.column}", f"{utc(span.first_ms)} to {utc(span.last_ms)}") for span in data.spans[:5]),
            ("first run with it", data.first_run),
            ("copy kept", data.snapshot),
        ],
    )


def _other_data(card: ModelCard) -> Section:
    columns = ("name", "use", "rows", "columns", "missing values", "digest")
    rows = [
        (data.name, data.context, data.rows, data.columns, _missing(data), _digest(data)) for data in card.other_data
    ]
    return _table("Other data of the run", columns, rows)


def _missing(data: CardDataset) -> str:
    return _listed([f"{name} {number(count)}" for name, count in data.missing.items()])


def _digest(data: CardDataset) -> str:
    covers = {"sampled": "of a sample", "shape": "of its shape only"}.get(data.covers, "")
    return f"{data.digest} ({covers})" if covers else data.digest


def _golden(card: ModelCard) -> Section:
    if not card.golden:
        return Section("Golden set")
    return Section(
        "Golden set",
        facts=[(kind, count) for kind, count in sorted(card.golden.items())],
        notes=["rows with the answers of the fitted object, against which each endpoint is checked when it loads it"],
    )


def _lineage(card: ModelCard) -> Section:
    known = card.lineage
    execution = f"In[{known.cell}]" if known.cell else ""
    commit = f"{known.git_commit}{' with uncommitted changes' if known.git_dirty else ''}" if known.git_commit else ""
    facts = [
        ("notebook", known.notebook),
        ("cell", " ".join(filter(None, (known.cell_id, execution)))),
        ("source of the cell", f"SHA-256 {known.cell_digest}" if known.cell_digest else ""),
        ("git commit", commit),
        ("git branch", known.git_branch),
        ("experiment", known.experiment),
        ("run", " ".join(filter(None, (known.run, known.run_uid)))),
        ("run in MLflow", known.run_id),
        ("pipeline", " ".join(filter(None, (known.pipeline, known.pipeline_run)))),
        ("stage", known.stage),
        ("version", title(card)),
        ("endpoints", ", ".join(f"{endpoint.name} ({endpoint.model})" for endpoint in known.endpoints)),
    ]
    return Section("Lineage", facts=[(name, value) for name, value in facts if value])


def _changes(card: ModelCard) -> Section:
    if card.changes is None:
        return Section("Changes")
    heading = f"Changes since version {card.changes.version}"
    rows: list[tuple[Shown, ...]] = []
    for found in card.changes.changes:
        is_metric = found.kind == "metric"
        before, after = (_real(value) if is_metric else value for value in (found.before, found.after))
        difference = ""
        if is_metric and isinstance(before, int | float) and isinstance(after, int | float):
            difference = change(after - before)
        rows.append((found.kind, found.name, before, after, difference))
    if not rows:
        return Section(heading, notes=["metrics, parameters and data are the same"])
    return _table(heading, ("kind", "name", "before", "after", "difference"), rows)


def _software(card: ModelCard) -> Section:
    machine = card.machine
    memory = f"{machine.memory_bytes / 2**30:.1f} GiB" if machine.memory_bytes else ""
    facts: list[tuple[str, Shown]] = [
        ("Python", machine.python),
        ("requirements", _listed(card.software, 50) if card.software else ""),
        ("platform", machine.platform),
        ("processor", machine.processor),
        ("processors", machine.processors or ""),
        ("memory", memory),
        ("GPUs", ", ".join(machine.gpus)),
    ]
    return Section("Software and machine", facts=[(name, value) for name, value in facts if value])


def _table(heading: str, columns: Sequence[str], rows: Sequence[Sequence[Shown]], *notes: str) -> Section:
    if not rows:
        return Section(heading)
    more = len(rows) - _MOST_ROWS
    cut = [f"and {more:,} more, which the JSON of the card has"] if more > 0 else []
    kept = [[_short(value) for value in row] for row in rows[:_MOST_ROWS]]
    return Section(heading, columns=columns, rows=kept, notes=[*cut, *notes])


def _listed(values: Sequence[str], most: int = _MOST_VALUES) -> str:
    more = len(values) - most
    return ", ".join(map(_cut, values[:most])) + (f" and {more:,} more" if more > 0 else "")


def _short(value: Shown) -> Shown:
    # A list has a limit of its own.
    return _cut(value, 10 * _MOST_TEXT) if isinstance(value, str) else value


def _cut(text: str, most: int = _MOST_TEXT) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _real(value: JsonNumber | None) -> float | str | None:
    if value is None:
        return None
    try:
        return real_number(value)
    except ValueError:
        return str(value)

"""A frame as lines of styled text for a terminal of some width; pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, chop_cells, set_cell_size

from mlops_workbench.commands.progress.frame import MARKS, Frame, Row

#: A piece of a line, and its style for rich.
Span = tuple[str, str]

_STYLES = {
    "succeeded": "green",
    "failed": "red",
    "running": "cyan",
    "pending": "dim",
    "refused": "yellow",
    "not_published": "yellow",
    "cancelled": "yellow",
    "skipped": "dim",
}
_BAR, _WIDE = 12, 64
#: Lines of a frame beside those of the stages: title, state, message.
HEADER = 3


def lines(frame: Frame, width: int) -> list[list[Span]]:
    """The lines of a frame, each at most `width` cells wide."""
    found = [_cut(line, width) for line in _header(frame, width)]
    names = max((cell_len(row.name) for row in frame.rows if row.cells or row.time), default=0)
    names = min(names, max(8, width * 2 // 5))
    cells = max((len(row.cells) for row in frame.rows), default=0)
    bar = _BAR if width >= _WIDE and any(row.share is not None for row in frame.rows) else 0
    for row in frame.rows:
        found.append(_cut(_row(row, names, cells, bar), width))
        found += [_cut([("    ", ""), (line, "dim")], width) for line in row.output]
    return found


def plain(frame: Frame, width: int) -> str:
    """The frame as text without styles."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines(frame, width))


def _header(frame: Frame, width: int) -> list[list[Span]]:
    title: list[Span] = [(frame.title, "bold")]
    state: list[Span] = [(frame.words, _style(frame.state)), *((f" · {fact}", "") for fact in frame.facts)]
    one = [*title, (" · ", "dim"), *state]
    found = [one] if sum(cell_len(text) for text, _ in one) <= width else [title, state]
    return [*found, [(frame.message, _style(frame.state))]] if frame.message else found


def _row(row: Row, names: int, cells: int, bar: int) -> list[Span]:
    mark, style = MARKS.get(row.state, " "), _STYLES.get(row.state, "dim")
    spans: list[Span] = [(f"{mark} ", style)]
    if not (row.cells or row.time):
        return [*spans, (row.name, "dim")]
    spans.append((_sized(row.name, names), "dim" if row.state in ("pending", "skipped") else ""))
    if cells:
        spans.append((f"  {row.cells:>{cells}}", ""))
    if bar:
        done = round(row.share * bar) if row.share is not None else 0
        rest = bar - done if row.share is not None else 0
        spans += [("  ", ""), ("━" * done, "cyan"), ("─" * rest, "dim"), (" " * (bar - done - rest), "")]
    spans.append((f"  {row.time}", style if row.state not in ("succeeded", "running") else ""))
    if row.message:
        spans.append((f" · {row.message}", ""))
    return spans


def _style(state: str) -> str:
    return _STYLES.get(state, "")


def _sized(text: str, width: int) -> str:
    """The text in exactly this many cells."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(chop_cells(text, width - 1)[0] + "…", width)


def _cut(spans: Sequence[Span], width: int) -> list[Span]:
    """The spans up to a width, with a sign where something was cut off."""
    if sum(cell_len(text) for text, _ in spans) <= width:
        return list(spans)
    found: list[Span] = []
    room = width - 1
    for text, style in spans:
        size = cell_len(text)
        if size > room:
            kept = chop_cells(text, room)[0] if room > 0 else ""
            return [*found, (f"{kept if cell_len(kept) <= room else ''}…", style)]
        found.append((text, style))
        room -= size
    return found

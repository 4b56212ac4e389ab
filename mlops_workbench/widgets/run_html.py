"""A frame of a run as HTML; pure functions."""

from __future__ import annotations

from html import escape

from mlops_workbench.commands.progress.frame import MARKS, Frame, Row
from mlops_workbench.core.shown.colours import ACCENT, BAD, BORDER, CODE_FONT, FONT, GOOD, TEXT, WARN

_MUTED = "opacity:.7"
_COLOURS = {
    "succeeded": GOOD,
    "failed": BAD,
    "running": ACCENT,
    "refused": WARN,
    "not_published": WARN,
    "cancelled": WARN,
}
_CELL = "padding:0 12px 0 0;text-align:left;border:none;vertical-align:top"
_LONGEST, _LONGEST_NAME = 200, 40


def run_html(frame: Frame) -> str:
    """The frame as HTML that needs neither a script nor a kernel."""
    colour = _COLOURS.get(frame.state, BORDER)
    facts = " · ".join(frame.facts)
    head = (
        f'<div style="overflow-wrap:anywhere"><b>{escape(_short(frame.title))}</b> '
        f'<b style="color:{_COLOURS.get(frame.state, "inherit")}">{escape(frame.words)}</b> '
        f'<span style="{_MUTED}">{escape(facts)}</span></div>'
    )
    if frame.message:
        head += f'<div style="overflow-wrap:anywhere">{escape(_short(frame.message))}</div>'
    # JupyterLab's own layout of tables is a fixed one, in which a wide column leaves no room for the others.
    table = (
        '<table style="table-layout:auto;width:100%;border-collapse:collapse;border:none;margin:2px 0;'
        f'font-size:inherit;font-variant-numeric:tabular-nums"><tbody>{"".join(map(_row, frame.rows))}</tbody></table>'
    )
    return (
        f'<div style="border:1px solid {BORDER};border-left:3px solid {colour};border-radius:3px;padding:5px 10px;'
        f"margin:4px 0;max-width:760px;box-sizing:border-box;overflow-x:auto;{FONT};"
        f'font-size:13px;line-height:1.55;color:{TEXT}">{head}{table if frame.rows else ""}</div>'
    )


def _row(row: Row) -> str:
    mark = f'<span style="color:{_COLOURS.get(row.state, "inherit")}">{MARKS.get(row.state, "")}</span>'
    name = f"{mark}&nbsp;{escape(_short(row.name, _LONGEST_NAME))}"
    if not (row.cells or row.time):
        return f'<tr style="background:none"><td colspan="3" style="{_CELL}">{name}</td></tr>'
    found = (
        f'<tr style="background:none"><td style="{_CELL}">{name}</td>'
        f'<td style="{_CELL}">{row.cells}{_bar(row)}</td><td style="{_CELL};width:100%">{escape(row.time)}</td></tr>'
    )
    if row.message:
        found += _below(f'<span style="{_MUTED}">{escape(_short(row.message))}</span>')
    if row.output:
        # Its lines are cut off where the card ends, and do not make the table wider.
        found += _below(
            f'<pre style="margin:0;padding:0;background:none;{CODE_FONT};font-size:12px;line-height:1.4;color:inherit;'
            f'width:0;min-width:100%;overflow:hidden;text-overflow:ellipsis;white-space:pre;{_MUTED}">'
            f"{escape(chr(10).join(map(_short, row.output)))}</pre>"
        )
    return found


def _below(content: str) -> str:
    return (
        f'<tr style="background:none"><td colspan="3" style="{_CELL};padding-left:18px;overflow-wrap:anywhere">'
        f"{content}</td></tr>"
    )


def _bar(row: Row) -> str:
    if row.share is None:
        return ""
    return (
        '<div style="height:3px;border-radius:2px;background:rgba(128,128,128,.25);min-width:60px">'
        f'<div style="height:3px;border-radius:2px;width:{row.share:.0%};background:{ACCENT}"></div></div>'
    )


def _short(text: str, longest: int = _LONGEST) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"

"""The card as one HTML file that needs no other, without scripts, for light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from mlops_workbench.core.model_card import ModelCard
from mlops_workbench.core.shown.plain_text import visible
from mlops_workbench.registry.cards.sections import Section, Shown, card_sections, is_number, shown, title

# Nothing may be loaded or run, whatever a text of others contains.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root{color-scheme:light dark;--text:#1b1f24;--faint:#57606a;--line:#d0d7de;--back:#fff;--band:#f6f8fa;--warn:#9a6700}
@media (prefers-color-scheme:dark){:root{--text:#e6edf3;--faint:#9da7b1;--line:#3d444d;--back:#0d1117;--band:#161b22;
--warn:#d29922}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--text);font:15px/1.5 system-ui,sans-serif}
main{max-width:62rem;margin:0 auto;padding:1.5rem 1rem 3rem}
h1{font-size:1.6rem;margin:0 0 1rem;overflow-wrap:anywhere}
h2{font-size:1.1rem;margin:2rem 0 .5rem;padding-bottom:.2rem;border-bottom:1px solid var(--line)}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}
th,td{padding:.25rem .8rem .25rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line);
overflow-wrap:break-word;min-width:3rem;max-width:24rem}
th{color:var(--faint);font-weight:600;white-space:nowrap}
td.n,th.n{text-align:right;white-space:nowrap}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.15rem 1.2rem;margin:.5rem 0}
dt{color:var(--faint)}
dd{margin:0;overflow-wrap:anywhere}
p{margin:.5rem 0;color:var(--faint)}
.w{white-space:pre-wrap;overflow-wrap:anywhere;margin:.5rem 0}
.alert h2,.alert p{color:var(--warn)}
@media (max-width:40rem){dl{grid-template-columns:minmax(0,1fr)}dd{margin-bottom:.4rem}}
@media print{main{max-width:none}.wide{overflow:visible}}
"""


def html(card: ModelCard) -> str:
    """Return a card as an HTML document."""
    name = _text(title(card))
    body = "\n".join(_section(section) for section in card_sections(card))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Model card of {name}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>Model card of {name}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _section(section: Section) -> str:
    parts = [f"<h2>{_text(section.heading)}</h2>"]
    if section.facts:
        parts.append("<dl>" + "".join(f"<dt>{_text(n)}</dt>{_element('dd', v)}" for n, v in section.facts) + "</dl>")
    if section.rows:
        parts.append(_table(section.columns, section.rows))
    if section.written:
        parts.append(f'<div class="w">{_text(section.written)}</div>')
    parts += [f"<p>{_text(note)}</p>" for note in section.notes]
    kind = ' class="alert"' if section.alert else ""
    return f"<section{kind}>{''.join(parts)}</section>"


def _table(columns: Sequence[str], rows: Sequence[Sequence[Shown]]) -> str:
    numeric = [
        any(is_number(row[i]) for row in rows) and all(is_number(row[i]) or row[i] is None for row in rows)
        for i in range(len(columns))
    ]
    head = "".join(f"<th{_class(n)}>{_text(name)}</th>" for name, n in zip(columns, numeric, strict=True))
    body = "".join(
        "<tr>" + "".join(_element("td", value, _class(n)) for value, n in zip(row, numeric, strict=True)) + "</tr>\n"
        for row in rows
    )
    return f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>'


def _element(element: str, value: Shown, attributes: str = "") -> str:
    return f"<{element}{attributes}>{_text(shown(value))}</{element}>"


def _class(numeric: bool) -> str:
    return ' class="n"' if numeric else ""


def _text(text: str) -> str:
    return escape(visible(text))

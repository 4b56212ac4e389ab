"""Markdown, HTML and JSON show what the card has, whatever its texts contain."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mlops_workbench.core.model_card import (
    CardInput,
    CardText,
    ColumnImportance,
    ModelCard,
    ModelImportance,
)
from mlops_workbench.core.shown.plain_text import visible
from mlops_workbench.registry.cards.document import card_json
from mlops_workbench.registry.cards.html import html
from mlops_workbench.registry.cards.markdown import markdown, quoted

HOSTILE = [
    "<script>alert(1)</script>", "</td></table></main><img src=x onerror=alert(1)>", "\"' onmouseover=alert(1) x='",
    "`</code><b>x</b>`", "a | b \\| c", "[x](javascript:alert(1))", "![x](https://evil.example/x.png)",
    "x\n# Approved\n\n| a |\n| --- |", "<https://evil.example>", "\x1b[2J\x07\u202egnp.exe", "&lt;b&gt;&amp;",
    "**x** _y_ ~~z~~", "x\n\n[a]: https://evil.example\n\n[a]", "--> x <!--", "\\", "`", "``` ```", "\ud800",
    "    indented", "]]>", "{{ 7*7 }}",
]  # fmt: skip
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "section", "div", "p", "dl", "dt", "dd"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
IN_MARKDOWN = {"h1", "h2", "ul", "li", "p", "code", "table", "thead", "tbody", "tr", "th", "td", "blockquote", "em",
               "strong", "pre", "ol", "hr", "h3", "h4", "h5", "h6", "br", "s"}  # fmt: skip


def filled(kind: Any, text: str) -> Any:
    """A value of a type, with `text` wherever one may be."""
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{f.name: filled(hints[f.name], text) for f in dataclasses.fields(kind)})  # type: ignore[operator]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is list:
        return [filled(arguments[0], text)]
    if origin is dict:
        return {text: filled(arguments[1], text)}
    if kind is str:
        return text
    if arguments and isinstance(arguments[0], str):
        return arguments[0]
    if arguments:
        return filled(str if str in arguments else arguments[0], text)
    return {int: 3, float: 0.5, bool: False}[kind]


class Tags(HTMLParser):
    """The elements and attributes of a document, and its text."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.words = ""
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_shown_and_do_nothing(text: str) -> None:
    card = filled(ModelCard, text)
    page = html(card)
    found = Tags(page)
    assert found.tags <= ALLOWED
    assert found.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class", "tabindex"}
    assert visible(text).strip() in found.words
    assert page.count("</main>") == page.count("</body>") == 1 and visible(page) == page
    page.encode()

    document = markdown(card)
    assert visible(document) == document
    # No renderer is trusted to leave HTML out.
    rendered = Tags(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(document))
    assert rendered.tags <= IN_MARKDOWN and not rendered.attributes - {"style", "start", "class"}
    own = {heading for heading in re.findall(r"^## (.*)$", document, flags=re.MULTILINE)}
    assert "Approved" not in own
    document.encode()

    assert json.loads(card_json(card))["name"].encode("utf-8", "backslashreplace")
    assert visible(card_json(card)) == card_json(card)


@given(st.text())
def test_a_text_in_markdown_is_the_text(text: str) -> None:
    """Rendered in a cell of a table, it is one cell with just these characters."""
    expected = visible(text).replace("\n", " ").replace("\t", " ").strip()
    table = f"| a | b |\n| --- | --- |\n| {quoted(text)} | end |\n"
    found = MarkdownIt("commonmark", {"html": True}).enable("table").render(table)
    (row,) = re.findall(r"<tbody>\n<tr>\n(.*?)</tr>", found, flags=re.DOTALL)
    cells = re.findall(r"<td>(.*?)</td>\n", row, flags=re.DOTALL)
    assert len(cells) == 2 and cells[1] == "end"
    assert re.sub(r"\s+", " ", Tags(cells[0]).words).strip() == re.sub(r"\s+", " ", expected).strip()


def test_the_person_text_keeps_its_formatting_in_markdown() -> None:
    text = CardText(purpose="For **planning**:\n\n* gates\n* crews\n\n## Approved\n\n```\nx[0](1) < 2\n```")
    document = markdown(ModelCard("m", 1, "d", "none", "", 0, text=text))
    found = MarkdownIt().render(document)
    quote = found[found.index("<blockquote>") : found.index("</blockquote>")]
    assert "<strong>planning</strong>" in quote and "<li>gates</li>" in quote and "Approved" in quote


def test_tables_of_a_wide_model_are_cut_and_the_json_has_all() -> None:
    inputs = [CardInput(f"column_{i}", "double", "float64", low=0.0, high=1.5) for i in range(600)]
    importance = ModelImportance("r2", 0.9, 1000, 3, [ColumnImportance("a", 0.1, 0.01)], ["b", "c"])
    card = ModelCard("wide", 1, "d", "none", "", 0, inputs=inputs, importance=importance)
    page = html(card)
    assert "column_199" in page and "column_200" not in page and "and 400 more" in page and len(page) < 60_000
    assert "no time for 2 columns: b, c" in page and "no time for 2 columns: b, c" in markdown(card)
    assert msgspec.json.decode(card_json(card), type=ModelCard) == card
    assert "prefers-color-scheme:dark" in page


def test_the_same_card_has_the_same_bytes() -> None:
    one, two = (filled(ModelCard, "x") for _ in range(2))
    assert (html(one), markdown(one), card_json(one)) == (html(two), markdown(two), card_json(two))

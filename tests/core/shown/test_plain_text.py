"""Text of others can be printed: it neither controls a terminal nor reorders a line."""

from __future__ import annotations

import io
import json
import logging
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.capture.kernel.notices import notify
from mlops_workbench.core.errors import InvalidInput, WorkbenchError
from mlops_workbench.core.shown.log_lines import LineFormatter
from mlops_workbench.core.shown.plain_text import visible, visible_json, without_sequences

texts = st.text(st.characters(exclude_categories=()) | st.sampled_from("\x1b\x07\r\n\t\x9b\x7f\u202e\u2066\ud800"))


def acts(character: str) -> bool:
    """Whether a character does something other than being seen, by the standard's own tables."""
    if character in "\n\t":
        return False
    kind, direction = unicodedata.category(character), unicodedata.bidirectional(character)
    marks = {"RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI"}
    return kind in ("Cc", "Cs", "Zl", "Zp") or direction in marks or character in "\u200e\u200f\u061c"


@given(texts)
def test_no_character_of_a_shown_text_acts(text: str) -> None:
    shown = visible(text)
    assert not any(map(acts, shown))
    assert shown.encode().decode() == shown
    assert visible(shown) == shown


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Cf"])))
def test_other_text_is_not_changed(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "👩\u200d🔬 and 🏳️\u200d🌈",
        "e\u0301a\u0308",
        "模型 モデル 모델",
        "שלום עולם",
        "مرحبا",
        "می\u200cخو",
        "a\tb\n c",
        "",
    ],
)
def test_emoji_scripts_and_combining_marks_are_not_changed(text: str) -> None:
    assert visible(text) == text


def test_what_acted_can_be_read() -> None:
    assert visible("\x1b]0;owned\x07\x9b2J\u202etxt\ud800\r") == "\\x1b]0;owned\\x07\\x9b2J\\u202etxt\\ud800\\x0d"
    assert visible("a\r\nb") == "a\nb"


@given(st.recursive(texts.filter(str.isprintable) | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_json_means_the_same_afterwards(value: object) -> None:
    shown = visible_json(json.dumps(value, ensure_ascii=False))
    assert not any(map(acts, shown))
    assert json.loads(shown) == value


def test_colours_of_recorded_text_are_removed() -> None:
    assert without_sequences("\x1b[0;31mValueError\x1b[0m: \x1b[38;5;241mx\x1b[K") == "ValueError: x"


@given(texts, texts, texts)
def test_no_exception_of_ours_shows_a_character_that_acts(message: str, where: str, hint: str) -> None:
    for error in (InvalidInput(message, where=where, hint=hint), WorkbenchError(message)):
        assert not any(map(acts, str(error)))
    assert InvalidInput(message, where=where, hint=hint).to_dict()["message"] == message


def test_a_notice_shows_no_character_that_acts(capsys: pytest.CaptureFixture[str]) -> None:
    notify("run \x1b[2J\u202e is not recorded")
    assert capsys.readouterr().err == "mlops: run \\x1b[2J\\u202e is not recorded\n"


@given(texts)
def test_a_log_record_is_one_record_whatever_it_says(text: str) -> None:
    stream = io.StringIO(newline="")
    logger = logging.Logger("x")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    logger.addHandler(handler)
    try:
        raise ValueError(text)
    except ValueError as error:
        logger.error("%s: %s", text, error, exc_info=True)
    first, *rest = stream.getvalue().removesuffix("\n").split("\n")
    assert " ERROR x: " in first
    assert all(line.startswith("  ") for line in rest)
    assert not any(map(acts, stream.getvalue()))

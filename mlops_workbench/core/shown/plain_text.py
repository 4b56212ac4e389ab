"""Text of others (names, messages, outputs) without characters that control a terminal or reorder a line."""

from __future__ import annotations

import re

#: Control characters but newline and tab, marks that reorder or break a line, and halves of surrogate pairs. Joiners
#: and variation selectors are not among them: emoji and several scripts need them.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_SEQUENCES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def visible(text: str) -> str:
    r"""Replace characters that act instead of being seen by their escapes, such as ``\x1b`` and ``\u202e``.

    Every text that the workbench prints passes here: results, errors, messages, log lines. A second call changes
    nothing.
    """
    if text.isascii() and text.isprintable():
        return text
    return _CONTROLS.sub(_escape, text.replace("\r\n", "\n"))


def visible_json(text: str) -> str:
    """Escape the same characters in a JSON document, which means the same afterwards."""
    # JSON itself contains them only within strings.
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def without_sequences(text: str) -> str:
    """Remove the control sequences of a terminal, such as the colours of a traceback."""
    return _SEQUENCES.sub("", text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"

"""Masking of secrets in text before it is written: by their names, their forms and their randomness.

A secret is replaced by ``***``. A text scanner makes mistakes. This one prefers to mask where the name is that of a
secret (``password``, ``API_KEY``), and to keep the text where only the value could identify a secret: hashes, UUIDs,
paths, identifiers and settings are kept, so that masked source code still runs.

Every pattern reads a character a bounded number of times: a pattern that can match anywhere has a bounded length, and
an unbounded pattern cannot match again within its match. So the time is linear in the length of the text.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from mlops_workbench.core.secret_names import Strength, name_strength

MASK = "***"

#: Searched in lower-case text: a pattern that ignores case takes six times as long.
_NAME_WORD = re.compile(r"key|token|passw|passphrase|pwd|secret|credential|auth")
_NAME_CHAR = re.compile(r"[A-Za-z0-9_-]")
_NAME_MAX = 64
_LOOK_BACK = 400

_AFTER_NAME = re.compile(
    r"""(?P<close>\\?["'])?(?P<bracket>\s{0,3}\])?"""
    r"(?:[ \t]{0,20}:[ \t]{0,20}[A-Za-z_][\w\[\]|., ]{0,60}?(?==))?"
    r"[ \t]{0,20}(?P<sep>==|!=|=>|:=|=|:|,)[ \t]{0,20}"
    r"(?:(?:SecretStr|SecretBytes|Secret|str|bytes|bytearray)(?=\())?(?P<open>[(\[]\s{0,80})?"
)
_AFTER_FLAG = re.compile(r"[ \t]{1,20}(?P<value>[^\s\-$<{\"'][^\s\"']{0,500})")
_STRING_OPENS = re.compile(r"""(?P<prefix>[rbufRBUF]{0,2})(?P<quote>\\?"{3}|\\?'{3}|\\?["'])""")
_CONTENT = {quote: re.compile(rf"(?s)(?:[^{quote}\\\n]|\\.)*+") for quote in "\"'"}
_STRINGS_MAX = 100
_STRING_SEPARATOR = re.compile(r"\s{0,80},?\s{0,80}")
_BARE = re.compile(r"""[^\s"'`,;&<>()\[\]{}\\]{1,2000}""")
_CALL_BEFORE = re.compile(
    r"""(?:set\w{0,20}|putenv|add\w{0,20}|get\w{0,20}|pop|log_param|tag|header)\(\s{0,5}[rbu]?["']$"""
)
_SHELL_BEFORE = re.compile(r"(?:export|setenv|env|set_env|declare(?: -\w)?|ENV|set)[ \t]+$")
_DTYPE = re.compile(r"(?:u?int|float|complex|datetime|timedelta)\d+\Z")
_NUMBER_LIKE = re.compile(r"[-+\d][-+\d.,:/%eE_xX]*\Z")
_TEMPLATE = re.compile(r"\{[^{}]*\}|\$\{?\w+\}?|<[^<>]*>|%\(?\w*\)?[sd]|\.{3}")
_PLAIN_PIECE = re.compile(r"[A-Za-z]*\d{0,4}\Z|\d+[A-Za-z]{0,2}\Z|[A-Z]?[a-z]+(?:[A-Z][a-z]+)*\d{0,4}\Z")
_PIECES = re.compile(r"[\W_]+")

_KEY_EDGE = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_LINE = re.compile(r"[A-Za-z0-9+/=]{32}")
_KEY_LINES = re.compile(r"(?:(?:\\n|[\s\"',+]){0,40}+[A-Za-z0-9+/=]{16,}+)*+")

_KNOWN_FORMS = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{16}(?![A-Za-z0-9])"
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{20,}"
    r"|sk-[A-Za-z0-9_-]{20,}|[sr]k_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9]{16,}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}|hf_[A-Za-z0-9]{20,}|AIza[A-Za-z0-9_-]{30,}"
    r"|ya29\.[A-Za-z0-9_-]{20,}|npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{30,}|do[pr]_v1_[a-f0-9]{30,}|dapi[a-f0-9]{32}"
    r")"
)
#: Every match of `_KNOWN_FORMS` contains one of these; a search for plain text is much faster.
_KNOWN_PARTS = (
    *("AKIA", "ASIA", "AGPA", "AIDA", "AROA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "sk-"),
    *("k_live_", "k_test_", "whsec_", "xox", "xapp-", "hf_", "AIza", "ya29.", "npm_", "pypi-", "_v1_", "dapi"),
)
# Three parts without a dot; a part is read at most three times: from its start and from those of the two parts before.
_JWT = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]*+")
_SENDGRID = re.compile(r"(?<![A-Za-z0-9_-])SG\.[A-Za-z0-9_-]{16,}+\.[A-Za-z0-9_-]{16,}+")
_SCHEME = re.compile(r"(?i)\b(Bearer|Basic)([ \t]{1,8})([A-Za-z0-9._~+/=-]{6,})")
# A match contains no slash, so the search for the next "//" does not read it again.
_URL = re.compile(r"""(?<=://)([^\s/@:"'`<>]*):([^\s/"'`<>]+)@""")
_RANDOM = re.compile(r"[A-Za-z0-9+/=_~-]{20,}")
_RANDOM_MAX = 512
_CHARACTER_KINDS = str.maketrans(
    {c: "l" for c in string.ascii_lowercase}
    | {c: "u" for c in string.ascii_uppercase}
    | {c: "d" for c in string.digits}
    | {c: "s" for c in "+/=_~-"}
)
_HASH_OF = ("sha1-", "sha256-", "sha384-", "sha512-")
_PASSES = 6


def mask_value(name: str, value: Any) -> Any:
    """Return `value` with its secrets masked.

    Parameters
    ----------
    name : str
        Name of a parameter, tag or variable.
    value : object
        Text and bytes with the name of a secret become ``***``; other text is passed to `mask`; numbers, booleans
        and None are kept; the items of lists and mappings are masked.
    """
    return _masked_value(value, name_strength(name))


def mask(text: str) -> str:
    """Return `text` with secrets replaced by ``***``; masking the result again does not change it.

    Parameters
    ----------
    text : str
        Source code, output, a traceback, a diff or other text.
    """
    for _ in range(_PASSES):
        masked = text
        for step in (_mask_private_keys, _mask_forms, _mask_named, _mask_random):
            masked = step(masked)
        if masked == text:
            break
        text = masked
    return text


def _masked_value(value: Any, strength: Strength) -> Any:
    if isinstance(value, str):
        if strength and _is_secret(value, strength):
            return MASK
        return mask(value)
    if isinstance(value, bytes | bytearray):
        return MASK if strength == "strong" and value else value
    if isinstance(value, Mapping):
        return {key: _masked_value(item, name_strength(str(key)) or strength) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked_value(item, strength) for item in value]
    return value


def _mask_private_keys(text: str) -> str:
    if "PRIVATE KEY" not in text:
        return text
    kept, written = [], 0
    edges = list(_KEY_EDGE.finditer(text))
    for edge, following in zip(edges, [*edges[1:], None], strict=False):
        if edge[1] == "END":
            continue
        if following is not None and following[1] == "END":
            start, stop = edge.end(), following.start()
        else:
            # The end of the key is missing: mask the lines that look like a key.
            lines = _KEY_LINES.match(text, edge.end())
            start, stop = edge.end(), lines.end() if lines else edge.end()
        if _KEY_LINE.search(text, start, stop):
            kept += [text[written:start], MASK]
            written = stop
    return "".join([*kept, text[written:]])


def _mask_forms(text: str) -> str:
    if any(part in text for part in _KNOWN_PARTS):
        text = _KNOWN_FORMS.sub(MASK, text)
    if "eyJ" in text:
        text = _JWT.sub(MASK, text)
    if "SG." in text:
        text = _SENDGRID.sub(MASK, text)
    lower = text.lower()
    if "bearer" in lower or "basic" in lower:
        text = _SCHEME.sub(_scheme_masked, text)
    return _URL.sub(_url_masked, text) if "://" in text else text


def _scheme_masked(found: re.Match[str]) -> str:
    return found[0] if _is_plain(found[3]) and len(found[3]) < 40 else f"{found[1]}{found[2]}{MASK}"


def _url_masked(found: re.Match[str]) -> str:
    password = found[2]
    rest = _TEMPLATE.sub("", password).strip("*")
    return f"{found[1]}:{MASK}@" if rest else found[0]


def _mask_named(text: str) -> str:
    kept, written, position = [], 0, 0
    lower = text.lower()
    if len(lower) != len(text):
        # A letter with two letters in lower case would shift all later positions.
        lower = "".join(character.lower() if character.isascii() else character for character in text)
    while found := _NAME_WORD.search(lower, position):
        start, end = _name_around(text, found)
        position = max(end, found.end())
        strength = name_strength(text[start:end])
        if not strength:
            continue
        for begin, stop in _value_spans(text, start, end, strength):
            if begin < written:
                continue
            kept += [text[written:begin], MASK]
            written = position = stop
    return "".join([*kept, text[written:]])


def _name_around(text: str, found: re.Match[str]) -> tuple[int, int]:
    start, end = found.span()
    first, last = max(0, start - _NAME_MAX), min(len(text), end + _NAME_MAX)
    while start > first and _NAME_CHAR.match(text, start - 1):
        start -= 1
    while end < last and _NAME_CHAR.match(text, end):
        end += 1
    return start, end


def _value_spans(text: str, start: int, end: int, strength: Strength) -> list[tuple[int, int]]:
    """Return the spans of the secrets assigned to the name ``text[start:end]``."""
    before = text[max(0, start - _LOOK_BACK) : start]
    before = before[before.rfind("\n") + 1 :]
    shell = _SHELL_BEFORE.search(before[-40:]) is not None
    if (text.startswith("--", start) or shell) and (flag := _AFTER_FLAG.match(text, end)):
        # In code, an expression may follow the name of a variable.
        if shell or _is_secret_bare(flag["value"], strength, is_text=True):
            return [flag.span("value")] if not flag["value"].startswith(("=", "*")) else []
        return []
    after = _AFTER_NAME.match(text, end)
    if after is None:
        return []
    close, separator = after["close"] or "", after["sep"]
    if separator == ",":
        # ("TOKEN", "value") is an assignment only in a call that sets or gets a value.
        if not close or not _CALL_BEFORE.search(before[-60:]):
            return []
        strength = strength if text[start:end].isupper() or "get" not in before[-40:] else "weak"
    quoted = _quoted_spans(text, after.end(), before, close, bool(after["open"]), strength)
    if quoted is not None:
        return quoted
    if after["open"] or separator in (",", "==", "!=", ":="):
        return []
    is_text = shell or (text[start:end].isupper() and separator == "=" and text[after.end() - 1] == "=")
    return _bare_spans(text, after.end(), before, close, separator, strength, is_text)


def _quoted_spans(
    text: str, position: int, before: str, close: str, in_brackets: bool, strength: Strength
) -> list[tuple[int, int]] | None:
    """Return the spans of secrets in the string literals from `position` on; None when there is no literal."""
    spans: list[tuple[int, int]] = []
    found = False
    while len(spans) < _STRINGS_MAX and (opens := _STRING_OPENS.match(text, position)):
        quote = opens["quote"]
        if not found and quote != close and quote[0] != "\\" and _open_quotes(before, quote[0]):
            # This quote ends the string with the name: input("Password: ").
            return None
        found = True
        stop, after = _string_end(text, opens.end(), quote)
        content = text[opens.end() : stop]
        template = "f" in opens["prefix"].lower() and "{" in content
        if not template and _is_secret(content, strength):
            spans.append((opens.end(), stop))
        if not in_brackets:
            break
        separator = _STRING_SEPARATOR.match(text, after)
        position = separator.end() if separator else after
    return spans if found else None


def _open_quotes(before: str, quote: str) -> bool:
    return (before.count(quote) - before.count("\\" + quote)) % 2 == 1


def _string_end(text: str, position: int, quote: str) -> tuple[int, int]:
    """Return the end of the content of a literal and the end of the literal."""
    if len(quote.lstrip("\\")) == 3 or quote[0] == "\\":
        end = text.find(quote, position)
        line = text.find("\n", position)
        if len(quote) == 2 and line >= 0 and not position <= end < line:
            return line, line
        return (end, end + len(quote)) if end >= 0 else (len(text), len(text))
    content = _CONTENT[quote].match(text, position)
    end = content.end() if content else position
    return end, end + 1 if text.startswith(quote, end) else end


def _bare_spans(
    text: str, position: int, before: str, close: str, separator: str, strength: Strength, is_text: bool
) -> list[tuple[int, int]]:
    found = _BARE.match(text, position)
    if found is None or found[0].startswith(("$", "%", "*", "-", "=")):
        return []
    following = text[found.end() : found.end() + 1]
    if following and following in "([{":
        return []
    # In "host=db password=hunter" and "?token=abc&x=1" a value cannot be a variable.
    in_string = not close and any(_open_quotes(before, quote) for quote in "\"'")
    assigned = separator == "=" and (in_string or (following and following in "&;"))
    return [found.span()] if _is_secret_bare(found[0], strength, is_text=bool(is_text or assigned)) else []


def _is_secret_bare(value: str, strength: Strength, *, is_text: bool) -> bool:
    value = value.rstrip(":.!?")
    if (
        not value
        or _NUMBER_LIKE.match(value)
        or value in ("None", "True", "False", "null", "true", "false", "NaN")
        or _DTYPE.match(value)
    ):
        return False
    if (len(value) <= _NAME_MAX and name_strength(value)) or not _is_secret(value, strength):
        # In f(token=token) the value is a variable.
        return False
    return is_text or not re.fullmatch(r"[A-Za-z_.]+|[A-Za-z_][\w.]*\.\w*", value)


def _is_secret(value: str, strength: Strength) -> bool:
    rest = _TEMPLATE.sub("", value).strip("*")
    if not rest.strip() or (value[0] in "<[" and value[-1] in ">]"):
        return False
    if strength == "strong":
        return True
    return len(value) >= 8 and not re.search(r"[\s/\\]", value) and not _is_plain(value)


def _is_plain(value: str) -> bool:
    """Return whether a value consists of words and numbers joined by other characters."""
    return all(_PLAIN_PIECE.match(piece) for piece in _PIECES.split(value) if not piece.isalpha() or piece.islower())


def _mask_random(text: str) -> str:
    return _RANDOM.sub(_token_masked, text)


def _token_masked(found: re.Match[str]) -> str:
    token = found[0]
    return MASK if looks_random(token) and found.string[found.start() - 1 : found.start()] != "." else token


def looks_random(token: str) -> bool:
    """Return whether text without spaces looks like a random key, and not like an identifier, a path or a hash.

    A random key has lower-case and capital letters and digits, changes between these kinds more often than joined words
    do, and has a Shannon entropy of at least 3.5 bits per character. Hexadecimal text (hashes, ids) and text of more
    than 512 characters (data) are not random keys.
    """
    if not 20 <= len(token) <= _RANDOM_MAX or token.startswith(("/", "~/", *_HASH_OF)):
        return False
    kinds = token.translate(_CHARACTER_KINDS)
    if not ("l" in kinds and "u" in kinds and "d" in kinds):
        return False
    # The capital at the start of a word does not count as a change.
    changes = sum(one != other for one, other in pairwise(kinds.replace("ul", "ll")) if "s" not in (one, other))
    if changes < 0.25 * len(token):
        return False
    counts = Counter(token).values()
    entropy = -sum(count / len(token) * math.log2(count / len(token)) for count in counts)
    return entropy >= 3.5

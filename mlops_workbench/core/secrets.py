"""Secrets in text that is about to be written: found by the name they are given, by their form, by their randomness.

What is found becomes ``***``. No scanner of text can be sure; this one errs to the side of the secret where a name
says so (``password``, ``API_KEY``), and to the side of the text where only a value could tell: hashes, UUIDs, paths,
identifiers and settings stay what they are, so that a source that was masked can still be run.

Every pattern looks at a character a bounded number of times: what can begin anywhere has a bounded length, what has
no bound cannot begin again within itself.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal

MASK = "***"

#: ``strong``: any text under such a name is a secret; ``weak``: only text that looks like one (``key="id"`` is none).
Strength = Literal["", "weak", "strong"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STRONG = _words(
    "password passwd passphrase pwd secret secrets token credential credentials apikey accesskey secretkey privatekey "
    "authkey authorization passwords"
)
_STRONG_ENDINGS = ("password", "passwd", "passphrase", "secret", "token", "apikey", "credential", "credentials")
_WEAK = _words("key keys tokens auth oauth")
#: Words before ``key`` that make it one to keep: ``api_key``, ``AccountKey``.
_KEY_OF = _words(
    "api access secret private auth account license licence encryption ssh storage subscription master signing "
    "service admin app aws azure gcp openai anthropic wandb hf"
)
#: Last words that make a name speak of something about a secret, not of the secret.
_ABOUT = _words(
    "pattern patterns count counts type types url uri path paths file filename dir folder size len length limit budget "
    "column columns col cols index idx field fields format name names label labels error errors policy expiry ttl "
    "timeout version alias prefix suffix vocab embedding embeddings dim dims hint prompt sock header headers scheme "
    "method mode func function fn class provider manager store vault env var required enabled verified word words "
    "rate usage frequency freq position positions ids order lookup map level minutes seconds hours days"
)
#: First words of the special tokens of a language model.
_SPECIAL = _words("pad unk eos bos cls sep mask special oov start end next new first last stop image")

_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

#: Looked for in lower case: a pattern that ignores case takes six times as long.
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
_STRING_GOES_ON = re.compile(r"\s{0,80},?\s{0,80}")
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
#: One of these is in everything that `_KNOWN_FORMS` finds; looking for plain text costs next to nothing.
_KNOWN_PARTS = (
    *("AKIA", "ASIA", "AGPA", "AIDA", "AROA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "sk-"),
    *("k_live_", "k_test_", "whsec_", "xox", "xapp-", "hf_", "AIza", "ya29.", "npm_", "pypi-", "_v1_", "dapi"),
)
# Three runs without a dot; a run is looked at from its own beginning and those of the two before it.
_JWT = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]*+")
_SENDGRID = re.compile(r"(?<![A-Za-z0-9_-])SG\.[A-Za-z0-9_-]{16,}+\.[A-Za-z0-9_-]{16,}+")
_SCHEME = re.compile(r"(?i)\b(Bearer|Basic)([ \t]{1,8})([A-Za-z0-9._~+/=-]{6,})")
# No slash within: the next "//" begins anew only behind what this one has looked at.
_URL = re.compile(r"""(?<=://)([^\s/@:"'`<>]*):([^\s/"'`<>]+)@""")
_RANDOM = re.compile(r"[A-Za-z0-9+/=_~-]{20,}")
_RANDOM_MAX = 512
_KINDS = str.maketrans(
    {c: "l" for c in string.ascii_lowercase}
    | {c: "u" for c in string.ascii_uppercase}
    | {c: "d" for c in string.digits}
    | {c: "s" for c in "+/=_~-"}
)
_HASH_OF = ("sha1-", "sha256-", "sha384-", "sha512-")
_PASSES = 6


def name_strength(name: str) -> Strength:
    """How surely a value called `name` is a secret.

    The name is taken apart into words: ``author``, ``monkey`` and ``keyword`` are none of them, and
    ``max_tokens``, ``token_pattern`` or ``pad_token`` speak of something else.
    """
    parts = [part.lower() for part in _PARTS.findall(name)]
    if not parts or parts[-1] in _ABOUT:
        return ""
    weak = False
    for i, part in enumerate(parts):
        if part == "token" and i and parts[i - 1] in _SPECIAL:
            continue
        if part in _STRONG or part.endswith(_STRONG_ENDINGS):
            return "strong"
        if part == "key" and i and parts[i - 1] in _KEY_OF:
            return "strong"
        weak = weak or part in _WEAK
    return "weak" if weak else ""


def mask_value(name: str, value: Any) -> Any:
    """`value` as it may be written under `name`.

    Parameters
    ----------
    name : str
        Name of a parameter, tag or variable.
    value : object
        Text and bytes under the name of a secret become ``***``, other text is masked as `mask` does; numbers,
        booleans and None are no secrets; lists and mappings are masked within.
    """
    return _masked_value(value, name_strength(name))


def mask(text: str) -> str:
    """`text` with ``***`` in the place of secrets; masking it again changes nothing.

    Parameters
    ----------
    text : str
        Source code, output, a traceback, a diff: anything that a person wrote or a program printed.
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
            # A key that was cut off ends where its lines end.
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
        text = _SCHEME.sub(_scheme, text)
    return _URL.sub(_url, text) if "://" in text else text


def _scheme(found: re.Match[str]) -> str:
    return found[0] if _is_plain(found[3]) and len(found[3]) < 40 else f"{found[1]}{found[2]}{MASK}"


def _url(found: re.Match[str]) -> str:
    password = found[2]
    left = _TEMPLATE.sub("", password).strip("*")
    return f"{found[1]}:{MASK}@" if left else found[0]


def _mask_named(text: str) -> str:
    kept, written, position = [], 0, 0
    lower = text.lower()
    if len(lower) != len(text):
        # A letter that is two in lower case would shift what follows.
        lower = "".join(character.lower() if character.isascii() else character for character in text)
    while found := _NAME_WORD.search(lower, position):
        start, end = _name_around(text, found)
        position = max(end, found.end())
        strength = name_strength(text[start:end])
        if not strength:
            continue
        for begin, stop in _values(text, start, end, strength):
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


def _values(text: str, start: int, end: int, strength: Strength) -> list[tuple[int, int]]:
    """Where the secrets stand that the name in ``text[start:end]`` is given."""
    before = text[max(0, start - _LOOK_BACK) : start]
    before = before[before.rfind("\n") + 1 :]
    shell = _SHELL_BEFORE.search(before[-40:]) is not None
    if (text.startswith("--", start) or shell) and (flag := _AFTER_FLAG.match(text, end)):
        # An expression after the name of a variable is code, not a command line.
        if shell or _secret_bare(flag["value"], strength, surely=True):
            return [flag.span("value")] if not flag["value"].startswith(("=", "*")) else []
        return []
    after = _AFTER_NAME.match(text, end)
    if after is None:
        return []
    close, separator = after["close"] or "", after["sep"]
    if separator == ",":
        # ("TOKEN", "value") is an assignment only as the arguments of a call that sets or gets.
        if not close or not _CALL_BEFORE.search(before[-60:]):
            return []
        strength = strength if text[start:end].isupper() or "get" not in before[-40:] else "weak"
    quoted = _quoted(text, after.end(), before, close, bool(after["open"]), strength)
    if quoted is not None:
        return quoted
    if after["open"] or separator in (",", "==", "!=", ":="):
        return []
    surely = shell or (text[start:end].isupper() and separator == "=" and text[after.end() - 1] == "=")
    return _bare(text, after.end(), before, close, separator, strength, surely)


def _quoted(
    text: str, position: int, before: str, close: str, many: bool, strength: Strength
) -> list[tuple[int, int]] | None:
    """Secrets among the string literals that begin at `position`; None when there is no literal."""
    spans: list[tuple[int, int]] = []
    found = False
    while len(spans) < _STRINGS_MAX and (opens := _STRING_OPENS.match(text, position)):
        quote = opens["quote"]
        if not found and quote != close and quote[0] != "\\" and _open_quotes(before, quote[0]):
            # It ends the string that the name is part of: input("Password: ").
            return None
        found = True
        stop, after = _string_end(text, opens.end(), quote)
        content = text[opens.end() : stop]
        template = "f" in opens["prefix"].lower() and "{" in content
        if not template and _is_secret(content, strength):
            spans.append((opens.end(), stop))
        if not many:
            break
        goes_on = _STRING_GOES_ON.match(text, after)
        position = goes_on.end() if goes_on else after
    return spans if found else None


def _open_quotes(before: str, quote: str) -> bool:
    return (before.count(quote) - before.count("\\" + quote)) % 2 == 1


def _string_end(text: str, position: int, quote: str) -> tuple[int, int]:
    """End of a literal's content, and where the text goes on."""
    if len(quote.lstrip("\\")) == 3 or quote[0] == "\\":
        end = text.find(quote, position)
        line = text.find("\n", position)
        if len(quote) == 2 and line >= 0 and not position <= end < line:
            return line, line
        return (end, end + len(quote)) if end >= 0 else (len(text), len(text))
    content = _CONTENT[quote].match(text, position)
    end = content.end() if content else position
    return end, end + 1 if text.startswith(quote, end) else end


def _bare(
    text: str, position: int, before: str, close: str, separator: str, strength: Strength, surely: bool
) -> list[tuple[int, int]]:
    found = _BARE.match(text, position)
    if found is None or found[0].startswith(("$", "%", "*", "-", "=")):
        return []
    following = text[found.end() : found.end() + 1]
    if following and following in "([{":
        return []
    # "host=db password=hunter" and "?token=abc&x=1": a text that assigns, in which no name can stand as a value.
    within = not close and any(_open_quotes(before, quote) for quote in "\"'")
    assigned = separator == "=" and (within or (following and following in "&;"))
    return [found.span()] if _secret_bare(found[0], strength, surely=bool(surely or assigned)) else []


def _secret_bare(value: str, strength: Strength, *, surely: bool) -> bool:
    value = value.rstrip(":.!?")
    if (
        not value
        or _NUMBER_LIKE.match(value)
        or value in ("None", "True", "False", "null", "true", "false", "NaN")
        or _DTYPE.match(value)
    ):
        return False
    if (len(value) <= _NAME_MAX and name_strength(value)) or not _is_secret(value, strength):
        # f(token=token): a name of the same kind is a variable.
        return False
    return surely or not re.fullmatch(r"[A-Za-z_.]+|[A-Za-z_][\w.]*\.\w*", value)


def _is_secret(value: str, strength: Strength) -> bool:
    left = _TEMPLATE.sub("", value).strip("*")
    if not left.strip() or (value[0] in "<[" and value[-1] in ">]"):
        return False
    if strength == "strong":
        return True
    return len(value) >= 8 and not re.search(r"[\s/\\]", value) and not _is_plain(value)


def _is_plain(value: str) -> bool:
    """Words and numbers, joined by signs: nothing random in it."""
    return all(_PLAIN_PIECE.match(piece) for piece in _PIECES.split(value) if not piece.isalpha() or piece.islower())


def _mask_random(text: str) -> str:
    return _RANDOM.sub(_random, text)


def _random(found: re.Match[str]) -> str:
    token = found[0]
    return MASK if looks_random(token) and found.string[found.start() - 1 : found.start()] != "." else token


def looks_random(token: str) -> bool:
    """Whether text without spaces is too disorderly to be an identifier, a path or a hash.

    It has small and capital letters and digits, a Shannon entropy of at least 3.5 bits a character, and changes
    between them far more often than words joined to a name do. Hexadecimal digits, of which hashes and ids are
    made, never are; text longer than 512 characters is data.
    """
    if not 20 <= len(token) <= _RANDOM_MAX or token.startswith(("/", "~/", *_HASH_OF)):
        return False
    kinds = token.translate(_KINDS)
    if not ("l" in kinds and "u" in kinds and "d" in kinds):
        return False
    # A word that begins with a capital is no change.
    changes = sum(one != other for one, other in pairwise(kinds.replace("ul", "ll")) if "s" not in (one, other))
    if changes < 0.25 * len(token):
        return False
    counts = Counter(token).values()
    entropy = -sum(count / len(token) * math.log2(count / len(token)) for count in counts)
    return entropy >= 3.5

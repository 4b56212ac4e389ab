"""Secrets that are assigned to a name: in code, shells, JSON, YAML, connection strings, headers and queries."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlops_workbench.core.secrets.names import Strength, is_password
from mlops_workbench.core.secrets.values import is_bare_secret, is_secret

Span = tuple[int, int]

_LOOK_BACK = 400

_AFTER_NAME = re.compile(
    r"""(?P<close>\\{0,3}["'])?(?P<bracket>\s{0,3}\])?"""
    r"(?:[ \t]{0,20}:[ \t]{0,20}[A-Za-z_][\w\[\]|., ]{0,60}?(?==))?"
    r"(?:[ \t]{0,20}(?P<sep>==|!=|=>|:=|<-|=|:|,)[ \t]{0,20}|(?P<is>[ \t]{1,3}(?:is|was):?[ \t]{1,3}))"
    r"(?:(?:default|value|fallback|initial_value)\s{0,5}=\s{0,5})?"
    r"(?:(?:SecretStr|SecretBytes|Secret|Field|Option|Param|str|bytes|bytearray|N|E)(?=[(\"'])"
    r"(?:\((?:default|value)\s{0,3}=\s{0,3}(?=[rbRB]{0,2}[\"']))?)?(?P<open>[(\[]\s{0,80})?"
)
#: ``--password``, ``type=str, default="..."`` in the declaration of an option.
_DEFAULT = re.compile(
    r"""\\?["'](?:\s{0,20},\s{0,40}(?!default)[^,()\n]{1,80}){0,4},\s{0,40}default\s{0,3}=\s{0,3}(?=[rb]?["'])"""
)
#: ``"name": "DB_PASSWORD", "value": "..."`` in JSON, YAML and XML.
_PAIR_BEFORE = re.compile(
    r"""(?i)\b(?:name|key|id|field|variable|parameter)\\?["']?\s{0,5}[:=]\s{0,5}\\?["']?[\w.:/-]{0,60}\Z"""
)
_PAIR_VALUE = re.compile(
    r"""(?i)\\?["']?\s{0,3},?\s{0,60}\\?["']?(?:value|defaultvalue|content)\\?["']?\s{0,5}(?P<sep>[:=])[ \t]{0,5}"""
)
_AFTER_FLAG = re.compile(
    r"""(?:[ \t]{1,20}|=|\\?["'],\s{0,20}(?=\\?["']))(?:(?P<quote>\\?["'])(?P<quoted>[^"'\n\\]{1,500})(?P=quote)|(?P"""
    r"""<value>[^\s\-$<{"'=*][^\s"'\\]{0,500}))"""
)
_STRING_OPENS = re.compile(r"""(?P<prefix>[rbufRBUF]{0,2})(?P<quote>\\?"{3}|\\?'{3}|\\{0,3}["']|`)""")
_CONTENT = {quote: re.compile(rf"(?s)(?:[^{quote}\\\n]|\\.)*+") for quote in "\"'`"}
_STRINGS_MAX = 100
_STRING_SEPARATOR = re.compile(r"\s{0,80},?\s{0,80}")
_BARE = re.compile(r"""[^\s"'`,;&<>()\[\]{}\\]{1,2000}""")
#: A value that ends with the line or the word, whatever signs it has.
_TEXT = re.compile(r"""[^\s"'`\\]{1,2000}""")
_CALL_BEFORE = re.compile(
    r"""(?<![a-z])(?:set\w{0,20}|put\w{0,10}|define|env|add\w{0,20}|get\w{0,20}|pop|log_param|tag|header|config|option|field)\("""
    r"""(?:\s{0,5}[^()\n,]{1,60},){0,2}\s{0,5}[rbu]?["'][\w.:/-]{0,60}$"""
)
_OPTION_BEFORE = re.compile(r"setopt\(\s{0,5}[\w.]{0,40}$")
_SHELL_BEFORE = re.compile(r"(?<![\w.])(?:export|setenv|%env|%set_env|declare(?: -\w)?|ENV|ARG|set)[ \t]+$")
#: After these a space separates name and value.
_SPACE_BEFORE = re.compile(
    r"(?<![\w.])(?:setenv|setx|%env|%set_env|ENV|set -\w{1,3}|configure set"
    r"|config(?:[ \t]+--?[\w-]+)*[ \t]+[\w.]*\.)[ \t]*$"
)
#: What may precede a name that starts a line of an environment, a shell or a properties file.
_LINE_BEFORE = re.compile(r"(?:[+>-] ?|[ \t]*- |!|%env |%set_env |export |ENV |ARG |\$env:|[\w.-]+\.)?\Z")
_YAML_BEFORE = re.compile(r"[ \t#>+!/-]*(?:\w+[ .])?\Z")
#: A word with letters and digits: "the password is hunter2", but not "is base64-encoded".
_SAID = re.compile(
    r"(?!(?i:base|sha|md|utf|rfc|v|x)-?\d)(?=[^\s\d]{0,40}\d)(?=\d{0,40}[^\s\d.,:])[^\s\"'`,;()<>-]{4,100}(?<![.!?])"
)
#: token: "Token | None" = None
_ANNOTATED = re.compile(r"[ \t]*=[^=]")
#: password: |
#:   ...
_BLOCK = re.compile(r"[|>][+-]?[ \t]*\n[ \t]{1,40}(?P<text>[^\s#][^\n]{0,500})")
_DIGIT = re.compile(r"[0-9]")
_COMPARED = 8
_CALL = re.compile(r"[A-Za-z_][\w.]*[(\[]")
_SECTION = re.compile(r"(?m)^\[[A-Za-z][\w .:/-]*\][ \t]*$")
_UNPACKED = re.compile(
    r"[ \t]{0,80}((?:[A-Za-z_][\w.]{0,60}[ \t]{0,5},[ \t]{0,5}){1,12}[A-Za-z_][\w.]{0,60})[ \t]{0,5}=[ \t]{0,5}"
    r"[(\[]?(?=[rb]?[\"'\w])"
)
_ITEM = re.compile(
    r"""\s*(?:[rbu]{0,2}(?P<quote>["'])(?P<text>[^"'\\\n]*)(?P=quote)|[\w.+-]+)[ \t]*(?:,|(?=[)\]\n#;]|\Z))"""
)


def value_spans(text: str, start: int, end: int, strength: Strength) -> list[Span]:
    """Return the spans of the secrets assigned to the name ``text[start:end]``."""
    before = text[max(0, start - _LOOK_BACK) : start]
    before = before[before.rfind("\n") + 1 :]
    name = text[start:end].lstrip("-")
    spaced = _SPACE_BEFORE.search(before[-80:]) is not None
    shell = spaced or _SHELL_BEFORE.search(before[-40:]) is not None
    is_flag = text.startswith("-", start) and (not before or before[-1:] in " \t\"'[(,")
    if (is_flag or spaced) and (flag := _AFTER_FLAG.match(text, end)):
        # In code, an expression may follow the name of a variable.
        if flag["quoted"] is not None:
            quote = flag["quote"]
            if text[flag.start()] in "= \t" and len(quote) == 1 and _open_quotes(before, quote):
                # This quote ends the string with the flag: run("tool --password " + password).
                return []
            return [flag.span("quoted")] if is_secret(flag["quoted"], strength, name) else []
        if (spaced or text.startswith("--", start) or strength == "strong") and text[flag.start()] != "=":
            return [flag.span("value")] if is_bare_secret(flag["value"], strength, name, is_text=True) else []
    if is_flag and (default := _DEFAULT.match(text, end)):
        return _quoted_spans(text, default.end(), "", "", False, strength, name) or []
    after = _AFTER_NAME.match(text, end)
    if pair := _pair_value(text, end, before):
        after = pair
    if after is None:
        return []
    groups = after.groupdict()
    close, separator = groups.get("close") or "", groups["sep"] or "is"
    if separator == ",":
        if not close and _OPTION_BEFORE.search(before[-60:]):
            # setopt(USERPWD, "me:...")
            return _quoted_spans(text, after.end(), before, "", False, strength, name) or []
        if not close:
            return list(_unpacked_spans(text, start, end, before, strength, name))
        # ("TOKEN", "value") is an assignment only in a call that sets or gets a value.
        if not _CALL_BEFORE.search(before[-120:]):
            return []
        strength = strength if name.isupper() or "get" not in before[-40:] else "weak"
    elif (
        separator == "="
        and "," in before
        and (spans := list(_unpacked_spans(text, start, end, before, strength, name)))
    ):
        return spans
    if separator == "is" and name.lower() == "authorization":
        return []
    quoted = _quoted_spans(
        text, after.end(), "" if pair else before, close, bool(groups.get("open")), strength, name, separator
    )
    if quoted is not None:
        return quoted
    if separator == ":" and (block := _BLOCK.match(text, after.end())):
        return [block.span("text")] if is_secret(block["text"], strength, name) else []
    if separator == "is":
        said = _SAID.match(text, after.end())
        return [said.span()] if said and is_password(name) else []
    if separator == ":=" and name.isupper() and not before.strip():
        # In a makefile.
        return _bare_spans(text, start, after.end(), before, "", "=", strength, name, True)
    if groups.get("open") or separator in (",", "==", "!=", ":="):
        return []
    return _bare_spans(
        text, start, after.end(), before, "" if pair else close, separator, strength, name, shell or bool(pair)
    )


def _pair_value(text: str, end: int, before: str) -> re.Match[str] | None:
    """The place after ``value:`` when the name is itself the value of ``name:``."""
    pair = _PAIR_VALUE.match(text, end)
    return pair if pair and _PAIR_BEFORE.search(before[-80:]) else None


def _unpacked_spans(text: str, start: int, end: int, before: str, strength: Strength, name: str) -> Iterator[Span]:
    """Spans of the literal that is assigned to a name among others: ``user, password = "me", "..."``."""
    line = start - len(before)
    assigned = _UNPACKED.match(text, line)
    if strength != "strong" or assigned is None or not assigned.start(1) <= start < assigned.end(1):
        return
    items, position = [], assigned.end()
    # There is a value for each name; in a call, text before a keyword is none: f(secret, label="x").
    for _ in range(assigned[1].count(",") + 1):
        item = _ITEM.match(text, position)
        if item is None:
            return
        position = item.end()
        items.append(item)
    value = items[before.count(",")]
    if value["text"] and is_secret(value["text"], strength, name):
        yield value.span("text")


def _quoted_spans(
    text: str,
    position: int,
    before: str,
    close: str,
    in_brackets: bool,
    strength: Strength,
    name: str,
    separator: str = "",
) -> list[Span] | None:
    """Return the spans of secrets in the string literals from `position` on; None when there is no literal."""
    spans: list[Span] = []
    found = 0
    # The second of two strings is the password: auth=("me", "...").
    is_pair = in_brackets and strength == "weak" and name.lower().endswith("auth")
    while len(spans) < _STRINGS_MAX and (opens := _STRING_OPENS.match(text, position)):
        quote = opens["quote"]
        if not found and quote != close and quote[0] != "\\" and _open_quotes(before, quote[0]):
            # This quote ends the string with the name: input("Password: ").
            return None
        found += 1
        stop, after = _string_end(text, opens.end(), quote)
        content = text[opens.end() : stop]
        template = "f" in opens["prefix"].lower() and "{" in content
        if separator == ":" and not close and _ANNOTATED.match(text, after):
            return []
        if separator in ("==", "!=") and len(content) < _COMPARED and name.lower() == "token":
            # Parsers compare a token with a sign or a word.
            return []
        if not template and content and is_secret(content, "strong" if is_pair and found == 2 else strength, name):
            spans.append((opens.end(), stop))
        if not in_brackets:
            break
        comma = _STRING_SEPARATOR.match(text, after)
        position = comma.end() if comma else after
    return spans if found else None


def _open_quotes(before: str, quote: str) -> bool:
    return (before.count(quote) - before.count("\\" + quote)) % 2 == 1


def _string_end(text: str, position: int, quote: str) -> Span:
    """Return the end of the content of a literal and the end of the literal."""
    if len(quote.lstrip("\\")) == 3 or quote[0] == "\\":
        end = text.find(quote, position)
        line = text.find("\n", position)
        if len(quote.lstrip("\\")) == 1 and line >= 0 and not position <= end < line:
            return line, line
        return (end, end + len(quote)) if end >= 0 else (len(text), len(text))
    content = _CONTENT[quote].match(text, position)
    end = content.end() if content else position
    return end, end + 1 if text.startswith(quote, end) else end


def _bare_spans(
    text: str,
    start: int,
    position: int,
    before: str,
    close: str,
    separator: str,
    strength: Strength,
    name: str,
    is_text: bool,
) -> list[Span]:
    found = _BARE.match(text, position)
    if found is None or text.startswith(("***", "%", "-", "=", "!", ":"), position):
        return []
    following = text[found.end() : found.end() + 1]
    # In "host=db password=hunter" and "?token=abc&x=1" a value cannot be a variable.
    in_string = not close and any(_open_quotes(before, quote) for quote in "\"'")
    tight = separator == "=" and text[position - 1] == "=" and before.count("(") <= before.count(")")
    line = bool(tight and _LINE_BEFORE.match(before))
    if not close and not in_string and (line or (is_text and not text.startswith(" ", found.end()))):
        found = _TEXT.match(text, position) or found
    elif following and following in "([{":
        return []
    stop = found.end()
    while stop > position and text[stop - 1] in ";&|,)]}>":
        stop -= 1
    value = text[position:stop]
    in_call = separator == "=" and not in_string and before.count("(") > before.count(")")
    if _CALL.match(value) or (in_call and value.isidentifier()):
        # An expression: password=getpass(), connect(password=pw1).
        return []
    end_of_line = text[stop : stop + 1] in ("", "\n", "\r", "\\") or text[stop : stop + 3] == "\\n"
    is_text = is_text or line or (separator == "=" and (in_string or bool(following and following in "&;")))
    is_keyword = before.rstrip().endswith(",") and value.replace(".", "_").isidentifier()
    is_text = is_text or bool(tight and before.strip() and not is_keyword and not following.startswith((",", ")")))
    if separator == ":" and not close and end_of_line and "(" not in before:
        is_text = is_text or bool(_YAML_BEFORE.match(before) and not value[:1].isupper())
    elif separator == "=" and end_of_line and not before.strip() and not is_text:
        is_text = _SECTION.search(text, max(0, start - 2000), start) is not None
    if (
        separator == ":"
        and following == " "
        and not is_text
        and text[stop : stop + 2] != " #"
        and not _DIGIT.search(value)
    ):
        # A word of a sentence, unless a comment follows.
        return []
    if separator == ":" and value[:1].isupper() and value.isidentifier() and strength == "weak":
        # The annotation of a variable.
        return []
    if not value or not is_bare_secret(value, strength, name, is_text=is_text):
        return []
    return [] if value.isidentifier() and _is_variable(text, value, position, stop) else [(position, stop)]


def _is_variable(text: str, value: str, position: int, stop: int) -> bool:
    """Whether a name is assigned elsewhere in the text."""
    pattern = re.compile(rf"(?<![\w.\"'-]){re.escape(value)}[ \t]*(?:=[^=]|,|:[ \t]*\w+[ \t]*=|\))")
    return bool(pattern.search(text, max(0, position - 4000), position)) or bool(
        re.search(rf"\b(?:for|as|import)[ \t]+{re.escape(value)}\b", text[max(0, position - 4000) : position])
    )

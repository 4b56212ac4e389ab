"""Secrets inside of addresses, cookies and rows of SQL."""

from __future__ import annotations

import re

from mlops_workbench.core.secrets.formats import MASK, masked_inside
from mlops_workbench.core.secrets.names import name_strength, words
from mlops_workbench.core.secrets.values import is_key_like, is_plain, is_template

_COOKIE_SECRET = re.compile(r"(?i)sess|sid\b|auth|token|jwt|csrf|xsrf|remember|login|secret|passw|_key|credential")
_COOKIES = re.compile(
    r"""(?:[cC]ookie\\?["']?[ \t]{0,3}[:=,][ \t]{0,3}|curl(?:[ \t][^\n|;]{0,300}?)?[\s"'](?:-b|--cookie)[ =]{1,5})"""
    r"""\\?["']?"""
    r"""(?P<cookies>[\w.!#$%&*+^`|~-]{1,80}=[^\n"'\\]{1,2000})"""
)
_COOKIE = re.compile(r"(?:^|;)\s{0,5}(?P<name>[^=;\s]{1,80})=(?P<s>[^;\s]{1,1000})")
_COOKIE_SETTINGS = words("path domain expires max-age samesite version comment priority")

_URL_STARTS = re.compile(r"""://([^\s/@:"'`<>]{0,256}):(?=[^\s"'`<>])""")
_URL_REST = re.compile(r"""[^\s"'`<>]{1,512}""")
_URL_KEY = re.compile(r"://([A-Za-z0-9_-]{20,256})@")
_PORT = re.compile(r"\d{1,5}(?:[/?#,)\]]|\Z)")
_HOST = re.compile(r"(?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]+|localhost|\[[0-9a-fA-F:]+\]|[A-Za-z0-9_-]+(?=:\d)")
#: The name of a host without a domain, as in a network of containers.
_NAME = re.compile(r"[\w-]+(?=[/?:]|\Z)")
_DATABASE = re.compile(
    r"(?:postgres\w*|mysql|mariadb|mongodb|rediss?|amqps?|mssql|oracle|snowflake|clickhouse\w*)(?:\+\w+)?://\Z"
)

_INSERT = re.compile(r"(?i)\binsert\s{1,5}into\s{1,5}[^\s(]{1,100}\s{0,5}\(([^()]{1,2000})\)\s{0,10}values\s{0,10}")
_ROW = re.compile(r"\s{0,5},?\s{0,5}\(((?:[^()']|'[^'\n]*'){1,4000})\)")
_CELL = re.compile(r"""\s*(?:'(?P<s>[^'\n]*)'|[^,']*)\s*(?:,|\Z)""")


def mask_structures(text: str, lower: str) -> str:
    """Mask passwords in addresses, values of cookies, and values of SQL's INSERT; `lower` is the text in lower case."""
    if "cookie" in lower or "curl" in lower:
        text = _COOKIES.sub(
            lambda found: masked_inside(found, "cookies", _COOKIE.sub(_cookie_masked, found["cookies"])), text
        )
    if "insert" in lower and "values" in lower:
        text = _mask_rows(text)
    return _mask_urls(text) if "://" in text else text


def _cookie_masked(found: re.Match[str]) -> str:
    name, value = found["name"], found["s"]
    if name.lower() in _COOKIE_SETTINGS or is_template(value):
        return found[0]
    secret = _COOKIE_SECRET.search(name) is not None or (len(value) >= 12 and (is_key_like(value) or len(value) >= 32))
    return masked_inside(found, "s", MASK) if secret else found[0]


def _mask_rows(text: str) -> str:
    """Mask the values of columns with the name of a secret in INSERT statements."""
    kept, written = [], 0
    for found in _INSERT.finditer(text):
        columns = [name.strip(' \t\n"`[]') for name in found[1].split(",")]
        secret = {i for i, name in enumerate(columns) if name_strength(name) == "strong"}
        position = found.end()
        while secret and (row := _ROW.match(text, position)):
            position = row.end()
            for i, cell in enumerate(_CELL.finditer(text, row.start(1), row.end(1))):
                if i in secret and cell["s"] and not is_template(cell["s"]) and cell.start("s") >= written:
                    kept += [text[written : cell.start("s")], MASK]
                    written = cell.end("s")
    return "".join([*kept, text[written:]])


def _mask_urls(text: str) -> str:
    kept, written, position = [], 0, 0
    while found := _URL_STARTS.search(text, position):
        position = found.end()
        length = _password_length(text, found)
        if length:
            kept += [text[written:position], MASK]
            written = position = position + length
    return _URL_KEY.sub(_url_key_masked, "".join([*kept, text[written:]]))


def _password_length(text: str, found: re.Match[str]) -> int:
    """Length of the password of a URL; 0 if it has none.

    An unencoded password may contain ``@``, ``/``, ``?`` and ``#``, which is why its end is uncertain: it is followed
    by ``@`` and a host. In the address of a database the last one counts, in others the last one before the path unless
    no host follows it.
    """
    match = _URL_REST.match(text, found.end())
    rest = match[0] if match else ""
    slash = rest.find("/")
    end = rest.rfind("@", 0, slash if slash >= 0 else len(rest))
    if end < 0 and (_PORT.match(rest) or rest[:1] in "{$%"):
        return 0
    last = rest.rfind("@")
    if last > end and "{" not in rest[:last]:
        query = rest.find("?", end + 1) if end >= 0 else -1
        later = rest.rfind("@", 0, query) if query >= 0 else last
        database = _DATABASE.search(text, max(0, found.start() - 30), found.start() + 3)
        host = _HOST.match(rest, later + 1) or (database and _NAME.match(rest, later + 1))
        if later > end and host and (end < 0 or database or not _HOST.match(rest, end + 1)):
            end = later
    password = rest[: max(0, end)]
    return 0 if not password or password == MASK or is_template(password) else len(password)


def _url_key_masked(found: re.Match[str]) -> str:
    key = found[1]
    is_secret = not is_plain(key) or (len(key) >= 32 and re.fullmatch("[a-f0-9]+", key) is not None)
    return f"://{MASK}@" if is_secret else found[0]

"""Whether a value under the name of a secret, or in the place of one, is a secret."""

from __future__ import annotations

import base64
import binascii
import re

from mlops_workbench.core.secrets.formats import looks_random
from mlops_workbench.core.secrets.names import Strength, is_bare_key, is_password, name_strength, words

_NAME_MAX = 64
_DTYPE = re.compile(r"(?:u?int|float|complex|datetime|timedelta)\d+\Z")
_NUMBER_LIKE = re.compile(r"[-+\d][-+\d.,:/%eE_xX]*\Z")
_NUMBER = re.compile(r"[-+]?\d{1,5}\Z|[-+]?\d*\.\d*(?:[eE][-+]?\d+)?\Z|[-+]?\d+[eE][-+]?\d+\Z")
_TEMPLATE = re.compile(
    r"\{\{[^{}]*\}\}|\{[^{}]*\}|\$\{[^{}]*\}|\$\(.*|\$[A-Z_][A-Z0-9_]*\b|\$[a-z_]+\b(?!\d)|<[^<>]*>|%\(?\w*\)?[sd]|"
    r"\.{3}"
)
_PLAIN_PIECE = re.compile(r"[A-Za-z]*\d{0,4}\Z|\d+[A-Za-z]{0,2}\Z|[A-Z]?[a-z]+(?:[A-Z][a-z]+)*\d{0,4}\Z")
_PIECES = re.compile(r"[\W_]+")
_SHORT = re.compile(r"[a-z]{1,4}\d[a-z]{1,4}\Z")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\Z")
_HEX = re.compile(r"(?:[a-z0-9]+:|0x|m-)?[0-9a-fA-F]+\Z")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_ADDRESS = re.compile(r"[a-z0-9+]+:|[\w.-]+@[\w.-]+\.\w+\Z")
_CODE = re.compile(r"[A-Za-z_.]+\Z|[A-Za-z_][\w.]*\.\w*\Z")
_CONSTANT = ("None", "True", "False", "null", "true", "false", "NaN", "nil", "undefined")
#: Types, states and other words that stand after the names of secrets in schemas, messages and prose.
_NO_SECRET = words(
    "string str text object category bytes bool boolean int integer float double long number varchar char any "
    "dict list optional required missing invalid incorrect wrong expired none null nil ok yes no true false "
    "set unset hidden redacted masked changed empty default unknown auto not is was to on in and or for from "
    "with without if the a an of by must may can will should has option flag instead when while that which "
    "does type value field column pass return raise yield await lambda self args kwargs accepted rejected "
    "denied failed found given provided used"
)
_TYPES = words("string str object category boolean varchar text true false none null on off yes no")
_WORD = re.compile(r"\w")
#: Schemes of authorization, to which code appends the secret.
_SCHEMES = words("bearer basic token apikey digest")
_PLACEHOLDER = re.compile(
    r"(?i)(?:your|enter|insert|replace)[-_ ]|[\w-]*x{3,}\Z|[\w-]{0,12}\.\.\.|redacted\Z|[A-Z]+(?:_[A-Z]+)*_(?-i:NAME"
    r"|HERE)\Z"
)
#: The code between two strings: "PASSWORD '" + password + "'".
_CONCATENATED = re.compile(r"""\\?["'] ?[+%.]|[ \w.()]{0,80}\+ ?\\?["']\Z|[ ]?\+ \w""")
_USER_PASSWORD = re.compile(r"[\w.@-]{1,60}:(?!//)[^\s/]{3,}\Z")
_FILE = re.compile(
    r"(?:~|\.{0,2})/[\w.+-]+(?:/[\w.+-]*)*\Z|[A-Za-z]:\\|[\w./+-]+\.(?:json|pem|key|crt|cer|p12|pfx|ya?ml|toml|txt|c"
    r"fg|ini|env)\Z"
)
_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\Z")
_PATH = re.compile(r"~?/|[A-Za-z]:\\")


def is_template(value: str) -> bool:
    """Whether a value is only a placeholder: ``{password}``, ``$TOKEN``, ``<your key>``, or masked already."""
    if _PLACEHOLDER.match(value) or _CONCATENATED.match(value):
        return True
    rest = _TEMPLATE.sub("", value).strip("*")
    return not rest.strip() or (value[0] in "<[" and value[-1] in ">]")


def is_secret(value: str, strength: Strength, name: str = "") -> bool:
    """Whether text with a name of this strength is a secret."""
    if is_template(value):
        return False
    if strength == "strong":
        lower = value.strip().lower()
        if lower in _TYPES or lower in _SCHEMES or _DTYPE.match(value) or (len(value) < 4 and not _WORD.search(value)):
            return False
        if name.lower() == "pass" and lower in _NO_SECRET:
            return False
        if _VARIABLE.match(value) and name_strength(value):
            # The name of a variable of the environment.
            return False
        if name.isupper() and name.lower() == lower:
            # A constant with the name of a field: API_KEY = "api_key".
            return False
        if name.upper() == "PWD" and _PATH.match(value):
            return False
        return not (_FILE.match(value) and not is_password(name) and not looks_random(value.lstrip("/")))
    if name.lower().endswith("auth") and _USER_PASSWORD.match(value):
        return True
    return (len(value) >= 8 and is_key_like(value, hexadecimal=is_bare_key(name))) or is_basic(value)


def is_key_like(value: str, *, hexadecimal: bool = False) -> bool:
    """Whether text looks like a key, and not like words, an id, a date, an address or a path.

    `hexadecimal` tells whether text of 32 or 40 hexadecimal digits, which is a key or a hash, counts as a key.
    """
    if _HEX.match(value):
        return hexadecimal and len(value) in (32, 40)
    if _UUID.match(value) or _DATE.match(value) or _ADDRESS.match(value) or re.search(r"[\s/\\()]", value):
        return False
    if _PIECES.search(value) and all(is_plain(piece) or _SHORT.match(piece) for piece in _PIECES.split(value)):
        return False
    return not is_plain(value) and not (value.isupper() and "-" not in value and len(value) > 24)


def is_basic(value: str) -> bool:
    """Whether text is a name and a password in Base64."""
    if len(value) < 8 or len(value) > 2000:
        return False
    try:
        plain = base64.b64decode(value + "=" * (-len(value) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return False
    return ":" in plain and plain.isprintable()


def is_plain(value: str) -> bool:
    """Whether a value consists of words and numbers joined by other characters."""
    return all(_PLAIN_PIECE.match(piece) for piece in _PIECES.split(value) if not piece.isalpha() or piece.islower())


def is_bare_secret(value: str, strength: Strength, name: str = "", *, is_text: bool) -> bool:
    """Whether a value without quotes is a secret, and not a variable, a number or a word about the secret.

    `is_text` tells that the value cannot be an expression.
    """
    value = value.rstrip(":.!?") or value
    if not _WORD.search(value) or value in _CONSTANT or _DTYPE.match(value) or value.lower() in _NO_SECRET:
        return False
    if _NUMBER_LIKE.match(value):
        return is_long_number(value, name) or (
            is_text and strength == "strong" and value.isdecimal() and len(value) > 5
        )
    if is_text:
        own = value.rpartition(".")[2]
        # token=token, token=settings.token
        is_variable = value.lower() == name.lower() or ("." in value and own.isidentifier() and name_strength(own))
        return not is_variable and is_secret(value, strength, name)
    if (len(value) <= _NAME_MAX and name_strength(value)) or not is_secret(value, strength, name):
        # In f(token=token) the value is a variable.
        return False
    return not _CODE.match(value)


def is_count(value: str, name: str) -> bool:
    """Whether text is a number that is no secret: parameters of MLflow are texts, ``token=5`` too."""
    if not _NUMBER.match(value) or is_long_number(value, name):
        return False
    return not is_password(name) or name.lower().endswith("pin")


def is_long_number(value: str, name: str) -> bool:
    """Whether digits may be a password or PIN; short ones are counts, or the pins of a board."""
    return value.isdecimal() and len(value) >= 4 and is_password(name)

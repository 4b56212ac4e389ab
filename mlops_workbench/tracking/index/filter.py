"""MLflow's filter language, parsed into conditions.

``metrics.auc > 0.8 and params.depth = 6 and tags."team/name" ILIKE 'ann%'``: comparisons joined by AND, each of an
identifier, an operator and a value, as in ``MlflowClient.search_runs``. In addition, a parameter is compared with a
number as a number (MLflow: as text), lists may be used with every parameter, tag and text, and ``experiment``,
``kind``, ``notebook`` and ``duration`` (in seconds) are attributes.

Text values are quoted; names with characters other than letters, digits, ``_``, ``.`` and ``/`` are put in backquotes
or double quotes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mlops_workbench.core.errors import InvalidInput, did_you_mean

Kind: TypeAlias = Literal["metrics", "params", "tags", "attributes", "datasets"]
Operand: TypeAlias = "str | int | float | tuple[str | int | float, ...] | None"

#: MLflow's spellings of the kinds.
_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("metric", "metrics"), "metrics"),
    **dict.fromkeys(("param", "params", "parameter", "parameters"), "params"),
    **dict.fromkeys(("tag", "tags"), "tags"),
    **dict.fromkeys(("attr", "attribute", "attributes", "run"), "attributes"),
    **dict.fromkeys(("dataset", "datasets"), "datasets"),
}  # fmt: skip

#: Attributes and the type of their values.
ATTRIBUTES: dict[str, type] = {
    "run_id": str, "run_name": str, "status": str, "user_id": str, "start_time": int, "end_time": int,
    "experiment": str, "kind": str, "notebook": str, "duration": float,
}  # fmt: skip
_ALIASES = {
    "created": "start_time", "Created": "start_time", "run name": "run_name", "Run name": "run_name",
    "Run Name": "run_name", "name": "run_name", "start": "start_time", "end": "end_time", "uid": "run_id",
    "user": "user_id",
}  # fmt: skip
_DATASET = ("name", "digest", "context")

#: What runs can be ordered by, see :func:`parse_identifier`. A name after the dot begins with a character that is seen.
ORDER = (
    rf"(?:(?:attr|attribute|attributes|run)\.)?(?:{'|'.join(sorted({*ATTRIBUTES, *_ALIASES}))})"
    r"|(?:metric|param|parameter|tag)s?\.(?:[^\s`\"\x00-\x20\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f\u3000\ufeff][\s\S]*"
    r"|`[^`]+`|\"[^\"]+\")"
)

_ORDER_OPERATORS = (">=", "<=", "!=", "=", ">", "<")
_TEXT_OPERATORS = ("=", "!=", "LIKE", "ILIKE", "IN", "NOT IN")
_NULL_OPERATORS = ("IS NULL", "IS NOT NULL")

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
    | (?P<string>'[^']*')
    | (?P<name>(?:[^\W\d][\w]*|`[^`]*`|"[^"]*")(?:\.(?:`[^`]*`|"[^"]*"|[\w./-]+))?)
    | (?P<operator><>|>=|<=|!=|==|=|>|<)
    | (?P<mark>[(),])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Condition:
    """One comparison; `value` is None for ``IS NULL``, a tuple for ``IN``."""

    kind: Kind
    name: str
    operator: str
    value: Operand


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


def parse_filter(text: str) -> list[Condition]:
    """Conditions of a filter, all of which must hold.

    Raises
    ------
    InvalidInput
        The filter is not valid; `where` shows the place.
    """
    return _Parser(text).conditions()


def parse_identifier(text: str) -> tuple[Kind, str]:
    """Kind and name of an identifier in a filter or an order; a bare name is an attribute.

    Raises
    ------
    InvalidInput
        Unknown kind or attribute.
    """
    kind, dot, name = text.strip().partition(".")
    if not dot:
        kind, name = "attributes", kind
    found = _KINDS.get(kind.strip('`"'))
    if found is None:
        raise InvalidInput(
            f"runs have no '{kind}'",
            hint=f"{did_you_mean(kind, set(_KINDS.values()))}; write metrics.NAME, params.NAME, tags.NAME or status",
        )
    if name[:1] in ("`", '"') and name[-1:] == name[:1] and len(name) > 1:
        name = name[1:-1]
    if found == "attributes":
        name = _ALIASES.get(name, name)
        if name == "artifact_uri":
            raise InvalidInput(
                "runs cannot be filtered by artifact_uri here",
                hint="use run_id or experiment, which are parts of it, or MlflowClient().search_runs",
            )
        if name not in ATTRIBUTES:
            raise InvalidInput(f"runs have no attribute '{name}'", hint=did_you_mean(name, ATTRIBUTES))
    if found == "datasets" and name not in _DATASET:
        raise InvalidInput(f"data sets have no '{name}'", hint=did_you_mean(name, _DATASET))
    if not name:
        raise InvalidInput(f"'{text}' has no name after the dot", hint=f"write {found}.NAME")
    return found, name


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._tokenize()
        self._next = 0

    def conditions(self) -> list[Condition]:
        found = []
        if not self._tokens:
            return []
        while True:
            found.append(self._condition())
            token = self._peek()
            if token is None:
                return found
            if token.text.upper() != "AND":
                hint = (
                    "conditions are joined by AND only; search twice for OR"
                    if token.text.upper() == "OR"
                    else "join conditions by AND; put text into quotes"
                )
                raise self._error(f"'{token.text}' is not expected here", token, hint)
            self._next += 1

    def _condition(self) -> Condition:
        token = self._take("a condition", "for example: metrics.auc > 0.8")
        if token.kind != "name":
            raise self._error(f"'{token.text}' is not a name", token, "begin with metrics.NAME, params.NAME ...")
        try:
            kind, name = parse_identifier(token.text)
        except InvalidInput as error:
            raise self._error(error.message, token, error.hint or "") from None
        operator = self._operator(token)
        if operator in _NULL_OPERATORS:
            value: Operand = None
        elif operator in ("IN", "NOT IN"):
            value = self._list()
        else:
            value = self._value(operator)
        self._check(kind, name, operator, value, token)
        return Condition(kind, name, operator, value)

    def _operator(self, after: _Token) -> str:
        token = self._take(f"an operator after '{after.text}'", "one of = != > >= < <= LIKE ILIKE IN")
        word = token.text.upper()
        if token.kind == "operator":
            return {"==": "=", "<>": "!="}.get(token.text, token.text)
        if word in ("LIKE", "ILIKE", "IN"):
            return word
        if word == "NOT" and self._word("IN"):
            return "NOT IN"
        if word == "IS":
            if self._word("NULL"):
                return "IS NULL"
            if self._word("NOT") and self._word("NULL"):
                return "IS NOT NULL"
        hint = "use = != > >= < <= LIKE ILIKE IN, NOT IN, IS NULL"
        raise self._error(f"'{token.text}' is not an operator", token, hint)

    def _value(self, operator: str) -> str | int | float:
        token = self._take(f"a value after {operator}", "a number, or text in quotes: 'abc'")
        if token.kind == "number":
            return int(token.text) if re.fullmatch(r"[-+]?\d+", token.text) else float(token.text)
        if token.kind == "string" or (token.kind == "name" and token.text[0] == '"' == token.text[-1]):
            return token.text[1:-1]
        raise self._error(f"'{token.text}' is not a value", token, f"put text into quotes: '{token.text}'")

    def _list(self) -> tuple[str | int | float, ...]:
        token = self._take("a list", "for example: IN ('a', 'b')")
        if token.text != "(":
            raise self._error(f"'{token.text}' does not begin a list", token, "for example: IN ('a', 'b')")
        values = []
        while True:
            values.append(self._value("("))
            token = self._take("',' or ')'", "close the list with ')'")
            if token.text == ")":
                return tuple(values)
            if token.text != ",":
                raise self._error(f"'{token.text}' is not expected in a list", token, "separate values by ','")

    def _check(self, kind: Kind, name: str, operator: str, value: Operand, token: _Token) -> None:
        what = f"{kind}.{name}" if kind != "attributes" else name
        numbers = all(not isinstance(item, str) for item in (value if isinstance(value, tuple) else (value,)))
        if kind == "metrics" or (kind == "attributes" and ATTRIBUTES[name] is not str):
            if operator not in _ORDER_OPERATORS:
                raise self._error(f"{what} is a number, which has no {operator}", token, "use = != > >= < <=")
            if not numbers:
                raise self._error(f"{what} is a number, '{value}' is text", token, "write the number without quotes")
        elif kind in ("params", "tags"):
            if operator in (">", ">=", "<", "<=") and (kind == "tags" or not numbers):
                hint = "use = != LIKE ILIKE IN" if kind == "tags" else "write a number without quotes"
                raise self._error(f"{what} is compared as text, which has no {operator}", token, hint)
            if operator in ("LIKE", "ILIKE") and numbers:
                raise self._error(f"{operator} compares with text", token, f"write '{value}' in quotes")
        else:
            if operator not in _TEXT_OPERATORS:
                raise self._error(f"{what} is text, which has no {operator}", token, "use = != LIKE ILIKE IN")
            if numbers:
                raise self._error(f"{what} is text", token, f"write '{value}' in quotes")

    def _word(self, word: str) -> bool:
        token = self._peek()
        if token is not None and token.text.upper() == word:
            self._next += 1
            return True
        return False

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self, what: str, hint: str) -> _Token:
        token = self._peek()
        if token is None:
            raise self._error(f"{what} is missing", _Token("end", "", len(self._text)), hint)
        self._next += 1
        return token

    def _tokenize(self) -> list[_Token]:
        tokens, at = [], 0
        while at < len(self._text):
            found = _TOKEN.match(self._text, at)
            if found is None:
                wrong = _Token("wrong", self._text[at], at)
                if wrong.text in "'\"`":
                    raise self._error(f"{wrong.text} is not closed", wrong, f"close the {wrong.text}")
                hint = "put names with such characters into backquotes: tags.`a b`"
                raise self._error(f"{wrong.text} is not allowed here", wrong, hint)
            if found.lastgroup != "space":
                tokens.append(_Token(str(found.lastgroup), found.group(), at))
            at = found.end()
        return tokens

    def _error(self, message: str, token: _Token, hint: str) -> InvalidInput:
        begin, end = max(0, token.at - 30), token.at + 30
        shown = (
            self._text[begin : token.at]
            + "⟦"
            + (token.text or " ")
            + "⟧"
            + self._text[token.at + len(token.text) : end]
        )
        return InvalidInput(message, where=f"filter, character {token.at + 1}: {shown.strip()}", hint=hint)

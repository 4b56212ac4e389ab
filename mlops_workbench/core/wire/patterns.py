"""Forms of the texts in requests, as regular expressions for the OpenAPI document.

The control plane checks these texts itself, because its errors say how to mend them: see `check_name`, `check_alias`,
`check_conditions` and others. What they refuse, the patterns forbid. The expressions are understood by Python and
JavaScript alike.
"""

from __future__ import annotations

import keyword
from dataclasses import dataclass
from typing import Any

#: Longest condition of a gate.
MAX_CONDITION = 2000
#: Name of a model, endpoint or pipeline.
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}"
#: Alias of a model version; ``latest`` and ``v1`` have a meaning of their own in MLflow, ``previous`` here.
ALIAS = r"(?!latest$|[vV][0-9]+$|(?:[A-Za-z0-9_-]*-)?previous$)[A-Za-z][A-Za-z0-9_-]{0,200}"
#: Reference to a model version: ``name``, ``name@alias`` or ``name/3``.
REFERENCE = r"(?:models:/)?[^@/]+(?:@[^@/]+|/[0-9]{1,10})?"
#: Reason of an override: a line of text, and its longest.
REASON = r" *[^\x00-\x20\x7f][^\x00-\x1f\x7f]*"
MAX_REASON = 2000
#: Path of a file, absolute or below a folder; the code takes ``..`` in it where the path stays below the folder.
PATH = r"/?(?:(?!\.\.(?:/|$))[^/\x00]+(?:/(?!\.\.(?:/|$))[^/\x00]+)*)"
#: Size of a monitor's windows; no setting lets fewer than 50 rows raise an alert.
WINDOW = r"hour|day|month|[5-9][0-9]|[1-9][0-9]{2,8}"


def _condition() -> str:
    """A condition of a gate: comparisons of sums, with a metric in one of them, joined by ``and`` and ``or``.

    The code takes more parentheses than those around comparisons; no regular expression describes nested ones.
    """
    # Each part takes the spaces after it, and no text can be read in two ways, so that matching takes linear time.
    reserved = "|".join(sorted({*keyword.kwlist, "__quoted_[0-9]+__"} - {"and", "or"}))
    free = r"[^`\"A-Za-z_]|`[^`]*`|\"[^\"]*\"|[A-Za-z_][A-Za-z0-9_]*(?=[^A-Za-z0-9_])"
    no_keyword = rf"(?!(?:{free})*?(?<![A-Za-z0-9_])(?:{reserved})(?![A-Za-z0-9_]))"
    only_numbers = r"(?!(?:[0-9.eE+*/()<>=! -]|and|or)*$)"
    name = r"(?:(?!(?:and|or)(?![A-Za-z0-9_]))[A-Za-z_][A-Za-z0-9_]*|`[^`]*`)"
    scope = r"(?:metrics|champion|baseline)"
    metric = rf"(?:{scope}(?:\.{name}|\[\"[A-Za-z0-9_ /.:@%+-]*\"\])|(?!{scope}(?![A-Za-z0-9_])){name})"
    number = r"(?:(?:0|[1-9][0-9]{0,299})(?:\.[0-9]{0,300})?|\.[0-9]{1,300})(?:[eE][+-]?[0-9]{1,3})?"
    term = rf"(?:[-+] *)?(?:{metric}|{number})(?![A-Za-z0-9_.`\"\[(]) *"
    total = rf"{term}(?:[-+*/] *{term})*"
    comparison = rf"{total}(?:(?:[<>]=?|[=!]=) *{total})+"
    joint = r"(?:and|or)(?=[ (+.-])(?= *[^ ]) *"
    other = r"(?:[^()`\"]|`[^`]*`|\"[^\"]*\")*"
    balanced = rf"(?={other}(?:\({other}\){other})*$)"
    return rf"{no_keyword}{only_numbers}{balanced} *(?:(?:\( *)?{comparison}(?:\) *)?(?:{joint}|$))+"


CONDITION = _condition()


@dataclass(frozen=True)
class Documented:
    """Marks the type of a value whose form only the OpenAPI document has; `pattern` is for the whole text."""

    pattern: str = ""
    choices: tuple[str, ...] = ()
    longest: int | None = None
    above: float | None = None
    optional: bool = False

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        found: dict[str, Any] = dict(handler(schema))
        if self.pattern:
            found["pattern"] = f"^(?:{self.pattern}){'?' if self.optional else ''}$"
        if self.choices:
            found["enum"] = list(self.choices)
        if self.longest is not None:
            found["maxLength"] = self.longest
        if self.above is not None:
            found["exclusiveMinimum"] = self.above
        return found

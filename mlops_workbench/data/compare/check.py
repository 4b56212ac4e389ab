"""Check a table against the schema that was inferred from a run's training data, with pandera."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_workbench.core.errors import UNREADABLE, InvalidInput
from mlops_workbench.core.secrets.columns import is_secret_name
from mlops_workbench.core.shown.formats import number

if TYPE_CHECKING:
    import pandas as pd

_EXAMPLES = 3
_COMPARISONS = ("greater_than", "less_than", "isin", "in_range")
_WORDS = {
    "column_in_dataframe": "the column is missing",
    "not_nullable": "no value may be missing",
    "field_uniqueness": "values must be unique",
}


@dataclass(frozen=True)
class Failure:
    """A check that a column failed.

    Attributes
    ----------
    column : str
        The column.
    check : str
        Text of the expectation.
    rows : int or None
        Number of failing rows; None when the check is on the whole column.
    examples : list of str
        Some of the failing values.
    """

    column: str
    check: str
    rows: int | None
    examples: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class DataCheck:
    """Result of a check.

    Attributes
    ----------
    rows, columns : int
        Rows of the table, and columns of the schema.
    failures : list of Failure
        Empty when the table passed.
    aligned : list of str
        Columns that were converted to the schema's type without loss, such as integers where training had floats.
    """

    rows: int
    columns: int
    failures: list[Failure]
    aligned: list[str]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failures


def check_frame(frame: pd.DataFrame, schema_json: bytes) -> tuple[DataCheck, pd.DataFrame]:
    """Validate a table with all checks of a schema.

    Parameters
    ----------
    frame : DataFrame
        The table; columns that are not in the schema are ignored.
    schema_json : bytes
        A schema in pandera's JSON format.

    Returns
    -------
    check : DataCheck
        The result.
    cases : DataFrame
        pandera's failure cases: ``column check failure_case index``, one row per failing value.

    Raises
    ------
    InvalidInput
        The installed pandera cannot read the schema.
    """
    import pandas as pd
    from pandera.errors import SchemaErrors
    from pandera.io import pandas_io

    try:
        schema: Any = pandas_io.deserialize_schema(json.loads(schema_json))  # type: ignore[no-untyped-call]
    except (*UNREADABLE, TypeError, AttributeError, KeyError) as error:
        raise InvalidInput(
            f"the schema of the training data cannot be read: {error}", hint="run the cell again to infer a new one"
        ) from error
    frame, aligned = _aligned(frame, schema)
    empty = pd.DataFrame({"column": [], "check": [], "failure_case": [], "index": []})
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases
        failures = _failures(cases, len(frame))
        return DataCheck(len(frame), len(schema.columns), failures, aligned), cases[list(empty.columns)]
    return DataCheck(len(frame), len(schema.columns), [], aligned), empty


def _failures(cases: pd.DataFrame, rows: int) -> list[Failure]:
    found = []
    mistyped = {column for column, check in zip(cases["column"], cases["check"], strict=True) if "dtype(" in str(check)}
    for (column, check), group in cases.groupby(["column", "check"], sort=False, dropna=False):
        if column in mistyped and str(check).startswith(_COMPARISONS):
            # Values of another type cannot be compared: pandera gives the error of the comparison as a value.
            continue
        if check == "column_in_dataframe":
            found += [Failure(str(name), _WORDS[check], None) for name in group["failure_case"]]
            continue
        whole = group["index"].isna().all()
        examples = (
            []
            if check == "not_nullable" or is_secret_name(column)
            else [str(value) for value in group["failure_case"].unique()[:_EXAMPLES]]
        )
        found.append(Failure(str(column), _in_words(str(check)), None if whole else len(group), examples))
    return sorted(found, key=lambda failure: -(rows + 1 if failure.rows is None else failure.rows))


def _in_words(check: str) -> str:
    if check in _WORDS:
        return _WORDS[check]
    name, bracket, rest = check.partition("(")
    inside = rest.rstrip(")") if bracket else ""
    if name == "greater_than_or_equal_to":
        return f"at least {_limit(inside)}"
    if name == "less_than_or_equal_to":
        return f"at most {_limit(inside)}"
    if name == "isin":
        return f"one of {inside}"
    if name == "dtype":
        return f"of type {inside.strip(chr(39))}"
    return check


def _limit(text: str) -> str:
    try:
        # A limit beside a value that fails it needs more digits than a measurement.
        return number(float(text), digits=10)
    except ValueError:
        return text


def _aligned(frame: pd.DataFrame, schema: Any) -> tuple[pd.DataFrame, list[str]]:
    """Convert columns to the schema's type where it is of the same kind and every value fits."""
    frame = frame.copy(deep=False)
    changed = []
    for name, column in schema.columns.items():
        if column.dtype is None or name not in frame.columns or list(frame.columns).count(name) > 1:
            continue
        expected = str(column.dtype)
        values = frame[name]
        if str(values.dtype) == expected or _family(str(values.dtype)) != _family(expected):
            continue
        try:
            converted = column.dtype.coerce(values)
        except (ValueError, TypeError, OverflowError, ArithmeticError):
            # The validation reports the failing values.
            continue
        if _is_lossy(values, converted):
            continue
        frame[name] = converted
        # How text and dates are stored makes no difference to users.
        if _family(expected) == "number":
            changed.append(str(name))
    return frame, changed


def _is_lossy(before: Any, after: Any) -> bool:
    """Whether a conversion changed a value: 1.5 to an integer, or a value to a missing one."""
    if _family(str(before.dtype)) == "number":
        present = before.notna()
        return not bool((before[present].astype("float64") == after[present].astype("float64")).all())
    return bool((before.isna() != after.isna()).any())


def _family(dtype: str) -> str:
    lower = dtype.lower()
    if lower.startswith(("int", "uint", "float", "double")):
        return "number"
    if lower.startswith(("bool",)):
        return "truth"
    if lower.startswith("datetime64") or lower.startswith("timestamp"):
        return "date with a zone" if "," in lower or "tz=" in lower else "date"
    if lower.startswith(("str", "object", "category", "large_string")):
        return "text"
    return lower

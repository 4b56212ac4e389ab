"""A pandera schema for new data, made from the profile of training data.

It is written without pandera, as JSON that ``pandera.io`` reads. The checks:

* every column of the training data exists with its type (further columns are allowed);
* no value is missing in columns without missing values in training;
* numbers are in the training range, widened by half its width on either side, but not negative if none was; this
  needs at least 50 rows and no infinite values. Dates have no bounds, because new data is later;
* a column of text or categories contains only values of the training data, if these were at most 50, each occurred 20
  times on average, and the training data had at least 100 rows.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

#: Smallest number of rows for checks of a range, and of a set of values.
RANGE_ROWS, VALUES_ROWS = 50, 100
#: Average number of occurrences from which on the set of values is considered complete.
REPEATED = 20
#: Share of the range that it is widened by on either side.
MARGIN = 0.5


def schema_json(profile: dict[str, Any], rows: int) -> bytes | None:
    """Return the schema as JSON, None when there are no columns to check or no rows to conclude from.

    Parameters
    ----------
    profile : dict
        See :func:`mlops_workbench.data.profile.profile_table`.
    rows : int
        Number of rows of the training data. If the profile examined only some of them, missing and other values are
        allowed.
    """
    examined = profile.get("examined", rows)
    columns = (profile.get("columns") or []) if examined else []
    names = Counter(column["name"] for column in columns)
    # A schema cannot distinguish columns of the same name.
    checked = {c["name"]: _column(c, examined, complete=examined >= rows) for c in columns if names[c["name"]] == 1}
    if not checked:
        return None
    schema = {"schema_type": "dataframe", "api": "pandas", "columns": checked, "coerce": False, "strict": False}
    return json.dumps(schema, ensure_ascii=False, allow_nan=False, indent=1).encode("utf-8", "replace")


def _column(column: dict[str, Any], rows: int, *, complete: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"nullable": bool(column["missing"]) or not complete, "required": True}
    dtype = pandera_dtype(column["dtype"])
    if dtype:
        found["dtype"] = dtype
    present = rows - column["missing"]
    if column["kind"] == "numeric" and not column["dtype"].startswith("timedelta") and present >= RANGE_ROWS:
        found.update(_range(column))
    values: list[Any] = column.get("values") or []
    named = complete and values and all(isinstance(value, str) for value in values)
    if named and present >= max(VALUES_ROWS, REPEATED * len(values)):
        found["isin"] = values
    return found


def _range(column: dict[str, Any]) -> dict[str, float | int]:
    low, high = column.get("min"), column.get("max")
    if low is None or high is None or column.get("infinite"):
        return {}
    margin = (high - low) * MARGIN or max(abs(high) * MARGIN, 1.0)
    least, most = low - margin, high + margin
    if low >= 0:
        least = max(least, 0)
    if not (math.isfinite(least) and math.isfinite(most)):
        return {}
    if isinstance(low, int) and isinstance(high, int):
        least, most = math.floor(least), math.ceil(most)
    return {"greater_than_or_equal_to": least, "less_than_or_equal_to": most}


def pandera_dtype(dtype: str) -> str:
    """Return the name of the type in pandera's JSON format; empty if it has none."""
    if dtype.startswith("datetime64[") and "," not in dtype:
        # pandera supports dates without a time zone in nanoseconds only; the check compares dates of any unit.
        return "datetime64[ns]"
    if dtype.startswith(("<U", ">U", "|S")):
        return "str"
    known = ("int", "uint", "float", "bool", "Int", "UInt", "Float", "complex", "str", "object", "category")
    if dtype.endswith("[pyarrow]") or "<" in dtype:
        return ""
    return dtype if dtype.startswith((*known, "datetime64[", "timedelta64[", "period[")) else ""

"""What new data must look like to be of the kind a run was trained on: a pandera schema, made from a profile.

pandera is not needed to write one: the JSON is what ``pandera.io`` reads back. The checks are those a new batch of the
same kind passes and a broken one does not:

* every column of the training data is there, with its type (further columns are allowed);
* no value is missing where none was missing in training;
* numbers lie in the range seen, widened by half its width on either side; what was never negative stays so; without
  infinite values. From 50 rows on, less tell nothing about a range. Dates have no bounds: new data is later;
* a column of text or categories holds only values seen, if there were at most 50, each 20 times on average, and the
  training data had at least 100 rows.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

#: Rows from which on a range, or a set of values, is more than chance.
RANGE_ROWS, VALUES_ROWS = 50, 100
#: Times that each value was seen on average, for them to be all there are.
REPEATED = 20
#: Part of the seen range that it is widened by on either side.
MARGIN = 0.5


def schema_json(profile: dict[str, Any], rows: int) -> bytes | None:
    """The schema as JSON, None when there are no columns to check.

    Parameters
    ----------
    profile : dict
        See :func:`mlops_workbench.data.profile.profile_table`.
    rows : int
        Rows of the training data. Where the profile has seen only some of them, nothing is concluded from what was
        not among these: values may be missing, and others than those seen may come.
    """
    seen = profile.get("examined", rows)
    columns = profile.get("columns") or []
    names = Counter(column["name"] for column in columns)
    # Columns of one name cannot be told apart by a schema.
    checked = {c["name"]: _column(c, seen, complete=seen >= rows) for c in columns if names[c["name"]] == 1}
    if not checked:
        return None
    schema = {"schema_type": "dataframe", "api": "pandas", "columns": checked, "coerce": False, "strict": False}
    return json.dumps(schema, ensure_ascii=False, allow_nan=False, indent=1).encode("utf-8", "replace")


def _column(column: dict[str, Any], rows: int, *, complete: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"nullable": bool(column["missing"]) or not complete, "required": True}
    dtype = pandera_dtype(column["dtype"])
    if dtype:
        found["dtype"] = dtype
    there = rows - column["missing"]
    if column["kind"] == "numeric" and not column["dtype"].startswith("timedelta") and there >= RANGE_ROWS:
        found.update(_range(column))
    values: list[Any] = column.get("values") or []
    named = complete and values and all(isinstance(value, str) for value in values)
    if named and there >= max(VALUES_ROWS, REPEATED * len(values)):
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
    """The type as pandera reads it; empty for one that its form has no words for."""
    if dtype.startswith("datetime64[") and "," not in dtype:
        # pandera knows dates without a zone in nanoseconds only; the check compares dates whatever their unit.
        return "datetime64[ns]"
    if dtype.startswith(("<U", ">U", "|S")):
        return "str"
    known = ("int", "uint", "float", "bool", "Int", "UInt", "Float", "complex", "str", "object", "category")
    if dtype.endswith("[pyarrow]") or "<" in dtype:
        return ""
    return dtype if dtype.startswith((*known, "datetime64[", "timedelta64[", "period[")) else ""

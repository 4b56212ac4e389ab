"""The two logs of an endpoint, predictions and feedback, as what is summarised and compacted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from xxhash import xxh3_64_hexdigest

from mlops_workbench.serving.log.asked import AskedRows
from mlops_workbench.serving.log.catalog import Entry
from mlops_workbench.serving.log.request_index import UNKNOWN, RequestIndex
from mlops_workbench.serving.log.segments import TIMESTAMP
from mlops_workbench.serving.log.summaries import (
    FEEDBACK_COLUMNS,
    PREDICTION_COLUMNS,
    feedback_hours,
    prediction_hours,
)


class PredictionFiles:
    """Files of answers: each has those of one model with the same columns."""

    def entry(self, name: str, table: pa.Table) -> Entry:
        """Summary of a file with the rows of `table`."""
        model = _model(table["model"])
        return Entry(
            name=name,
            rows=table.num_rows,
            group=_group(table.schema, model),
            model=model,
            hours=prediction_hours(table),
        )

    def summary(self, path: Path) -> Entry:
        """Summary of a segment; only the columns for it are read.

        Raises
        ------
        OSError, pyarrow.ArrowException
            It cannot be read.
        """
        with open(path, "rb") as file:
            return self.entry(path.name, pq.read_table(file, columns=list(PREDICTION_COLUMNS)))

    def group(self, path: Path) -> str:
        """Files of the same group can become one."""
        with open(path, "rb") as file:
            opened = pq.ParquetFile(file)
            return _group(opened.schema_arrow, _model(opened.read(columns=["model"])["model"]))

    def prepared(self, table: pa.Table) -> pa.Table:
        """Rows as they are in compacted files."""
        return table

    def index(self, table: pa.Table) -> RequestIndex:
        """Index of the rows."""
        return RequestIndex.of_table(table)


class FeedbackFiles:
    """Files of outcomes; those of earlier versions get the event times of their rows, by which they are found.

    Parameters
    ----------
    asked : AskedRows
        The rows that the outcomes are of.
    """

    def __init__(self, asked: AskedRows) -> None:
        self._asked = asked

    def entry(self, name: str, table: pa.Table) -> Entry:
        """Summary of a file with the rows of `table`, which has event times."""
        return Entry(
            name=name,
            rows=table.num_rows,
            group=_group(table.schema, ""),
            hours=feedback_hours(table),
        )

    def summary(self, path: Path) -> Entry:
        """Summary of a file.

        Raises
        ------
        OSError, pyarrow.ArrowException
            It cannot be read.
        """
        with open(path, "rb") as file:
            opened = pq.ParquetFile(file)
            has_time = "event_time" in opened.schema_arrow.names
            table = opened.read(columns=[name for name in FEEDBACK_COLUMNS if name in opened.schema_arrow.names])
        found = self.entry(path.name, self.prepared(table))
        return (
            found if has_time else Entry(name=found.name, rows=found.rows, group="", hours=found.hours, has_time=False)
        )

    def group(self, path: Path) -> str:
        """Files of the same group can become one."""
        with open(path, "rb") as file:
            return _group(self.prepared(pq.ParquetFile(file).schema_arrow.empty_table()).schema, "")

    def prepared(self, table: pa.Table) -> pa.Table:
        """Outcomes with event times; null for those of unknown rows."""
        if "event_time" in table.column_names:
            return table
        events = self._asked.find(table["request_id"].to_pylist(), table["row"].to_numpy().tolist())
        missing = events == UNKNOWN
        times = pa.array(np.where(missing, 0, events), mask=missing).cast(TIMESTAMP)
        return table.append_column("event_time", times)

    def index(self, table: pa.Table) -> None:
        """Outcomes are not looked up by their requests."""
        return None


def _group(schema: pa.Schema, model: str) -> str:
    text = "\n".join([model, *(f"{field.name}\t{field.type}" for field in schema)])
    return f"{len(schema)}:{xxh3_64_hexdigest(text.encode())}"


def _model(column: pa.ChunkedArray) -> str:
    return str(column[0].as_py()) if len(column) else ""

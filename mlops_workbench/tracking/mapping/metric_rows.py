"""Journalled metrics as rows of MLflow."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from mlops_workbench.core.records import Metrics
from mlops_workbench.core.tags import METRIC_PREFIX, NAME_PREFIX
from mlops_workbench.tracking.mapping.values import as_text, metric_for_store, step_for_store, store_name


class MetricRow(NamedTuple):
    """A metric as MLflow stores it: time in milliseconds, a finite value or NaN."""

    key: str
    value: float
    at_ms: int
    step: int


def metric_rows(records: Iterable[Metrics], tags: dict[str, str]) -> list[MetricRow]:
    """Rows of some records; values that MLflow cannot store exactly are added to `tags`."""
    rows: list[MetricRow] = []
    names: dict[str, str] = {}
    for record in records:
        step = step_for_store(record.step)
        at_ms = max(record.at_ms, 0)
        for name, value in record.values.items():
            key = names.get(name)
            if key is None:
                key = names[name] = named(name, tags)
            if type(value) is not float or math.isinf(value):
                number, true_value = metric_for_store(value)
                if true_value:
                    tags[store_name(f"{METRIC_PREFIX}{key}")] = true_value
            else:
                number = value
            rows.append(MetricRow(key, number, at_ms, step))
    return rows


def named(name: str, tags: dict[str, str]) -> str:
    """A name that MLflow accepts for a parameter, metric or tag; if it differs, the original is added to `tags`."""
    key = store_name(name)
    if key != name:
        tags[store_name(f"{NAME_PREFIX}{key}")] = as_text(name)
    return key

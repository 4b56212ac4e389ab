"""What starts a pipeline: the section ``on`` of a spec."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from datetime import UTC, datetime
from typing import get_args

from cronsim import CronSim, CronSimError

from mlops_workbench.core.errors import did_you_mean
from mlops_workbench.pipelines.definition.nouns import StartLimits, TriggerKind, TriggerSpec
from mlops_workbench.pipelines.definition.params import named
from mlops_workbench.pipelines.definition.problems import Problems
from mlops_workbench.pipelines.definition.values import (
    condition,
    count,
    distinct,
    duration,
    environment_variable,
    number,
    one_of,
    several,
)
from mlops_workbench.pipelines.definition.yaml_nodes import YamlNode

TRIGGER_KINDS: tuple[TriggerKind, ...] = get_args(TriggerKind)
SCHEDULE_KEYS = ("cron", "timezone", "catchup")
PIPELINE_KEYS = ("name", "state")
WEBHOOK_KEYS = ("secret",)
DRIFT_KEYS = ("monitor", "metric", "above", "windows", "cooldown")
LIMIT_KEYS = ("cooldown", "per_day")
METRIC_KEYS = ("monitor", "when", "over", "cooldown")
CATCHUPS = ("skip", "once", "all")
#: States of a pipeline run that start another pipeline.
END_STATES = ("succeeded", "failed", "cancelled", "not_published")
MOST_WINDOWS = 1000
MOST_PER_DAY = 10_000
_COOLDOWN = 86400.0


def read_triggers(node: YamlNode) -> tuple[TriggerSpec, ...]:
    """Read the section ``on``; each schedule, pipeline, drift or metric of a list is a trigger of its own."""
    entries = node.record("'on'", (*TRIGGER_KINDS, "limits"))
    found: list[TriggerSpec] = []
    problems = Problems()
    for kind in TRIGGER_KINDS:
        if kind not in entries:
            continue
        with problems.collect():
            # The paths of one 'change', or the names of one 'dataset', are one trigger.
            together = kind in ("change", "dataset")
            for item in [entries[kind]] if together else several(entries[kind], f"'{kind}'"):
                with problems.collect():
                    found.append(TriggerSpec(kind, _READERS[kind](item), place=item.place))
    problems.check()
    return tuple(found)


def read_limits(node: YamlNode) -> StartLimits:
    """Read the entry ``limits`` of ``on``, or of a schedule of a notebook."""
    entries = node.record("'limits'", LIMIT_KEYS)
    problems = Problems()
    cooldown, per_day = 0.0, 0
    if "cooldown" in entries:
        with problems.collect():
            cooldown = duration(entries["cooldown"], "cooldown", zero=True)
    if "per_day" in entries:
        with problems.collect():
            per_day = count(entries["per_day"], "per_day", 1, MOST_PER_DAY)
    problems.check()
    return StartLimits(cooldown, per_day)


def _schedule(node: YamlNode) -> dict[str, object]:
    return read_schedule(node.record("'schedule'", SCHEDULE_KEYS, required=("cron",)))


def read_schedule(entries: dict[str, YamlNode]) -> dict[str, object]:
    """Settings of a schedule from its entries, of which ``cron`` is one."""
    problems = Problems()
    found: dict[str, object] = {"cron": "", "timezone": "UTC", "catchup": "skip"}
    with problems.collect():
        found["cron"] = _cron(entries["cron"])
    if "timezone" in entries:
        with problems.collect():
            found["timezone"] = _timezone(entries["timezone"])
    if "catchup" in entries:
        with problems.collect():
            found["catchup"] = _catchup(entries["catchup"])
    problems.check()
    return found


def _cron(node: YamlNode) -> str:
    text = " ".join(node.text("cron").split())
    hint = "write minute, hour, day of the month, month and day of the week: '0 6 * * 1' is every Monday at 6:00"
    if text.count(" ") != 4:
        raise node.error(f"cron '{text[:80]}' does not have five parts", hint)
    try:
        first = next(CronSim(text.upper(), datetime(2024, 1, 1, tzinfo=UTC)), None)
    except CronSimError as error:
        raise node.error(f"cron '{text[:80]}' is not valid: {error}", hint) from error
    if first is None:
        raise node.error(f"cron '{text}' never comes", hint)
    return text


def _timezone(node: YamlNode) -> str:
    text = node.text("timezone")
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: the name of a folder
        hint = did_you_mean(text, zoneinfo.available_timezones())
        raise node.error(f"there is no time zone '{text[:80]}'", hint) from error
    return text


def _catchup(node: YamlNode) -> str:
    value = node.value()
    if isinstance(value, bool):
        return "once" if value else "skip"
    return one_of(node, "catchup", CATCHUPS)


def _change(node: YamlNode) -> dict[str, object]:
    return {"paths": distinct([(item, _pattern(item)) for item in several(node, "'change'")], "'change'")}


def _pattern(node: YamlNode) -> str:
    text = node.text("a path or pattern")
    if "://" in text or "\0" in text:
        raise node.error(f"'{text[:80]}' is not a path or pattern", "only files of this machine are watched")
    return text


def _dataset(node: YamlNode) -> dict[str, object]:
    return {"names": distinct([(item, item.text("a data set")) for item in several(node, "'dataset'")], "'dataset'")}


def _pipeline(node: YamlNode) -> dict[str, object]:
    if not node.is_mapping:
        return {"name": named(node, "pipeline", node.text("pipeline")), "state": "succeeded"}
    entries = node.record("'pipeline'", PIPELINE_KEYS, required=("name",))
    name = named(entries["name"], "pipeline", entries["name"].text("name"))
    return {"name": name, "state": one_of(entries["state"], "state", END_STATES) if "state" in entries else "succeeded"}


def _webhook(node: YamlNode) -> dict[str, object]:
    entries = node.record("'webhook'", WEBHOOK_KEYS, required=WEBHOOK_KEYS)
    return {"secret": environment_variable(entries["secret"], entries["secret"].text("secret"))}


def _drift(node: YamlNode) -> dict[str, object]:
    entries = node.record("'drift'", DRIFT_KEYS, required=("monitor", "metric", "above"))
    return {
        "monitor": named(entries["monitor"], "endpoint", entries["monitor"].text("monitor")),
        "metric": entries["metric"].text("metric"),
        "above": number(entries["above"], "above", 0),
        "windows": count(entries["windows"], "windows", 1, MOST_WINDOWS) if "windows" in entries else 1,
        "cooldown": duration(entries["cooldown"], "cooldown", zero=True) if "cooldown" in entries else _COOLDOWN,
    }


def _metric(node: YamlNode) -> dict[str, object]:
    entries = node.record("'metric'", METRIC_KEYS, required=("monitor", "when", "over"))
    return {
        "monitor": named(entries["monitor"], "endpoint", entries["monitor"].text("monitor")),
        "when": condition(entries["when"]),
        "over": duration(entries["over"], "over"),
        "cooldown": duration(entries["cooldown"], "cooldown", zero=True) if "cooldown" in entries else _COOLDOWN,
    }


_READERS: dict[TriggerKind, Callable[[YamlNode], dict[str, object]]] = {
    "schedule": _schedule, "change": _change, "dataset": _dataset, "pipeline": _pipeline, "webhook": _webhook,
    "drift": _drift, "metric": _metric,
}  # fmt: skip

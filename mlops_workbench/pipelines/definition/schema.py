"""JSON Schema of the format of specs, for editors; made of the keys, words and patterns that the reader uses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlops_workbench.core.files import write_atomic
from mlops_workbench.core.wire.patterns import ALIAS, NAME
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.definition.edges import OUTPUT_TYPES
from mlops_workbench.pipelines.definition.file import MOST_ACTIVE
from mlops_workbench.pipelines.definition.stages import CACHE_PARTS, CAUSES, MOST_RETRIES, RANGE, STAGE_NAME
from mlops_workbench.pipelines.definition.triggers import CATCHUPS, END_STATES, MOST_PER_DAY, MOST_WINDOWS
from mlops_workbench.pipelines.definition.values import DURATION, ENVIRONMENT_VARIABLE, SIZE

#: Name of the file in the state folder of a workspace.
SCHEMA_FILE = "pipeline.schema.json"
_Schema = dict[str, Any]

_VARIABLE = r"[^\W\d]\w*"


def json_schema() -> _Schema:
    """JSON Schema (draft-07) of version 2 of the format.

    Whatever it refuses, the reader refuses, too; the reader checks more: names of stages and parameters, conditions,
    dates, time zones.
    """
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Pipeline of notebooks",
        **_record(
            {
                "version": {"const": 2, "description": "Version of the format."},
                "description": _text("What the pipeline is for."),
                "experiment": _text("Experiment of its runs; by default the name of the file."),
                "params": {
                    **_mapping({"$ref": "#/definitions/param"}, _VARIABLE),
                    "description": "Parameters that a run may set: a default, or type, default, bounds and help.",
                },
                "stages": {
                    "type": "object",
                    "description": "Notebooks, each with what it takes and makes.",
                    "minProperties": 1,
                    "propertyNames": {"pattern": _whole(STAGE_NAME)},
                    "additionalProperties": {"$ref": "#/definitions/stage"},
                },
                "publish": _publish(),
                "on": _triggers(),
                "max_active": _whole_number(1, MOST_ACTIVE, "Most runs at a time; further ones wait."),
            },
            required=("version", "stages"),
        ),
        "definitions": {
            "param": _param(),
            "stage": _stage(),
            "input": _input(),
            "output": _output(),
            "duration": {
                "description": "Seconds, or text such as 90s, 30m, 1h30m, 7d.",
                "anyOf": [
                    {"type": "number", "exclusiveMinimum": 0},
                    {"type": "string", "pattern": _whole(DURATION)},
                ],
            },
            "pause": {
                "description": "Seconds, 0 included, or text such as 90s, 30m, 24h.",
                "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": _whole(DURATION)}],
            },
            "variable": {"type": "string", "pattern": _whole(_VARIABLE)},
            "condition": _text("A comparison of metrics and numbers: auc >= 0.85, mae < champion.mae"),
            "name": {"type": "string", "pattern": _whole(NAME)},
            "environment_variable": {"type": "string", "pattern": _whole(ENVIRONMENT_VARIABLE)},
        },
    }


def schema_text() -> str:
    """The schema as the text of a file."""
    return json.dumps(json_schema(), indent=2) + "\n"


def write_schema(workspace: Workspace) -> Path:
    """Write the schema to the state folder of a workspace, where the first line of specs refers to it."""
    path = workspace.state / SCHEMA_FILE
    text = schema_text()
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_atomic(path, text)
    return path


def _param() -> _Schema:
    return {
        "description": "A default, or type, default, bounds and help.",
        "anyOf": [
            {"not": {"type": "object"}},
            {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "type": {
                        "type": "string",
                        "description": "int, float, str, bool, date, path, choice, list[int], ...",
                        "minLength": 1,
                    },
                    "default": {"description": "Without it, every run must give a value."},
                    "help": _text("Shown in forms."),
                    "min": {"description": "Least value, or of every item of a list."},
                    "max": {"description": "Greatest value, or of every item of a list."},
                    "choices": {"type": ["array", "null"], "description": "Allowed values."},
                    "secret": {
                        "$ref": "#/definitions/environment_variable",
                        "description": "Environment variable with the value, which is written nowhere.",
                    },
                },
            },
        ],
    }


def _stage() -> _Schema:
    params = {
        "description": "Names of parameters of the pipeline, and constants.",
        "anyOf": [
            {"type": "null"},
            {"type": "object", "propertyNames": {"$ref": "#/definitions/variable"}},
            {
                "type": "array",
                "items": {
                    "anyOf": [
                        {"$ref": "#/definitions/variable"},
                        {"type": "object", "propertyNames": {"$ref": "#/definitions/variable"}},
                    ]
                },
            },
        ],
    }
    matrix_values = {
        "anyOf": [
            {"type": "array", "minItems": 1},
            {"type": "string", "pattern": _whole(RANGE), "description": "Whole numbers, both ends included: 2..8"},
        ]
    }
    retries = _record(
        {
            "max": _whole_number(0, MOST_RETRIES, "Further attempts."),
            "on": {**_list({"enum": list(CAUSES)}), "description": "Causes of a failure; by default all."},
            "backoff": {"$ref": "#/definitions/pause", "description": "First pause; it doubles each time."},
        },
        required=("max",),
    )
    return _record(
        {
            "notebook": _text("Path of an .ipynb, or of a text notebook (.py, .md), relative to this file's folder."),
            "params": params,
            "inputs": {
                **_mapping({"$ref": "#/definitions/input"}, _VARIABLE),
                "description": "Variables of the notebook with the paths of its inputs.",
            },
            "outputs": {
                **_mapping({"$ref": "#/definitions/output"}, _VARIABLE),
                "description": "Variables of the notebook with the paths of its outputs.",
            },
            "metrics": {**_list(_text("Name of a metric.")), "description": "Metrics that its run must have."},
            "matrix": {
                **_mapping(matrix_values, _VARIABLE),
                "description": "Values of its params; the stage runs once for each combination.",
            },
            "timeout": {"$ref": "#/definitions/duration", "description": "Longest time of an attempt."},
            "retries": {
                "description": "Further attempts after a failure.",
                "anyOf": [_whole_number(0, MOST_RETRIES, "Further attempts."), retries],
            },
            "resources": {
                **_record(
                    {
                        "cpu": {"type": "number", "exclusiveMinimum": 0, "description": "Cores; by default 1."},
                        "memory": {
                            "description": "Bytes, or text such as 4GB or 512MiB.",
                            "anyOf": [
                                {"type": "integer", "minimum": 0},
                                {"type": "string", "pattern": _whole(SIZE)},
                            ],
                        },
                        "gpu": {"type": "number", "minimum": 0, "description": "GPUs; by default 0."},
                    },
                    empty=True,
                ),
                "description": "What the stage takes of the machine.",
            },
            "cache": {
                "description": "Whether an unchanged stage is taken from the cache; by default true.",
                "anyOf": [
                    {"type": "boolean"},
                    _record(
                        {
                            "ttl": {
                                "$ref": "#/definitions/duration",
                                "description": "Time after which a result is computed again.",
                            },
                            "ignore": {
                                **_list({"enum": list(CACHE_PARTS)}),
                                "description": "What does not count as a change.",
                            },
                        }
                    ),
                ],
            },
            "gate": {
                **_list({"$ref": "#/definitions/condition"}),
                "description": "Conditions on its metrics; when one fails, nothing is published.",
            },
        },
        required=("notebook",),
    )


def _input() -> _Schema:
    return {
        "description": "STAGE.OUTPUT, a file, a pattern, a URL, a data set or a query.",
        "anyOf": [
            _text("STAGE.OUTPUT, STAGE.OUTPUT[max METRIC], a file, a pattern or a URL."),
            _record({"dataset": _text("NAME or NAME@VERSION of a data set of the workspace.")}, required=("dataset",)),
            _record(
                {
                    "sql": _text("A query."),
                    "connection": {
                        "type": "string",
                        "description": "URL of the database, or secret:NAME for one in an environment variable.",
                        "pattern": "^(secret:|[A-Za-z][A-Za-z0-9+.-]*://)",
                    },
                },
                required=("sql", "connection"),
            ),
        ],
    }


def _output() -> _Schema:
    return {
        "description": "A path in the stage's output folder, or path and type.",
        "anyOf": [
            _text("A path; its ending says the type: .parquet, .csv, .npy, .skops, .json, .png, ..."),
            _record(
                {
                    "path": _text("A path in the stage's output folder."),
                    "type": {"enum": list(OUTPUT_TYPES), "description": "What it is; by default by the ending."},
                },
                required=("path",),
            ),
        ],
    }


def _publish() -> _Schema:
    return {
        **_record(
            {
                "model": _text("STAGE, for the model that its run logged, or STAGE.NAME of an input or output."),
                "as": {"$ref": "#/definitions/name", "description": "Name of the registered model."},
                "alias": {"type": "string", "pattern": _whole(ALIAS), "description": "Alias that the version gets."},
                "serve": {"type": "boolean", "description": "Whether an endpoint of that name is deployed."},
            },
            required=("model", "as"),
        ),
        "description": "The model to register when all stages succeeded and all gates passed.",
    }


def _triggers() -> _Schema:
    name = {"$ref": "#/definitions/name"}
    monitor = {**name, "description": "Endpoint whose monitor it is."}
    pause = {"$ref": "#/definitions/pause", "description": "Time after a run in which it starts none; 24h by default."}
    schedule = _record(
        {
            "cron": _text("Minute, hour, day, month, day of the week: '0 6 * * 1' is every Monday at 6:00."),
            "timezone": _text("Time zone such as Europe/Paris; UTC by default."),
            "catchup": {
                "description": "What happens with times that were missed.",
                "anyOf": [{"type": "boolean"}, {"enum": list(CATCHUPS)}],
            },
        },
        required=("cron",),
    )
    drift = _record(
        {
            "monitor": monitor,
            "metric": _text("Measure of drift, such as psi."),
            "above": {"type": "number", "minimum": 0},
            "windows": _whole_number(1, MOST_WINDOWS, "Windows in a row."),
            "cooldown": pause,
        },
        required=("monitor", "metric", "above"),
    )
    metric = _record(
        {
            "monitor": monitor,
            "when": {"$ref": "#/definitions/condition"},
            "over": {"$ref": "#/definitions/duration", "description": "Time whose rows are evaluated."},
            "cooldown": pause,
        },
        required=("monitor", "when", "over"),
    )
    pipeline = _record(
        {"name": name, "state": {"enum": list(END_STATES), "description": "How it ended; succeeded by default."}},
        required=("name",),
    )
    return {
        **_record(
            {
                "schedule": _several(schedule),
                "change": _several(_text("A file, folder or pattern; its content decides.")),
                "dataset": _several(_text("A data set that got a new version.")),
                "pipeline": _several({"anyOf": [name, pipeline]}),
                "webhook": _several(
                    _record({"secret": {"$ref": "#/definitions/environment_variable"}}, required=("secret",))
                ),
                "drift": _several(drift),
                "metric": _several(metric),
                "limits": {
                    **_record(
                        {
                            "cooldown": {**pause, "description": "Time from the start of a run to the next one."},
                            "per_day": _whole_number(1, MOST_PER_DAY, "Most starts in 24 hours."),
                        },
                        empty=True,
                    ),
                    "description": "How often the triggers start it.",
                },
            },
            empty=True,
        ),
        "description": "What starts the pipeline.",
    }


def _record(properties: _Schema, required: tuple[str, ...] = (), *, empty: bool = False) -> _Schema:
    """An object with only these keys; `empty`: no value at all is an object without keys."""
    found: _Schema = {
        "type": ["object", "null"] if empty else "object",
        "additionalProperties": False,
        "properties": properties,
    }
    return {**found, "required": list(required)} if required else found


def _mapping(values: _Schema, names: str) -> _Schema:
    """An object with any keys of a form; no value at all is an empty one."""
    return {
        "type": ["object", "null"],
        "propertyNames": {"pattern": _whole(names)},
        "additionalProperties": values,
    }


def _list(items: _Schema) -> _Schema:
    return {"type": ["array", "null"], "items": items}


def _several(item: _Schema) -> _Schema:
    return {"anyOf": [item, {"type": "array", "minItems": 1, "items": item}]}


def _text(description: str) -> _Schema:
    return {"type": "string", "minLength": 1, "description": description}


def _whole_number(least: int, most: int, description: str) -> _Schema:
    return {"type": "integer", "minimum": least, "maximum": most, "description": description}


def _whole(pattern: str) -> str:
    return f"^(?:{pattern})$"

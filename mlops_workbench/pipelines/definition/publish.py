"""The section ``publish`` of a spec."""

from __future__ import annotations

import re

from mlops_workbench.core.wire.patterns import ALIAS
from mlops_workbench.pipelines.definition.nouns import PublishSpec
from mlops_workbench.pipelines.definition.params import named
from mlops_workbench.pipelines.definition.values import conditions, flag
from mlops_workbench.pipelines.definition.yaml_nodes import YamlNode

PUBLISH_KEYS_1 = ("stage", "as", "alias", "gate", "metrics_from")
PUBLISH_KEYS = ("model", "as", "alias", "serve")


def read_publish(node: YamlNode, version: int) -> PublishSpec:
    """Read the section; in version 1 it has a gate, in version 2 its stage has."""
    if version == 1:
        return _read_1(node)
    entries = node.record("'publish'", PUBLISH_KEYS, required=("model", "as"))
    text = entries["model"].text("model")
    stage, dot, name = text.partition(".")
    if dot and not name.isidentifier():
        raise entries["model"].error(
            f"'{text[:80]}' names no model", "write STAGE, or STAGE.NAME with an input or output of the stage"
        )
    return PublishSpec(
        stage=stage,
        model=name,
        name=named(entries["as"], "model", entries["as"].text("as")),
        alias=_alias(entries["alias"]) if "alias" in entries else "",
        serve=flag(entries["serve"], "serve") if "serve" in entries else False,
        metrics_from=stage,
        place=node.place,
        places={key: value.place for key, value in entries.items()},
    )


def _read_1(node: YamlNode) -> PublishSpec:
    entries = node.record("'publish'", PUBLISH_KEYS_1, required=("stage", "as"))
    metrics = entries["metrics_from"] if "metrics_from" in entries else entries["stage"]
    return PublishSpec(
        stage=entries["stage"].text("stage"),
        name=named(entries["as"], "model", entries["as"].text("as")),
        alias=_alias(entries["alias"]) if "alias" in entries else "",
        gate=conditions(entries["gate"], "gate") if "gate" in entries else (),
        metrics_from=metrics.text("metrics_from"),
        place=node.place,
        places={
            **{key: value.place for key, value in entries.items()},
            "model": entries["stage"].place,
            "metrics_from": metrics.place,
        },
    )


def _alias(node: YamlNode) -> str:
    text = node.text("alias")
    if not re.fullmatch(ALIAS, text):
        raise node.error(f"'{text[:80]}' cannot be an alias", "use letters, digits, '_' and '-', for example champion")
    return text

"""Instances of a stage with a matrix, and their names."""

from __future__ import annotations

import datetime
import hashlib
import itertools
import json
import re
from pathlib import PurePath
from urllib.parse import quote

from mlops_workbench.core.errors import SpecError
from mlops_workbench.pipelines.definition.nouns import PipelineSpec, StageSpec

#: Bytes of a name, which becomes the name of a folder: file systems allow 255.
_LONGEST = 128
_DIGITS = 12
_AMBIGUOUS = re.compile(r"(?i)(?:true|false|null|none|[-+]?[0-9.][0-9a-z_.+:-]*|)\Z")


def instances(spec: PipelineSpec, stage: StageSpec, values: dict[str, list[object]]) -> dict[str, dict[str, object]]:
    """Instances of a stage by name, in the order of the matrix, the last parameter first; one without a matrix.

    Parameters
    ----------
    spec, stage
        The stage and its pipeline, for errors.
    values : dict
        Converted values of the matrix.

    Raises
    ------
    SpecError
        Two instances have the same values.
    """
    if not values:
        return {stage.name: {}}
    found: dict[str, dict[str, object]] = {}
    for combination in itertools.product(*values.values()):
        matrix = dict(zip(values, combination, strict=True))
        name = instance_name(stage.name, matrix)
        if name in found:
            raise SpecError(
                f"the matrix of stage '{stage.name}' has the same values twice: {name}",
                where=spec.where(stage.at("matrix")),
                hint="remove one of them; values of a parameter that has a type are converted before",
            )
        found[name] = matrix
    return found


def instance_name(stage: str, matrix: dict[str, object]) -> str:
    """Name of an instance, such as ``train@lr=0.1,depth=2``: safe as the name of a folder, and of bounded length."""
    name = f"{stage}@" + ",".join(f"{key}={_shown(value)}" for key, value in matrix.items())
    if len(name.encode()) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]
    kept = name.encode()[: _LONGEST - _DIGITS - 1].decode(errors="ignore")
    return f"{kept}~{digest}"


def _shown(value: object) -> str:
    """A value in a name; letters, digits and ``_.+-`` stay, other characters are percent-encoded."""
    if value is None or isinstance(value, bool):
        text = json.dumps(value)
    elif isinstance(value, str):
        # A text that looks like a number, a date or a word of YAML is quoted, as in YAML.
        text = json.dumps(value) if _AMBIGUOUS.match(value) else value
    elif isinstance(value, (int, float, PurePath)):
        text = str(value)
    elif isinstance(value, (datetime.date, datetime.time)):
        text = value.isoformat()
    else:
        text = json.dumps(value, default=str) if isinstance(value, (list, dict)) else str(value)
    return quote(text, safe="+", errors="surrogatepass").replace("~", "%7E")

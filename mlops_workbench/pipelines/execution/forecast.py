"""What a run would do: which stages would be taken from the cache, and why the others would run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.records import Number
from mlops_workbench.core.wire.json_numbers import real_number
from mlops_workbench.pipelines.cache.digests import files_digest
from mlops_workbench.pipelines.cache.entries import StageResult
from mlops_workbench.pipelines.execution.choice import choose
from mlops_workbench.pipelines.execution.reuse import Reuse
from mlops_workbench.pipelines.execution.stage_keys import Cells
from mlops_workbench.pipelines.execution.verdict import lacking
from mlops_workbench.pipelines.runs.requests import StageRequest


@dataclass(frozen=True)
class Forecast:
    """What would become of a stage: the result that is taken from the cache, or why it runs, one line each."""

    result: StageResult | None = None
    reasons: list[str] = field(default_factory=list)


def forecast(reuse: Reuse, stages: Iterable[tuple[StageRequest, Cells]]) -> dict[str, Forecast]:
    """Return what would become of each stage, by its name.

    Parameters
    ----------
    reuse : Reuse
        The cache.
    stages : iterable of tuple
        Stages, each after those that it needs, with the cells of the notebook that would run.
    """
    found: dict[str, Forecast] = {}
    made: dict[str, str] = {}
    metrics: dict[str, dict[str, Number]] = {}
    for stage, cells in stages:
        one = found[stage.name] = _of_stage(reuse, stage, cells, found, made, metrics)
        if one.result is not None:
            metrics[stage.name] = {name: real_number(value) for name, value in one.result.metrics.items()}
            made |= {entry.path: files_digest(one.result.outputs[name]) for name, entry in stage.outputs.items()}
    return found


def _of_stage(
    reuse: Reuse,
    stage: StageRequest,
    cells: Cells,
    before: Mapping[str, Forecast],
    made: Mapping[str, str],
    metrics: Mapping[str, Mapping[str, Number]],
) -> Forecast:
    running = [name for name in stage.needs if before[name].result is None]
    reasons = [f"stage '{name}' runs" for name in running]
    chosen = {}
    try:
        for name, entry in stage.inputs.items():
            if entry.candidates and not running:
                chosen[name] = choose(name, entry, metrics).path
    except InvalidInput as error:
        return Forecast(None, [error.message])
    entries = [(name, entry) for name, entry in stage.inputs.items() if entry.kind == "stage" and name not in chosen]
    unknown = {name: entry.files for name, entry in entries if not made.keys() >= {*entry.files}}
    digests = {**dict.fromkeys((file for files in unknown.values() for file in files), "?"), **made}
    looked_up = reuse.look_up(stage, chosen, cells=cells, made=digests.get)
    result = looked_up.found.result
    if result is not None and result.outputs.keys() != stage.outputs.keys():
        result = None
    if result is not None and (message := lacking(stage.metrics, _numbers(result))):
        return Forecast(None, [message])
    if result is not None and (not running or stage.reuse == "always"):
        return Forecast(result)
    # That an input is another one is said by the stage that makes it.
    said = tuple(f"input '{name}'" for name in unknown)
    return Forecast(None, [*reasons, *(one for one in looked_up.found.reasons if not one.startswith(said))])


def _numbers(result: StageResult) -> dict[str, Number]:
    return {name: real_number(value) for name, value in result.metrics.items()}

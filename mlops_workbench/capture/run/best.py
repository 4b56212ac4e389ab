"""The best model of a loop, which would otherwise be lost when its variable gets the next one."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mlops_workbench.core.metrics import Direction, first_directed

_LOOPS = 2
_MAX_RUNS = 1000


@dataclass(frozen=True)
class KeptModel:
    """The best model of a loop so far.

    Attributes
    ----------
    loop : str
        Id of the loop.
    metric : str
        Metric by which it is the best; empty when the runs have none with a direction.
    direction : {"lower", "higher", ""}
        Which values of it are better.
    value : float
        Its value.
    run_uid, run_name : str
        The run that fitted the model.
    model : object
        The model.
    """

    loop: str
    metric: str
    direction: Direction
    value: float
    run_uid: str
    run_name: str
    model: Any


class BestModels:
    """Strong references to the best models of the last two loops, and to no others."""

    def __init__(self) -> None:
        self._kept: list[KeptModel] = []
        self._loops: OrderedDict[str, str] = OrderedDict()

    def offer(
        self,
        loop: str,
        run_uid: str,
        run_name: str,
        model: Any,
        metrics: Mapping[str, float | int],
        wanted: tuple[str, Direction] | None,
    ) -> None:
        """Keep the model of a run if it is the best of its loop.

        Parameters
        ----------
        loop : str
            Id of the loop.
        run_uid, run_name : str
            The run that has ended.
        model : object
            Its model.
        metrics : mapping
            Its metrics in the order in which they were recorded.
        wanted : tuple of str or None
            Metric of the experiment and its direction; by default the first one whose name gives a direction decides.
        """
        self._loops[run_uid] = loop
        while len(self._loops) > _MAX_RUNS:
            self._loops.popitem(last=False)
        name, direction = wanted if wanted is not None and wanted[0] in metrics else first_directed(metrics)
        new = KeptModel(loop, name, direction, float(metrics.get(name, math.nan)), run_uid, run_name, model)
        for i, kept in enumerate(self._kept):
            if kept.loop == loop and (not kept.metric or kept.metric in metrics):
                if kept.metric:
                    # All runs of a loop are judged by the same metric.
                    value = float(metrics[kept.metric])
                    new = replace(new, metric=kept.metric, direction=kept.direction, value=value)
                if not kept.metric or _better(new.value, kept.value, kept.direction):
                    self._kept[i] = new
                return
        self._kept = [*self._kept, new][-_LOOPS:]

    def of_same_loop(self, run_uid: str) -> list[KeptModel]:
        """Return the models that were kept instead of that of a run."""
        loop = self._loops.get(run_uid)
        return [kept for kept in self._kept if kept.loop == loop and kept.run_uid != run_uid]


def _better(value: float, than: float, direction: Direction) -> bool:
    if math.isnan(value) or math.isnan(than):
        return not math.isnan(value)
    return value < than if direction == "lower" else value > than

"""Gates that the settings set for models: what a version has to show before it becomes the champion."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mlops_workbench.core.errors import InvalidInput

#: Metrics by which two models are compared on the same rows.
ComparedMetric = Literal["accuracy", "auc", "log_loss", "brier", "mae", "rmse"]


class ChampionGate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a version is compared with the champion, on the rows that the version was tested on.

    Attributes
    ----------
    metric : str
        What is compared.
    margin : float
        By how much it may be worse, in units of the metric: the whole confidence interval must be within.
    slices : list of str
        Input columns; for each of their values, the version must not be shown to be worse by more than `slice_margin`.
    slice_margin : float
        Margin of a slice; by default twice `margin`.
    confidence : float
        Level of the two-sided intervals; for slices, it is corrected for their number.
    """

    metric: ComparedMetric
    margin: Annotated[float, Meta(ge=0)]
    slices: list[Annotated[str, Meta(max_length=1000)]] = []
    slice_margin: Annotated[float, Meta(ge=0)] | None = None
    confidence: Annotated[float, Meta(gt=0.5, lt=1)] = 0.95


class ModelGate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a version has to show.

    Attributes
    ----------
    conditions : list of str
        Conditions on metrics, see :mod:`mlops_workbench.core.gates`.
    golden : bool
        Whether a process that loads it as an endpoint does must give the answers of its golden set.
    tests : bool
        Whether the tests in the cells of its notebook that are tagged ``model-test`` must pass; they are run.
    data : bool
        Whether its training data must pass the checks that the champion's training data gave: types, missing values,
        ranges, known categories.
    latency_ms : float
        Longest 95th percentile of the time of a request of one row in milliseconds, without HTTP; 0 for no limit.
    size_mb : float
        Largest size of its files in MB; 0 for no limit.
    champion : ChampionGate, optional
        How it is compared with the champion.
    """

    conditions: list[Annotated[str, Meta(max_length=4096)]] = []
    golden: bool = False
    tests: bool = False
    data: bool = False
    latency_ms: Annotated[float, Meta(ge=0, le=1e9)] = 0.0
    size_mb: Annotated[float, Meta(ge=0, le=1e9)] = 0.0
    champion: ChampionGate | None = None

    def __post_init__(self) -> None:
        """Check the conditions; a `ValueError` names the setting."""
        if not self.conditions:
            return
        # Imported here: most settings have no gate, and every kernel reads them.
        from mlops_workbench.core.gates import check_conditions

        try:
            check_conditions(self.conditions)
        except InvalidInput as error:
            raise ValueError(f"{error.message} ({error.where})" if error.where else error.message) from error

    @property
    def needs_process(self) -> bool:
        """Whether it takes a process that loads the version."""
        return self.golden or self.tests or self.latency_ms > 0

    @property
    def compares(self) -> bool:
        """Whether a version is compared with the champion."""
        return self.data or self.champion is not None


def gate_of(gates: Mapping[str, ModelGate], model: str) -> ModelGate:
    """Return all that the gates ask of a model whose patterns match its name.

    That is every condition, the tightest limits, and the comparison with the champion that comes last.
    """
    found = [gate for pattern, gate in gates.items() if fnmatch.fnmatchcase(model, pattern)]
    return ModelGate(
        conditions=list(dict.fromkeys(condition for gate in found for condition in gate.conditions)),
        golden=any(gate.golden for gate in found),
        tests=any(gate.tests for gate in found),
        data=any(gate.data for gate in found),
        latency_ms=min((gate.latency_ms for gate in found if gate.latency_ms), default=0.0),
        size_mb=min((gate.size_mb for gate in found if gate.size_mb), default=0.0),
        champion=next((gate.champion for gate in reversed(found) if gate.champion is not None), None),
    )

"""Sweeps: many runs of a notebook or a pipeline with different values of its parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from mlops_workbench.core.pipelines import PipelineRun, Scalar
from mlops_workbench.core.wire.json_numbers import JsonNumber
from mlops_workbench.core.wire.patterns import NAME, PATH, Documented

#: ``refused``: a gate of its pipeline failed, so that it is never the best.
TrialState = Literal["running", "succeeded", "failed", "cancelled", "refused"]
Direction = Literal["min", "max", ""]


@dataclass(frozen=True)
class SweepRequest:
    """A sweep to start, of a notebook or of a pipeline.

    Attributes
    ----------
    notebook : str
        Path, absolute or relative to the workspace; empty for a pipeline.
    pipeline : str
        Name; empty for a notebook.
    params : dict
        For each parameter a value, a list of alternatives, ``{"values": [...]}``, ``{"mean": 0, "deviation": 1}``, or
        ``{"low": 0, "high": 1, "step": 0.1}``, also with ``"log": true`` or ``"count": 5``.
    texts : dict
        Parameters to what was typed for them: ``0.1,0.2``, ``2..8``, ``log(1e-4..1e-1)``, ``uniform(0, 1)``. They go
        before `params`.
    secrets : dict
        Of a notebook: parameters to the environment variables that hold their values.
    name, experiment : str
        Of the runs; empty for the name of the notebook or pipeline, and for the default experiment.
    method : str
        ``grid random lhs halving``, or an Optuna sampler such as ``tpe``, ``cmaes`` or ``package.module:Class``; empty
        for a grid if all parameters have a finite number of values, else random.
    options : dict
        Arguments of the Optuna sampler.
    seed : int or None
        For the same values again; by default any.
    metric : str
        What a trial is judged by, empty for nothing.
    direction : str
        ``max`` or ``min``; empty if the name of the metric says it.
    budget : str
        Of halving: parameter that says how long a trial trains, with its range: ``epochs=1..81``.
    eta : int
        Of halving: one of so many trials goes on to the next budget.
    parallel : int
        Most trials at a time; 0 for as many as the resources allow.
    runs, seconds, money : int or None, float or None
        No trial starts after so many, after this time, or after this cost of the machine; those that run end.
    patience : int or None
        Stop after so many ended trials without a better value.
    target : float or None
        Stop when a value is at least as good.
    max_failures : int or None
        Stop after so many failed trials.
    timeout : float or None
        Of a notebook: seconds that a trial may take.
    """

    notebook: Annotated[str, Documented(PATH, optional=True)] = ""
    pipeline: Annotated[str, Documented(NAME, optional=True)] = ""
    params: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    name: Annotated[str, Documented(longest=250)] = ""
    experiment: Annotated[str, Documented(longest=250)] = ""
    method: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    metric: str = ""
    direction: Direction = ""
    budget: str = ""
    eta: Annotated[int, Documented(above=1)] = 3
    parallel: Annotated[int, Documented(above=-1)] = 0
    runs: Annotated[int, Documented(above=0)] | None = None
    seconds: Annotated[float, Documented(above=0)] | None = None
    money: Annotated[float, Documented(above=0)] | None = None
    patience: Annotated[int, Documented(above=0)] | None = None
    target: float | None = None
    max_failures: Annotated[int, Documented(above=0)] | None = None
    timeout: Annotated[float, Documented(above=0)] | None = None


@dataclass(frozen=True)
class Trial:
    """A run of a sweep.

    Attributes
    ----------
    number : int
        From 1, in the order of their starts.
    params : dict
        Its values of the parameters that the sweep varies.
    value : number or None
        Of the metric; None without one.
    metrics : dict
        All metrics of its run, without the use of resources.
    run, run_uid : str
        Id of its run as a pipeline run, and uid of its run in the tracking store.
    rung : int
        Of halving: from 0, how often it was promoted.
    start_ms, end_ms : int
        Milliseconds since the epoch; `end_ms` is 0 while it runs.
    message : str
        Why it failed.
    """

    number: int
    state: TrialState
    params: dict[str, Scalar]
    value: JsonNumber | None = None
    metrics: dict[str, JsonNumber] = field(default_factory=dict)
    run: str = ""
    run_uid: str = ""
    rung: int = 0
    start_ms: int = 0
    end_ms: int = 0
    message: str = ""


@dataclass(frozen=True)
class Sweep:
    """A sweep and its trials.

    Attributes
    ----------
    run : PipelineRun
        Its state, which is that of a pipeline run of kind ``sweep``; `params` describe what is varied.
    method : str
        How values are chosen.
    seed : int
        For the same values again.
    metric, direction : str
        What its trials are judged by; empty for nothing.
    planned : int
        Number of trials if nothing stops it before; 0 if unknown.
    trials : list of Trial
        In the order of their starts.
    best : int
        Number of the best trial; 0 for none.
    importance : dict
        Share (0 to 1) of each varied parameter in the differences of the metric, the largest first; empty if unknown.
    importance_note : str
        Why it is unknown, or how certain it is.
    """

    run: PipelineRun
    method: str
    seed: int
    metric: str
    direction: Direction
    planned: int
    trials: list[Trial] = field(default_factory=list)
    best: int = 0
    importance: dict[str, float] = field(default_factory=dict)
    importance_note: str = ""


@dataclass(frozen=True)
class BestTrial:
    """The best trial of a sweep, and the run whose model can be registered; `model_run` is empty without a model."""

    trial: Trial
    model_run: str = ""

"""The sampler that a sweep asks for."""

from __future__ import annotations

import math
from dataclasses import replace

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.metrics import metric_direction
from mlops_workbench.core.sweeps import Direction, SweepRequest
from mlops_workbench.pipelines.sweeps.halving import HalvingSampler
from mlops_workbench.pipelines.sweeps.optuna_sampler import OptunaSampler
from mlops_workbench.pipelines.sweeps.samplers import GridSampler, LatinHypercube, RandomSampler, Sampler
from mlops_workbench.pipelines.sweeps.space import Range, Space

_OWN = ("grid", "random", "lhs", "halving")
#: Most trials of a sampler whose values are drawn before the start.
_MOST_DRAWN = 100_000
_MOST_PARALLEL = 256


def resolved(request: SweepRequest, space: Space, seed: int) -> SweepRequest:
    """The request with what it leaves open: method, direction, seed; raises InvalidInput where that cannot be known."""
    _check_limits(request)
    method = request.method or ("grid" if _is_grid(space) else "random")
    if not space.dimensions:
        raise InvalidInput("no parameter is varied", hint="give one several values: -p lr=0.1,0.2,0.3 or -p depth=2..8")
    if request.metric or request.direction:
        direction = _direction(request)
    elif method not in ("grid", "random", "lhs"):
        raise InvalidInput(
            f"the method '{method}' needs a metric", hint="name one that the notebook logs: --metric auc --max"
        )
    else:
        direction = ""
    if not direction and (request.patience is not None or request.target is not None):
        raise InvalidInput("an early stop needs a metric", hint="name one that the notebook logs: --metric auc --max")
    return replace(request, method=method, direction=direction, seed=seed if request.seed is None else request.seed)


def _check_limits(request: SweepRequest) -> None:
    for name in ("runs", "seconds", "money", "patience", "max_failures", "timeout"):
        limit = getattr(request, name)
        if limit is not None and not 0 < limit < math.inf:
            raise InvalidInput(f"the limit '{name}' is {limit}", hint="give a number above zero, or leave it out")
    if not 0 <= request.parallel <= _MOST_PARALLEL:
        raise InvalidInput(f"{request.parallel} trials at a time are not possible", hint=f"0 to {_MOST_PARALLEL}")
    if request.target is not None and not math.isfinite(request.target):
        raise InvalidInput(f"the target is {request.target}", hint="give a number")
    if request.pipeline and (request.secrets or request.timeout is not None):
        raise InvalidInput(
            "secrets and the timeout of a pipeline are in its file", hint=f"see pipelines/{request.pipeline}.yaml"
        )


def _direction(request: SweepRequest) -> Direction:
    if not request.metric:
        raise InvalidInput("--max and --min need a metric", hint="for example: --metric auc --max")
    if request.direction:
        return request.direction
    known = metric_direction(request.metric)
    if not known:
        raise InvalidInput(
            f"whether '{request.metric}' should be high or low cannot be told from its name", hint="add --max or --min"
        )
    return "max" if known == "higher" else "min"


def _is_grid(space: Space) -> bool:
    if any(isinstance(dimension, Range) and dimension.drawn for dimension in space.dimensions.values()):
        return False
    try:
        space.grid()
    except InvalidInput:
        return False
    return True


def split_budget(request: SweepRequest, space: Space) -> tuple[Space, str, Range]:
    """The space without the budget of halving, its parameter, and its range; raises InvalidInput."""
    name = request.budget.partition("=")[0].strip()
    found = space.dimensions.get(name)
    if not name:
        raise InvalidInput(
            "halving needs a budget: the parameter that says how long a trial trains",
            hint="for example: --budget epochs=1..81",
        )
    if not isinstance(found, Range) or not found.low > 0:
        raise InvalidInput(
            f"the budget '{request.budget}' is no range above zero", hint=f"for example: --budget {name}=1..81"
        )
    others = {other: dimension for other, dimension in space.dimensions.items() if other != name}
    if not others:
        raise InvalidInput("only the budget is varied", hint="vary another parameter, too: -p lr=log(1e-4..1e-1)")
    return Space(others, space.fixed), name, found


def make_sampler(request: SweepRequest, space: Space) -> Sampler:
    """The sampler of a resolved request.

    Raises
    ------
    InvalidInput
        The method needs what the request lacks, or does not exist.
    """
    seed, runs = request.seed or 0, request.runs
    maximise = request.direction == "max"
    if request.options and request.method in _OWN:
        raise InvalidInput(
            f"the method '{request.method}' takes no options", hint="they are for samplers of Optuna, such as tpe"
        )
    if request.budget and request.method != "halving":
        raise InvalidInput("a budget is for halving", hint="add --method halving, or leave the budget out")
    if request.method == "grid":
        return GridSampler(space, runs)
    if request.method == "halving":
        others, name, budget = split_budget(request, space)
        if runs is not None and runs > _MOST_DRAWN:
            raise InvalidInput(f"halving takes at most {_MOST_DRAWN:,} runs", hint="give less")
        return HalvingSampler(others, name, budget, request.eta, runs, seed, maximise=maximise)
    if request.method == "lhs":
        if runs is None or runs > _MOST_DRAWN:
            raise InvalidInput(
                "a Latin hypercube needs the number of trials", hint=f"for example: --runs 20, at most {_MOST_DRAWN:,}"
            )
        return LatinHypercube(space, runs, seed)
    finite = request.method == "random" and space.size is not None
    if runs is None and request.seconds is None and request.money is None and not finite:
        raise InvalidInput(
            f"the method '{request.method}' has no end", hint="limit it: --runs 20, --minutes 30 or --money 5"
        )
    if request.method == "random":
        return RandomSampler(space, runs, seed)
    return OptunaSampler(space, request.method, request.options, runs, seed, maximise=maximise)

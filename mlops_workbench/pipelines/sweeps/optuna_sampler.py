"""Trials that a sampler of Optuna proposes (extra ``sweep``)."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

from mlops_workbench.core.errors import InvalidInput, did_you_mean
from mlops_workbench.pipelines.sweeps.samplers import Proposal
from mlops_workbench.pipelines.sweeps.space import Choices, Dimension, Normal, Space

#: Short names of Optuna's samplers.
SAMPLERS = {
    "tpe": "TPESampler",
    "cmaes": "CmaEsSampler",
    "gp": "GPSampler",
    "qmc": "QMCSampler",
    "nsgaii": "NSGAIISampler",
    "bruteforce": "BruteForceSampler",
}


class OptunaSampler:
    """Asks a sampler of Optuna; values are told as soon as trials end, whatever their order.

    Parameters
    ----------
    space : Space
        The space.
    name : str
        Short name, name of a class in ``optuna.samplers``, or ``package.module:Class``.
    options : mapping
        Arguments of the class.
    runs : int or None
        Number of trials; None for no end.
    seed : int
        For the same values again.
    maximise : bool
        Whether larger values are better.

    Raises
    ------
    InvalidInput
        Optuna is not installed, there is no such sampler, or it does not take the options.
    """

    def __init__(
        self, space: Space, name: str, options: Mapping[str, Any], runs: int | None, seed: int, *, maximise: bool
    ) -> None:
        self._space = space
        self._total = runs
        self._optuna = _optuna(name)
        sampler = _made(self._optuna, name, options, seed)
        self._study: Any = self._optuna.create_study(sampler=sampler, direction="maximize" if maximise else "minimize")
        self._trials: list[Any] = []

    @property
    def total(self) -> int | None:
        """Number of trials, None if it has no end of its own."""
        return self._total

    def ask(self) -> Proposal | None:
        """Values of the next trial; None if there is none.

        Raises
        ------
        InvalidInput
            The sampler cannot propose values of this space.
        """
        if self._total is not None and len(self._trials) >= self._total:
            return None
        try:
            trial = self._study.ask()
            values = {name: _suggested(trial, name, one) for name, one in self._space.dimensions.items()}
        except Exception as error:
            raise InvalidInput(
                f"the sampler {type(self._study.sampler).__name__} proposes nothing: {error}",
                hint="choose another method, such as tpe or random",
            ) from error
        self._trials.append(trial)
        return Proposal(values)

    def replay(self, values: dict[str, object]) -> None:
        """Note that the next trial was started with these values."""
        dimensions = self._space.dimensions
        self._study.enqueue_trial({name: _encoded(dimensions[name], value) for name, value in values.items()})
        self.ask()

    def tell(self, number: int, value: float | None) -> None:
        """Note the result of a trial."""
        state = self._optuna.trial.TrialState
        if value is None:
            self._study.tell(self._trials[number], state=state.FAIL)
        else:
            self._study.tell(self._trials[number], value)


def _optuna(name: str) -> Any:
    try:
        import optuna
    except ImportError:
        raise InvalidInput(
            f"the method '{name}' needs Optuna, which is not installed",
            hint="pip install 'mlops-workbench[sweep]'; without it: grid, random, lhs, halving",
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _made(optuna: Any, name: str, options: Mapping[str, Any], seed: int) -> Any:
    kind = _class(optuna, name)
    known = inspect.signature(kind).parameters
    given = {"seed": seed, **options} if "seed" in known else dict(options)
    for option in options:
        if option not in known and not any(one.kind is one.VAR_KEYWORD for one in known.values()):
            raise InvalidInput(f"{kind.__name__} has no argument '{option}'", hint=did_you_mean(option, known))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # several samplers are experimental
            return kind(**given)
    except Exception as error:
        raise InvalidInput(
            f"the sampler {kind.__name__} cannot be made: {error}", hint="give its arguments: --option name=value"
        ) from error


def _class(optuna: Any, name: str) -> Any:
    module, colon, attribute = name.partition(":")
    if colon:
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise InvalidInput(f"there is no sampler '{name}': {error}", hint="write package.module:Class") from None
    else:
        found = getattr(optuna.samplers, SAMPLERS.get(name.lower(), name), None)
    if not (isinstance(found, type) and issubclass(found, optuna.samplers.BaseSampler)):
        known = [*("grid", "random", "lhs", "halving"), *SAMPLERS]
        raise InvalidInput(
            f"there is no method '{name}'",
            hint=did_you_mean(name, known) or "a class of Optuna's samplers is one, too: package.module:Class",
        )
    return found


def _suggested(trial: Any, name: str, dimension: Dimension) -> object:
    if isinstance(dimension, Normal):
        return dimension.at(trial.suggest_float(name, 0.0, 1.0))
    if isinstance(dimension, Choices):
        # Of values of any type, Optuna sees the numbers.
        return dimension.point(trial.suggest_categorical(name, list(range(dimension.size))))
    if dimension.count or (dimension.step is not None and not dimension.whole):
        assert dimension.size is not None, "a range with a step is finite"
        return dimension.point(trial.suggest_int(name, 0, dimension.size - 1))
    if dimension.whole:
        low, high = int(dimension.low), int(dimension.high)
        if dimension.log:
            return trial.suggest_int(name, low, high, log=True)
        assert dimension.size is not None, "a range of integers is finite"
        step = int(dimension.step or 1)
        return trial.suggest_int(name, low, low + (dimension.size - 1) * step, step=step)
    return trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)


def _encoded(dimension: Dimension, value: Any) -> Any:
    """What Optuna suggested for a value."""
    if isinstance(dimension, Normal):
        return dimension.share_of(value)
    if isinstance(dimension, Choices):
        return next(number for number, one in enumerate(dimension.values) if repr(one) == repr(value))
    if dimension.count or (dimension.step is not None and not dimension.whole):
        return next(number for number in range(dimension.size or 0) if dimension.point(number) == value)
    return value

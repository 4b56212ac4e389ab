"""From a fitted estimator of scikit-learn to a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import _safe_indexing

from mlops_workbench.data.fitted.inputs import ModelInputs
from mlops_workbench.data.fitted.numpy_codecs import NullableCodec, NumberCodec
from mlops_workbench.serving.compiled.heads import head_of
from mlops_workbench.serving.compiled.lookup import encoder_in, lookup
from mlops_workbench.serving.compiled.nouns import Array, Head, NotCompiled, Rows, Step, Unusual
from mlops_workbench.serving.compiled.numeric import Change, change_of

_Select = Callable[[Any], Any]
_FORMS = ("frame", "matrix")


class CompiledProgram:
    """A fitted estimator as a list of array operations.

    Parameters
    ----------
    steps : sequence of Step
        The first takes the inputs, each other the result of the one before.
    head : Head
        The final estimator.
    """

    kind = "compiled"

    def __init__(self, steps: Sequence[Step], head: Head) -> None:
        self._steps = steps
        self._head = head

    def answers(self, rows: Rows, outputs: Sequence[str]) -> dict[str, Array]:
        """Answer rows.

        Raises
        ------
        Unusual
            The estimator itself must answer them.
        """
        for step in self._steps:
            rows = Rows((), step(rows))
        found = self._head(rows.numbers(), outputs)
        if any(name not in found for name in outputs):
            raise Unusual
        return {name: found[name] for name in outputs}


def compiled(estimator: Any, inputs: ModelInputs | None) -> CompiledProgram:
    """Return the program of a fitted estimator.

    Parameters
    ----------
    estimator : object
        The estimator, which stays as it is.
    inputs : ModelInputs or None
        Its inputs; None if the version has no schema.

    Raises
    ------
    NotCompiled
        A part of it has no compiled form; the text names the part.
    """
    if inputs is None:
        raise NotCompiled("the version has no schema of its training data")
    if inputs.schema.form not in _FORMS:
        raise NotCompiled(f"it was fitted on {inputs.schema.container or inputs.schema.form}")
    steps = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    final = steps.pop()
    while isinstance(final, Pipeline):
        *inner, final = [step for _, step in final.steps]
        steps += inner
    chain = _Chain(inputs, range(len(inputs.codecs)))
    for step in steps:
        chain.add(step)
    categorical = getattr(final, "_preprocessor", None)
    if isinstance(final, HistGradientBoostingClassifier | HistGradientBoostingRegressor) and categorical is not None:
        chain.add(categorical)
    chain.add_numbers()
    return CompiledProgram(chain.steps, head_of(final))


class _Chain:
    """Steps one after the other.

    Parameters
    ----------
    inputs : ModelInputs
        Inputs of the model.
    places : sequence of int, optional
        The inputs that the chain gets, by default all; None if it gets an array of numbers.
    select : callable, optional
        From the model's own input to that of the chain.
    """

    def __init__(self, inputs: ModelInputs, places: Sequence[int] | None, select: _Select | None = None) -> None:
        self.steps: list[Step] = []
        self._inputs = inputs
        self._places = places
        self._select = select or (lambda data: data)

    @property
    def takes_inputs(self) -> bool:
        """Whether the next step takes inputs of the model, and not an array of numbers."""
        return self._places is not None and not self.steps

    def add(self, transformer: Any) -> None:
        """Add a transformer, which takes what the last one returns."""
        if transformer is None or (isinstance(transformer, str) and transformer == "passthrough"):
            return
        if self.takes_inputs:
            encoder = encoder_in(transformer)
            if encoder is not None:
                assert self._places is not None
                self.steps.append(lookup(transformer, encoder, self._places, self._inputs, self._select))
                return
        kind = type(transformer)
        if kind is Pipeline:
            for _, step in transformer.steps:
                self.add(step)
        elif kind is ColumnTransformer:
            self.steps.append(_beside([self._of_columns(transformer, *one) for one in transformer.transformers_]))
        elif kind is FeatureUnion:
            weights = transformer.transformer_weights
            if weights:
                raise NotCompiled("a FeatureUnion has weights")
            self.steps.append(_beside([self._within(one) for _, one in transformer.transformer_list]))
        else:
            self.add_numbers()
            self.steps.append(_of_block(change_of(transformer)))

    def add_numbers(self) -> None:
        """Add the step that makes an array of the inputs, unless there is one already."""
        if not self.takes_inputs:
            return
        assert self._places is not None
        for place in self._places:
            codec = self._inputs.codecs[place]
            is_number = isinstance(codec, NumberCodec | NullableCodec) and codec.wire.kind in "fiub"
            if not is_number or getattr(codec, "dtype", None) == np.float16:
                name = self._inputs.schema.columns[place].name
                raise NotCompiled(f"column '{name}' is not of numbers, and no encoder takes it")
        is_all = list(self._places) == list(range(len(self._inputs.codecs)))
        places = None if is_all else tuple(self._places)
        self.steps.append(lambda rows: rows.numbers(places))

    def _of_columns(self, parent: ColumnTransformer, name: str, one: Any, columns: Any) -> list[Step]:
        """Steps of a part of a ColumnTransformer; none if it keeps nothing."""
        within = list(parent._transformer_to_input_indices[name])
        if not within or (isinstance(one, str) and one == "drop"):
            return []
        if not self.takes_inputs:
            chain = _Chain(self._inputs, None)
            chain.steps.append(lambda rows: rows.numbers(within))
        else:
            assert self._places is not None
            select = self._select
            chain = _Chain(
                self._inputs,
                [self._places[at] for at in within],
                lambda data: _safe_indexing(select(data), columns, axis=1),
            )
        # In histogram-based boosting, this is its own check of numbers.
        if isinstance(one, FunctionTransformer) and name == "numerical" and getattr(one.func, "func", None) is not None:
            one = "passthrough"
        chain.add(one)
        chain.add_numbers()
        return chain.steps

    def _within(self, one: Any) -> list[Step]:
        """Steps of a part of a FeatureUnion; none if it keeps nothing."""
        if isinstance(one, str) and one == "drop":
            return []
        chain = _Chain(self._inputs, self._places if self.takes_inputs else None, self._select)
        chain.add(one)
        chain.add_numbers()
        return chain.steps or [lambda rows: rows.numbers()]


def _of_block(change: Change) -> Step:
    return lambda rows: change(rows.numbers())


def _beside(parts: Sequence[Sequence[Step]]) -> Step:
    """Results of several chains beside each other."""
    parts = [steps for steps in parts if steps]
    if not parts:
        raise NotCompiled("no column is kept")

    def step(rows: Rows) -> Array:
        found = []
        for steps in parts:
            one = rows
            for inner in steps:
                one = Rows((), inner(one))
            found.append(one.numbers())
        return found[0] if len(found) == 1 else np.concatenate(found, axis=1)

    return step

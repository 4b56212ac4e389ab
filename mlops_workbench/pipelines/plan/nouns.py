"""A plan: stages and their instances in order, with all values for their notebooks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mlops_workbench.notebooks.parameters.declared import Parameter
from mlops_workbench.pipelines.definition.nouns import InputSpec, OutputSpec, PipelineSpec, StageSpec

#: From a path or pattern in a spec to the matching files and its absolute form.
Matches = Callable[[str], tuple[list[str], str]]


@dataclass(frozen=True)
class NotebookFacts:
    """What a plan needs to know of a notebook.

    Attributes
    ----------
    path : Path
        Its file.
    parameters : dict
        Its parameters by name.
    language : str
        Language of its kernel in lower case.
    names : frozenset of str
        Names that its code reads without assigning them first, or gives to ``load`` or ``save``.
    """

    path: Path
    parameters: dict[str, Parameter]
    language: str = "python"
    names: frozenset[str] = frozenset()


@dataclass(frozen=True)
class InputPlan:
    """An input of a stage.

    Attributes
    ----------
    spec : InputSpec
        The input in the spec.
    files : tuple of str
        Absolute paths or URLs. Of a data set or a query the one path to which the stage's process writes it. Empty
        if it is chosen later.
    value : object
        What the notebook gets: a path, a pattern, or a list of paths; None if it is chosen later.
    candidates : dict
        For an input with `choose`: by instance the path, and the value for the notebook.
    """

    spec: InputSpec
    files: tuple[str, ...] = ()
    value: object = None
    candidates: dict[str, tuple[str, object]] = field(default_factory=dict)


@dataclass(frozen=True)
class OutputPlan:
    """An output of a stage: the absolute path, and the value for the notebook."""

    spec: OutputSpec
    path: str
    value: object


@dataclass(frozen=True)
class StagePlan:
    """A stage, or an instance of a stage with a matrix, ready to run.

    Attributes
    ----------
    name : str
        Name of the instance: ``train``, or ``train@lr=0.1``.
    needs : tuple of str
        Instances that must have succeeded before.
    matrix : dict
        Its values of the matrix.
    params : dict
        Parameters and constants, converted for the notebook; without secrets.
    secrets : dict
        Parameters to the environment variables that hold their values.
    """

    name: str
    spec: StageSpec
    notebook: Path
    needs: tuple[str, ...] = ()
    matrix: dict[str, object] = field(default_factory=dict)
    params: dict[str, object] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, InputPlan] = field(default_factory=dict)
    outputs: dict[str, OutputPlan] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, object]:
        """All values to inject that are known before the run."""
        inputs = {name: entry.value for name, entry in self.inputs.items() if not entry.candidates}
        return {**self.params, **inputs, **{name: entry.value for name, entry in self.outputs.items()}}


@dataclass(frozen=True)
class Plan:
    """Stages in topological order, and the values of the pipeline's parameters; without secrets."""

    spec: PipelineSpec
    params: dict[str, object]
    stages: tuple[StagePlan, ...]

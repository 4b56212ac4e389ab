"""The parts of a pipeline spec: parameters, stages and publication, each with its line in the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.notebooks.parameters.types import ParameterType


@dataclass(frozen=True)
class ParamSpec:
    """A parameter of a pipeline.

    Attributes
    ----------
    required : bool
        There is no default, so every run must give a value.
    minimum, maximum : int, float, date or None
        Bounds of the value, or of every item of a list.
    """

    name: str
    type: ParameterType
    required: bool
    default: object
    minimum: object = None
    maximum: object = None
    help: str = ""
    line: int = 0

    def convert(self, value: object) -> object:
        """The value converted to the declared type.

        Raises
        ------
        InvalidInput
            The value cannot be converted, or is out of bounds.
        """
        try:
            converted = self.type.convert(value)
        except InvalidInput as error:
            raise InvalidInput(f"parameter '{self.name}': {error.message}", hint=error.hint) from error
        for item in converted if isinstance(converted, list) else [converted]:
            for bound, word, outside in (
                (self.minimum, "at least", self.minimum is not None and item is not None and item < self.minimum),  # type: ignore[operator]
                (self.maximum, "at most", self.maximum is not None and item is not None and item > self.maximum),  # type: ignore[operator]
            ):
                if outside:
                    raise InvalidInput(f"parameter '{self.name}': {item} must be {word} {bound}")
        return converted


@dataclass(frozen=True)
class StageParam:
    """A parameter that a stage passes to its notebook: the pipeline's parameter of that name, or a constant."""

    constant: object = None
    of_pipeline: bool = True
    line: int = 0


@dataclass(frozen=True)
class StageFile:
    """An input (file, pattern or ``stage.output``) or an output (path in the stage's output folder)."""

    path: str
    line: int


@dataclass(frozen=True)
class StageSpec:
    """A stage: a notebook with its parameters, inputs and outputs.

    Attributes
    ----------
    timeout : float or None
        Seconds that an attempt may take.
    retries : int
        Further attempts after a failure.
    """

    name: str
    notebook: str
    params: dict[str, StageParam] = field(default_factory=dict)
    inputs: dict[str, StageFile] = field(default_factory=dict)
    outputs: dict[str, StageFile] = field(default_factory=dict)
    timeout: float | None = None
    retries: int = 0
    line: int = 0
    notebook_line: int = 0


@dataclass(frozen=True)
class PublishSpec:
    """The model to register when all stages succeeded."""

    stage: str
    name: str
    alias: str = ""
    gate: tuple[str, ...] = ()
    metrics_from: str = ""
    line: int = 0
    stage_line: int = 0
    metrics_line: int = 0


@dataclass(frozen=True)
class PipelineSpec:
    """A pipeline spec.

    Attributes
    ----------
    name : str
        The file's name without its ending.
    path : Path
        The file; paths in it are relative to its folder.
    experiment : str
        Experiment of its runs.
    """

    name: str
    path: Path
    experiment: str
    stages: dict[str, StageSpec]
    params: dict[str, ParamSpec] = field(default_factory=dict)
    description: str = ""
    publish: PublishSpec | None = None

    def where(self, line: int) -> str:
        """``file:line``."""
        return f"{self.path}:{line}"

"""Values given for parameters, checked all at once before anything starts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from mlops_workbench.core.errors import InvalidInput, did_you_mean
from mlops_workbench.notebooks.parameters.types import ParameterType


class Declared(Protocol):
    """A declared parameter, of a notebook or of a pipeline."""

    @property
    def type(self) -> ParameterType:
        """Its type."""
        ...

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        ...

    @property
    def help(self) -> str:
        """What it means."""
        ...

    def convert(self, value: object) -> object:
        """Return the value of its type, or raise InvalidInput that names the parameter."""
        ...


def check_values(
    parameters: Mapping[str, Declared],
    given: Mapping[str, object],
    *,
    owner: str = "the notebook",
    supplied: Collection[str] = (),
    where: str | None = None,
) -> dict[str, object]:
    """Return the given values converted to the types of their parameters.

    Parameters
    ----------
    parameters : mapping
        The parameters by name.
    given : mapping
        Values by name. `str` is text, `Text` is what was typed in a shell or a form.
    owner : str
        What has the parameters, for messages: ``notebook 'train.ipynb'``.
    supplied : collection of str
        Names whose values come from elsewhere: secrets, inputs, outputs. They must be parameters too.
    where : str, optional
        Place of the parameters, for messages.

    Raises
    ------
    InvalidInput
        One error for all problems: unknown names, values that do not fit, required parameters without a value.
    """
    problems: list[InvalidInput] = []
    values: dict[str, object] = {}
    for name in (*given, *supplied):
        if name not in parameters:
            problems.append(InvalidInput(f"{owner} has no parameter '{name}'", hint=_hint(name, parameters)))
        elif name in given and name in supplied:
            problems.append(InvalidInput(f"{name}: its value comes from elsewhere, so none can be given"))
        elif name in given:
            try:
                values[name] = parameters[name].convert(given[name])
            except InvalidInput as error:
                problems.append(error)
    for name, parameter in parameters.items():
        if parameter.required and name not in given and name not in supplied:
            hint = f"it is of type {parameter.type.described()}" + (f": {parameter.help}" if parameter.help else "")
            problems.append(InvalidInput(f"{owner} needs a value for parameter '{name}'", hint=hint))
    if problems:
        raise _joined(problems, where)
    return values


def _hint(name: str, parameters: Collection[str]) -> str:
    return did_you_mean(name, parameters) if parameters else "its cell with the parameters needs the tag 'parameters'"


def _joined(problems: list[InvalidInput], where: str | None) -> InvalidInput:
    if len(problems) == 1:
        return InvalidInput(problems[0].message, where=where or problems[0].where, hint=problems[0].hint)
    texts = [f"{problem.message} ({problem.hint})" if problem.hint else problem.message for problem in problems]
    return InvalidInput("; ".join(texts), where=where)

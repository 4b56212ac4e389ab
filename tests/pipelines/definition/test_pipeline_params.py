"""Parameters of a pipeline have the types of a notebook's parameters."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from mlops_workbench.core.errors import InvalidInput, SpecError
from mlops_workbench.notebooks.parameters.text import Text
from mlops_workbench.pipelines.definition.file import read_spec
from mlops_workbench.pipelines.definition.nouns import ParamSpec


def params_of(folder: Path, text: str) -> dict[str, ParamSpec]:
    path = folder / "p.yaml"
    path.write_text(f"version: 1\nstages: {{a: {{notebook: a.ipynb}}}}\nparams:\n  {text}\n", encoding="utf-8")
    return read_spec(path).params


@pytest.mark.parametrize(
    ("text", "kind", "default"),
    [
        ('{type: "str | None", default: null}', "str or None", None),
        ("{type: str, default: null}", "str or None", None),
        ("{type: date, default: 2026-01-31}", "date", datetime.date(2026, 1, 31)),
        ("{type: datetime, default: 2026-01-31}", "datetime", datetime.datetime(2026, 1, 31)),
        (
            "{type: datetime, default: 2026-01-31T12:00:00Z}", "datetime",
            datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC),
        ),
        ('{type: time, default: "12:30"}', "time", datetime.time(12, 30)),
        ("{type: timedelta, default: 90s}", "timedelta", datetime.timedelta(seconds=90)),
        ("{type: Decimal, default: 1.1}", "decimal", Decimal("1.1")),
        ('{type: "dict[str, float]", default: {a: 1}}', "dict[str, float]", {"a": 1.0}),
        ('{type: "dict[int, str]", default: {1: a}}', "dict[int, str]", {1: "a"}),
        ('{type: "Literal[1, \'a\']", default: a}', "one of 1, 'a'", "a"),
        ("{type: choice, choices: [a, b], default: b}", "one of 'a', 'b'", "b"),
        ("{type: int, choices: ['1', 2], default: 2}", "one of 1, 2", 2),
        ("{choices: [a, null], default: null}", "one of 'a' or None", None),
        ('{type: "list[list[int]]", default: [[1], [2]]}', "list[list[int]]", [[1], [2]]),
        ('{type: "tuple[int, str]", default: [1, a]}', "tuple[int, str]", (1, "a")),
        ('{type: "set[int]", default: [1, 1]}', "set[int]", {1}),
        ("{type: float, default: .inf}", "float", float("inf")),
        ("{type: Any, default: null}", "any", None),
        ("{type: 'Annotated[int, Ge(1)]', default: 1}", "int", 1),
        ("null", "any", None),
    ],
)  # fmt: skip
def test_every_type_and_a_default_of_null(tmp_path: Path, text: str, kind: str, default: object) -> None:
    found = params_of(tmp_path, f"x: {text}")["x"]
    assert (str(found.type), found.default, type(found.default), found.required) == (
        kind,
        default,
        type(default),
        False,
    )


def test_a_parameter_without_a_type_leaves_it_to_the_notebooks(tmp_path: Path) -> None:
    found = params_of(tmp_path, "x: null")["x"]
    assert type(found.convert(Text("2024"))) is Text


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        ("{type: int, min: 1, max: 12}", 13, "parameter 'x': 13 must be at most 12"),
        ('{type: "int | None", min: 1}', "0", "0 must be at least 1"),
        ('{type: "list[int]", max: 12}', [1, 13], "13 must be at most 12"),
        ("{type: date, min: 2026-01-01}", "2025-12-31", "must be at least 2026-01-01"),
        ('{type: "Annotated[float, Gt(0)]", max: 1}', 0, "must be greater than 0"),
        ("{type: timedelta, max: 1h}", "2h", "must be at most 1:00:00"),
        ("{type: str}", None, "None is not a str"),
        ("{type: float, min: 0}", float("nan"), "nan must be at least 0"),
    ],
)
def test_bounds_hold_for_every_value(tmp_path: Path, text: str, given: object, message: str) -> None:
    found = params_of(tmp_path, f"x: {text}")["x"]
    with pytest.raises(InvalidInput, match=message):
        found.convert(given)


def test_a_secret_names_its_variable_and_takes_no_value(tmp_path: Path) -> None:
    found = params_of(tmp_path, "token: {secret: API_TOKEN, help: for the API}")["token"]
    assert (found.secret, found.help, str(found.type), found.required, found.default) == (
        "API_TOKEN",
        "for the API",
        "str",
        False,
        None,
    )
    with pytest.raises(InvalidInput, match=r"is a secret.*\n.*set the environment variable API_TOKEN"):
        found.convert("s3cret")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x: {secret: API TOKEN}", "is not the name of an environment variable"),
        ("x: {secret: A, default: b}", "cannot have 'default'"),
        ("x: {secret: A, choices: [b]}", "cannot have 'choices'"),
        ("x: {secret: A, type: int}", "always of type str"),
        ("x: {secret: 3}", "secret must be text"),
        ("x: {type: 'list[Frame]'}", "unknown type"),
        ("x: {type: 'int |'}", "unknown type"),
        ("x: {type: time, default: 12:30}", "750 is not a time\n.*in quotes"),
        ("x: {type: str, default: 2024}", "2024 is not a str\n.*in quotes"),
        ("x: {type: int, min: 3, max: 2}", "'max' is less than 'min'"),
        ("x: {type: 'dict[str, int]', min: 3}", "cannot have bounds"),
        ("x: {type: date, min: tomorrow}", "a bound of type date cannot be text"),
        ("x: {choices: []}", "there are no choices"),
        ("x: {choices: [[1]]}", "a choice cannot be a list"),
        ("x: {type: int, choices: [a]}", "a choice: 'a' is not an int"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        params_of(tmp_path, text)
    assert str(caught.value.where).startswith(f"{tmp_path / 'p.yaml'}:4")

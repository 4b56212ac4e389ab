"""Command lines: parsing, help, unknown commands and options, for the shell and the notebook."""

from __future__ import annotations

import math
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.commands.app import _MODULES, app, complete, run
from mlops_workbench.commands.params_file import read_params_file
from mlops_workbench.commands.values import (
    given_parameters,
    parse_assignments,
    parse_duration,
    parse_texts,
)
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.magics.mlops_magic import split


class Nowhere:
    """A frontend whose workspace has no control plane."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.lines: list[str] = []

    def client(self) -> Any:
        raise AssertionError("these words need no control plane")

    def experiment(self) -> str | None:
        return None

    def use_experiment(self, name: str) -> None: ...

    def table(self, expression: str) -> Any: ...

    def save_model(self, run: str) -> bool:
        return False

    def progress(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def nowhere(workspace: Workspace) -> Nowhere:
    return Nowhere(workspace)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rnus"], "'runs'"),
        (["deplyo", "x"], "Did you mean 'deploy'"),
        (["pipeline", "rnu"], "Did you mean 'run'"),
        (["runs", "--limti", "3"], "--limit"),
        (["register", "boosted"], "--as"),
        (["runs", "--limit", "0"], "0"),
        (["show"], "RUN"),
    ],
)
def test_an_error_names_the_nearest_command_or_option(nowhere: Nowhere, words: list[str], expected: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        run(words, nowhere, prog="mlops")
    assert expected in str(raised.value)
    assert raised.value.hint


def test_every_command_has_help(nowhere: Nowhere, capsys: pytest.CaptureFixture[str]) -> None:
    for command in app.list_commands(None):
        assert run([command, "--help"], nowhere, prog="%mlops") is None
        text = capsys.readouterr().out
        assert f"%mlops {command}" in text
        assert len(text.splitlines()) > 3


def test_an_empty_line_prints_help(nowhere: Nowhere, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([], nowhere, prog="mlops") is None
    text = capsys.readouterr().out
    assert all(command in text for command in app.list_commands(None))
    asked = {"experiment", "runs", "show", "compare", "register", "promote", "deploy", "predict", "endpoints"}
    assert asked | {"rollback", "monitor", "pipeline", "status", "init", "up", "down"} <= set(app.list_commands(None))


def test_commands_and_options_are_completed(nowhere: Nowhere) -> None:
    assert [item.value for item in complete([], "ro", nowhere)] == ["rollback"]
    assert [item.value for item in complete(["pipeline"], "ca", nowhere)] == ["cancel"]
    assert "--gate" in [item.value for item in complete(["register", "x"], "--", nowhere)]
    assert complete(["show"], "x", nowhere) == []


def test_status_and_down_work_without_a_control_plane(nowhere: Nowhere) -> None:
    status = run(["status"], nowhere, prog="mlops")
    assert status is not None
    assert "not running" in status.text()
    down = run(["down"], nowhere, prog="mlops")
    assert down is not None
    assert "no control plane" in down.text()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("runs --limit 3", ["runs", "--limit", "3"]),
        ('register boosted --as x --gate "mae < 3"', ["register", "boosted", "--as", "x", "--gate", "mae < 3"]),
        ("predict e X.query(\"a > 'b'\")[:3]", ["predict", "e", "--", "X.query(\"a > 'b'\")[:3]"]),
        ("predict --help", ["predict", "--help"]),
        ("predict e --batch 'my in.csv' out.csv", ["predict", "e", "--batch", "my in.csv", "out.csv"]),
        ("predict e in.csv out.csv --batch", ["predict", "e", "in.csv", "out.csv", "--batch"]),
        (
            "runs params.x = 'a=b' --sort 'metrics.my mae'",
            ["runs", "params.x", "=", "'a=b'", "--sort", "metrics.my mae"],
        ),
        ('runs "metrics.auc > 0.8"', ["runs", "metrics.auc > 0.8"]),
        ("runs tags.x LIKE 'a%' -e 'my exp'", ["runs", "tags.x", "LIKE", "'a%'", "-e", "my exp"]),
        ("", ["--help"]),
    ],
)
def test_a_magic_line_is_split_as_a_shell_would_but_expressions_stay_whole(line: str, words: list[str]) -> None:
    assert split(line) == words


def test_an_open_quote_is_an_error() -> None:
    with pytest.raises(InvalidInput, match="quotation"):
        split("runs 'x")


def test_assignments_are_typed() -> None:
    given_ = ["month=3", "lr=0.1", "flag=true", "name=a b=c", "months=[1, 2]", "day=2013-01-01", "none=null", "empty="]
    assert parse_assignments(given_) == {
        "month": 3, "lr": 0.1, "flag": True, "name": "a b=c", "months": [1, 2], "day": "2013-01-01", "none": None,
        "empty": "",
    }  # fmt: skip


@pytest.mark.parametrize("texts", [["month"], ["=3"], ["a=1", "a=2"]])
def test_invalid_assignments_are_refused(texts: list[str]) -> None:
    with pytest.raises(InvalidInput):
        parse_assignments(texts)


@given(st.text())
def test_any_text_can_be_a_value(text: str) -> None:
    assert set(parse_assignments([f"name={text}"])) == {"name"}
    # What was typed for a parameter of a notebook stays as it is, since its type says what it means.
    assert parse_texts([f"name={text}"]) == {"name": text}


def test_a_file_of_parameters_is_yaml_or_json_and_p_goes_before_it(tmp_path: Path) -> None:
    (yaml := tmp_path / "a.yaml").write_text(
        "day: 2026-01-02\nrate: 1e-3\nodd: .nan\nmonths: [1, 2]\nnested: {1: {a: null}}\ntext: 'x: 1'\n"
    )
    given_ = given_parameters(["text=y=z"], str(yaml))
    assert given_.texts == {"text": "y=z"} and math.isnan(given_.params.pop("odd"))
    assert given_.params == {"day": "2026-01-02", "rate": 0.001, "months": [1, 2], "nested": {"1": {"a": None}}}
    (tmp_path / "b.json").write_text('{"rate": 1e-3, "text": "a\\nb", "none": null}')
    assert read_params_file(tmp_path / "b.json") == {"rate": 0.001, "text": "a\nb", "none": None}
    (tmp_path / "empty.yaml").write_text("")
    assert read_params_file(tmp_path / "empty.yaml") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", r"f\.yaml:1:6: not valid YAML"),
        ("- 1", "not a mapping"),
        ("1: 2", "not a mapping"),
        ("a: !!binary aGk=", r"f\.yaml: a: a value of type bytes"),
        ("a: !!python/name:os.system", "not valid YAML"),
        ("[" * 3000, "not valid YAML"),
    ],
)
def test_a_file_that_holds_no_parameters_is_refused_with_the_place(tmp_path: Path, text: str, message: str) -> None:
    (file := tmp_path / "f.yaml").write_text(text)
    with pytest.raises(InvalidInput, match=message):
        read_params_file(file)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("1.5", 1.5), ("90s", 90), ("10m", 600), ("1h30m", 5400)])
def test_a_time_is_a_number_of_seconds_or_has_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "0", "0s", "-1", "1e400", "inf", "nan", "5x"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_duration(text)


def test_a_command_is_found_without_the_others() -> None:
    for module, names in _MODULES.items():
        found = import_module(f"mlops_workbench.commands.{module}").COMMANDS
        assert {command.name for command in found} == set(names), module
        assert all(app.get_command(None, name) in found for name in names)

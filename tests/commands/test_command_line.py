"""Command lines: parsing, help, unknown commands and options, for the shell and the notebook."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.commands.app import app, complete, run
from mlops_workbench.commands.values import parse_assignments
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
        (["rnus"], "Did you mean 'runs'"),
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
    for command in app.commands:
        assert run([command, "--help"], nowhere, prog="%mlops") is None
        text = capsys.readouterr().out
        assert f"%mlops {command}" in text
        assert len(text.splitlines()) > 3


def test_an_empty_line_prints_help(nowhere: Nowhere, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([], nowhere, prog="mlops") is None
    text = capsys.readouterr().out
    assert all(command in text for command in app.commands)
    asked = {"experiment", "runs", "show", "compare", "register", "promote", "deploy", "predict", "endpoints"}
    assert asked | {"rollback", "monitor", "pipeline", "status", "init", "up", "down"} <= set(app.commands)


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

"""Values of secrets reach a stage's notebook, and nothing that it writes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notebook_files import notebook
from stage_process import run_stage

from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.cells.outputs import MaskedMessages
from mlops_workbench.pipelines.cells.secret_values import SecretValues
from mlops_workbench.pipelines.runs.requests import StageRequest
from mlops_workbench.pipelines.stages.result import failed

VALUE = 'p4ss"w<rd/ü&7'


def message(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"msg_type": "stream", "header": {"msg_type": "stream"}, "content": {"name": name, "text": text}}


IDLE = {"msg_type": "status", "header": {"msg_type": "status"}, "content": {"execution_state": "idle"}}


@given(st.lists(st.one_of(st.just(VALUE), st.text(max_size=8)), max_size=8), st.data())
def test_a_value_is_masked_however_its_text_is_split(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    masked = MaskedMessages(SecretValues({"TOKEN": VALUE}))
    sent = [found for piece in [*map(message, pieces), IDLE] for found in masked.of(piece)]
    written = "".join(found["content"]["text"] for found in sent if found["msg_type"] == "stream")
    assert written == text.replace(VALUE, "[secret TOKEN]")
    assert sent[-1] == IDLE


def test_a_value_is_masked_in_the_forms_that_programs_write() -> None:
    import html
    import json
    import urllib.parse

    secrets = SecretValues({"TOKEN": VALUE})
    for form in (repr(VALUE), json.dumps(VALUE), html.escape(VALUE), urllib.parse.quote(VALUE, safe="")):
        assert "[secret TOKEN]" in secrets.mask(f"x{form}y")
    assert secrets.mask_all({"a": [VALUE, 3, None]}) == {"a": ["[secret TOKEN]", 3, None]}


def test_a_value_that_is_not_text_is_masked_too() -> None:
    assert SecretValues({"A": "open\udcff"}).mask("say open\udcff") == "say [secret A]"


def test_values_that_are_too_short_are_left() -> None:
    assert SecretValues({"A": "abc"}).mask("abc") == "abc" and not SecretValues({"A": "abc"})


@pytest.mark.process
def test_no_file_of_a_stage_has_the_value_of_a_secret(workspace: Workspace) -> None:
    attempt = run_stage(
        workspace,
        notebook(
            f"import os\ntoken = os.environ['API_TOKEN']\nassert token == {VALUE[:5]!r} + {VALUE[5:]!r}\nprint(token)",
            "import sys, time\nprint(token[:6], end='', flush=True)\ntime.sleep(0.5)\nprint(token[6:], flush=True)",
            "token",
            "from IPython.display import HTML, JSON\ndisplay(HTML(f'<b>{token}</b>'), JSON({'a': [token]}))",
            "shown = display('x', display_id=True)\nshown.update(token)",
            "import ipywidgets\nipywidgets.Text(value=token)",
            "os.system('echo $API_TOKEN; echo $API_TOKEN >&2')\nos.environ['MLOPS_SECRET_NAMES']",
            "os.write(2, token.encode())\nsys.__stderr__.write(token)\nsys.__stderr__.flush()",
            "raise ValueError(f'refused: {token}')",
        ),
        {"API_TOKEN": VALUE},
        secrets={"token": "API_TOKEN"},
    )
    assert attempt.ended.message == "only.ipynb, cell 10: ValueError: refused: [secret API_TOKEN]"
    assert attempt.output(0) == "[secret API_TOKEN]\n" and attempt.output(1) == "[secret API_TOKEN]\n"
    assert attempt.output(2) == "'[secret API_TOKEN]'" and attempt.output(4) == "'[secret API_TOKEN]'"
    assert "'API_TOKEN'" in attempt.output(6)
    for path in workspace.root.rglob("*"):
        if path.is_file() and path.name not in ("notebook.ipynb",):
            content = path.read_bytes()
            for form in (VALUE, VALUE.replace('"', '\\"')):
                assert form.encode() not in content, path


@pytest.mark.process
def test_an_error_that_is_in_no_output_has_no_value_of_a_secret(workspace: Workspace) -> None:
    attempt = run_stage(
        workspace,
        notebook("import os\nraise ExceptionGroup('refused: ' + os.environ['API_TOKEN'], [ValueError('x')])"),
        {"API_TOKEN": VALUE},
        secrets={"token": "API_TOKEN"},
    )
    assert "refused: [secret API_TOKEN]" in attempt.ended.message
    for path in workspace.root.rglob("*"):
        if path.is_file() and path.name != "notebook.ipynb":
            content = path.read_bytes()
            assert VALUE.encode() not in content and VALUE.replace('"', '\\"').encode() not in content, path


@pytest.mark.parametrize("before", range(230, 270, 3))
def test_a_value_across_the_cut_of_a_long_reason_is_masked(before: int) -> None:
    stage = StageRequest(name="a", stage="a", notebook="a.ipynb", source="/a.ipynb", kernel="", needs=[], injected=0)
    error = ValueError("x" * before + VALUE + "y" * 300)
    ended = failed(stage, error, "error", mask=SecretValues({"API_TOKEN": VALUE}).mask)
    assert not any(VALUE[:length] in ended.message for length in range(4, len(VALUE)))


@pytest.mark.process
def test_a_secret_without_its_variable_fails_before_the_kernel_starts(workspace: Workspace) -> None:
    attempt = run_stage(workspace, notebook("1"), secrets={"token": "API_TOKEN"})
    assert attempt.ended.cause == "input" and "token (API_TOKEN)" in attempt.ended.message
    assert attempt.cells == []

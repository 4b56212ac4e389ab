"""A setting is changed in the user's file: comments, order and every other value stay."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.core.errors import SettingsError
from mlops_workbench.core.settings_file import add_to_list, toml_value
from mlops_workbench.core.settings_sources import load_settings
from mlops_workbench.core.workspace import Workspace


def written(folder: Path, text: str) -> Path:
    file = folder / "workbench.toml"
    file.write_bytes(text.encode())
    return file


def text_of(file: Path) -> str:
    return file.read_bytes().decode()


def test_a_new_line_stands_below_the_one_that_documents_it(tmp_path: Path) -> None:
    Workspace.init(tmp_path)
    file = tmp_path / "workbench.toml"
    before = text_of(file).splitlines()
    assert add_to_list(file, "serving", "trusted_types", "mine.Scaler")
    after = text_of(file).splitlines()
    place = next(i for i, line in enumerate(after) if line.startswith("trusted_types"))
    assert after[place] == 'trusted_types = ["mine.Scaler"]'
    assert after[place - 1].startswith("# trusted_types = []")
    assert after[:place] + after[place + 1 :] == before
    assert load_settings(file, environ={}).serving.trusted_types == ["mine.Scaler"]


LIST = """\
# first
[serving]  # of endpoints
trusted_types = [  # ours
    "a.A", # the scaler
    'b.B'  # the encoder, not "]" or ,
    # , nothing more ]
]  # end
host = "127.0.0.1" # [serving]
[control]
port = 8400
"""


def test_an_item_joins_a_list_of_several_lines_and_its_comments_stay(tmp_path: Path) -> None:
    file = written(tmp_path, LIST)
    assert add_to_list(file, "serving", "trusted_types", "c.C")
    assert text_of(file) == LIST.replace("'b.B' ", "'b.B', ").replace("]  # end", '    "c.C",\n]  # end')
    once = text_of(file)
    assert not add_to_list(file, "serving", "trusted_types", "c.C")
    assert add_to_list(file, "serving", "trusted_types", "d.D")
    assert text_of(file) == once.replace("]  # end", '    "d.D",\n]  # end')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", '[serving]\ntrusted_types = ["x"]\n'),
        ("# nothing", '# nothing\n\n[serving]\ntrusted_types = ["x"]\n'),
        ("[serving]", '[serving]\ntrusted_types = ["x"]\n'),
        ("[serving]\r\nhost = 'h'\r\n", "[serving]\r\nhost = 'h'\r\ntrusted_types = [\"x\"]\r\n"),
        ("[serving]\ntrusted_types=[]", '[serving]\ntrusted_types=["x"]'),
        ("[serving]\ntrusted_types = [ 'a', ]\n", "[serving]\ntrusted_types = [ 'a', \"x\" ]\n"),
        ("[serving]\ntrusted_types = ['a'] # b\n", "[serving]\ntrusted_types = ['a', \"x\"] # b\n"),
        ("[ 'serving' ]\n\"trusted_types\" = ['a']\n", "[ 'serving' ]\n\"trusted_types\" = ['a', \"x\"]\n"),
        ("[serving]\ntrusted_types = [\n]\n", '[serving]\ntrusted_types = [\n    "x",\n]\n'),
        ("serving.host = 'h'\n[control]\n", "serving.host = 'h'\nserving.trusted_types = [\"x\"]\n[control]\n"),
        # What only looks like a header or a key stands in a text.
        (
            '[control]\nhost = """\n[serving]\ntrusted_types = []\n"""\n',
            '[control]\nhost = """\n[serving]\ntrusted_types = []\n"""\n\n[serving]\ntrusted_types = ["x"]\n',
        ),
        (
            "[serving]\nhost = '''\n# trusted_types = []\n'''\n",
            "[serving]\nhost = '''\n# trusted_types = []\n'''\ntrusted_types = [\"x\"]\n",
        ),
    ],
)
def test_odd_files_are_changed_in_one_place(tmp_path: Path, text: str, expected: str) -> None:
    file = written(tmp_path, text)
    assert add_to_list(file, "serving", "trusted_types", "x")
    assert text_of(file) == expected


@pytest.mark.parametrize("text", ["serving = {host = 'h'}\n", "[[serving]]\nhost = 'h'\n", "serving = 3\n"])
def test_a_form_that_cannot_be_changed_is_left_alone_and_the_line_is_named(tmp_path: Path, text: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(SettingsError, match=r"below \[serving\]: trusted_types = \[\"x\"\]"):
        add_to_list(file, "serving", "trusted_types", "x")
    assert text_of(file) == text


def test_a_broken_file_and_a_field_of_another_kind_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path, "[serving\n")
    with pytest.raises(SettingsError, match="not valid TOML"):
        add_to_list(file, "serving", "trusted_types", "x")
    file = written(tmp_path, "[serving]\ntrusted_types = 'a'\n")
    with pytest.raises(SettingsError, match="not a list"):
        add_to_list(file, "serving", "trusted_types", "x")


def test_mode_and_link_of_the_file_stay(tmp_path: Path) -> None:
    kept = tmp_path / "kept.toml"
    kept.write_text("[serving]\ntoken = 'secret'\n")
    kept.chmod(0o600)
    link = tmp_path / "workbench.toml"
    link.symlink_to(kept)
    assert add_to_list(link, "serving", "trusted_types", "x")
    assert link.is_symlink() and text_of(kept) == "[serving]\ntoken = 'secret'\ntrusted_types = [\"x\"]\n"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert not add_to_list(link, "serving", "trusted_types", "x")


values = st.one_of(
    st.booleans(), st.integers(-(2**40), 2**40), st.floats(), st.text(st.characters(codec="utf-8")),
    st.lists(st.text(st.characters(codec="utf-8"))),
)  # fmt: skip
comments = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
keys = st.sampled_from(["host", "token", "trusted_types", "x-y", "'odd key'", '"="', "a.b"])


@st.composite
def files(draw: st.DrawFn) -> str:
    """A file in the forms that people write."""
    end = draw(st.sampled_from(["\n", "\r\n"]))
    lines: list[str] = []
    for section in draw(st.lists(st.sampled_from(["serving", "control", "'prices'", "a.b"]), unique=True)):
        lines.append(f"[{section}]  # {draw(comments)}")
        for key in draw(st.lists(keys, unique=True)):
            value = draw(values)
            shown = toml_value(value)
            if isinstance(value, list):
                inner = "".join(f"  {toml_value(item)}, # {draw(comments)}{end}" for item in value)
                shown = draw(st.sampled_from([shown, f"[{end}{inner}]"]))
            elif isinstance(value, str) and "'''" not in value and value.isprintable():
                shown = draw(st.sampled_from([shown, f"'''{value}'''" if not value.endswith("'") else shown]))
            lines += [f"# {draw(comments)}", f"{key} = {shown} # {draw(comments)}"]
    return end.join(lines) + draw(st.sampled_from(["", end]))


def parsed(text: str) -> Any:
    return tomllib.loads(text)


@given(files(), st.text(st.characters(codec="utf-8")))
def test_adding_to_a_list_keeps_every_line(tmp_path_factory: pytest.TempPathFactory, text: str, item: str) -> None:
    before = parsed(text)
    present = before.get("serving", {}).get("trusted_types", [])
    file = written(tmp_path_factory.mktemp("f"), text)
    if not isinstance(present, list):
        with pytest.raises(SettingsError):
            add_to_list(file, "serving", "trusted_types", item)
        return
    assert add_to_list(file, "serving", "trusted_types", item) is (item not in present)
    after = parsed(text_of(file))
    wanted = present if item in present else [*present, item]
    # Nothing else has changed.
    serving = {**before.get("serving", {}), **({"trusted_types": wanted} if wanted else {})}
    assert repr(sorted_of(after)) == repr(sorted_of({**before, "serving": serving}))
    # What was there is there still, in its order.
    rest = iter(text_of(file))
    assert all(letter in rest for letter in text)


def sorted_of(value: Any) -> Any:
    return {key: sorted_of(value[key]) for key in sorted(value)} if isinstance(value, dict) else value


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, "")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(Exception, match=r"cannot write workbench\.toml"):
            add_to_list(file, "serving", "trusted_types", "x")
    finally:
        tmp_path.chmod(0o700)

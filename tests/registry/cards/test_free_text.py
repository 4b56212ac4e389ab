"""What a person writes about a model is read field by field, and never changed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_workbench.commands.app import run
from mlops_workbench.core.model_card import CardText, ModelCard
from mlops_workbench.core.models import RegisteredModel
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.registry.cards.free_text import (
    FIELDS,
    ensure_text,
    open_questions,
    parse_text,
    read_text,
    template,
    text_file,
)

HEADINGS = [heading for heading, _ in FIELDS.values()]


@dataclass
class Shell:
    """A shell whose control plane has one version."""

    workspace: Workspace
    prog: str = "mlops"
    made: list[int] = field(default_factory=list)

    @contextmanager
    def client(self) -> Iterator[Any]:
        yield self

    def models(self) -> list[RegisteredModel]:
        return [RegisteredModel("m", 1, {}, 0)]

    def card(self, name: str, version: int) -> ModelCard:
        return ModelCard(name, version, "d", "none", "", 0)


#: Anything that an editor leaves behind, with what the parser looks for in it.
PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([f"## {heading}".encode() for heading in HEADINGS]),
    st.sampled_from([b"\r\n", b"\n", b"\r", b"```", b"<!--", b"-->", b"# ", b"\xef\xbb\xbf", b"\xff\xfe", b"\x00"]),
)


@settings(max_examples=60)
@given(st.lists(PIECES, max_size=30).map(b"".join))
def test_making_the_card_again_keeps_the_text_byte_for_byte(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.init(Path(folder))
        own = text_file(workspace.root, "m")
        own.parent.mkdir()
        own.write_bytes(content)
        before = own.stat()
        for _ in range(2):
            view = run(["card", "m"], Shell(workspace), prog="mlops")  # type: ignore[arg-type]
            assert view is not None and view.text() and view.html()
        assert own.read_bytes() == content
        assert (own.stat().st_ino, own.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        assert sorted(path.name for path in own.parent.iterdir()) == ["m.md"]
        assert sorted(path.name for path in (workspace.state / "cards").iterdir()) == [
            "m-1.html", "m-1.json", "m-1.md",
        ]  # fmt: skip


#: Lines that begin no heading, no block of code and no comment.
LINES = st.lists(st.text(st.characters(exclude_characters="\r\n#`~<", exclude_categories=["Cs"])), min_size=1)


@given(st.permutations(list(FIELDS)), st.data(), st.sampled_from(["\n", "\r\n", "\r"]))
def test_each_field_is_what_is_below_its_heading(order: list[str], data: st.DataObject, end: str) -> None:
    texts = {name: "\n".join(data.draw(LINES)) for name in order}
    parts = ["# Title\n\nbefore\n\n## Mine\n\n" + data.draw(st.text(alphabet="ab \n"))]
    parts += [f"## {FIELDS[name][0]}\n{text}" for name, text in texts.items()]
    found = parse_text("\n".join(parts).replace("\n", end))
    assert found == CardText(**{name: text.strip() for name, text in texts.items()})


def test_the_new_file_has_empty_headings_and_is_made_once(tmp_path: Path) -> None:
    assert read_text(tmp_path, "m") == CardText()
    assert ensure_text(tmp_path, "m")
    own = text_file(tmp_path, "m")
    assert own == tmp_path / "cards" / "m.md" and own.read_text() == template("m")
    assert [line for line in own.read_text().splitlines() if line.startswith("## ")] == [
        f"## {heading}" for heading in HEADINGS
    ]
    assert open_questions(read_text(tmp_path, "m")) == HEADINGS, "a hint is no answer"
    assert not ensure_text(tmp_path, "m")
    assert list(own.parent.iterdir()) == [own] and own.stat().st_mode & 0o777 == 0o644


def test_a_link_that_leads_nowhere_is_left_alone(tmp_path: Path) -> None:
    own = text_file(tmp_path, "m")
    own.parent.mkdir()
    own.symlink_to("elsewhere.md")
    assert not ensure_text(tmp_path, "m") and not (own.parent / "elsewhere.md").exists()
    assert read_text(tmp_path, "m") == CardText()


def test_a_file_that_is_made_meanwhile_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = text_file(tmp_path, "m")
    own.parent.mkdir()
    own.write_text("mine")
    # As if it had not been there when it was looked for.
    monkeypatch.setattr("os.path.lexists", lambda path: False)
    assert not ensure_text(tmp_path, "m")
    assert own.read_text() == "mine" and list(own.parent.iterdir()) == [own]


def test_code_comments_and_lower_headings_are_part_of_a_field() -> None:
    limits = "slow\n### Owner\nof the limit\n```python\n## Risks\n```"
    found = parse_text(f"##  LIMITS ##\n{limits}\n<!--\n## Users\nhidden -->\n# Risks\nnone")
    assert found.limits == limits
    assert (found.risks, found.owner, found.users) == ("none", "", "")
    assert parse_text("## Risks\na\n## Risks\nb").risks == "a\nb"

"""``mlops keys``: create, trust and rotate the keys that sign models, without losing a line of workbench.toml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlops_workbench.commands.app import run
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import Conflict, WorkbenchError
from mlops_workbench.core.workspace import FILE, Workspace
from mlops_workbench.serving.signatures.keys import InvalidKey, key_file, public_key, signing_key, trusted_keys


@dataclass
class Place:
    """A shell in a workspace."""

    workspace: Workspace
    prog: str = "mlops"

    def __call__(self, *words: str) -> View:
        view = run(["keys", *words], self, prog=self.prog)  # type: ignore[arg-type]
        assert view is not None
        return view

    @property
    def trusted(self) -> list[Any]:
        return trusted_keys(Workspace.open(self.workspace.root).settings.serving.trusted_keys)


@pytest.fixture
def keys(workspace: Workspace) -> Place:
    return Place(workspace)


def test_the_own_key_is_created_shown_and_trusted_by_command_only(keys: Place) -> None:
    assert keys().data["own"] is None and not key_file().exists()
    made = keys("create")
    own = signing_key()
    assert own is not None
    assert made.data["own"] == own.id and made.data["private_key"] == str(key_file())
    assert public_key(made.data["public_key"]) == own.public
    assert own.id[:16] in made.title and "keys trust own" in " ".join(made.notes)
    assert keys.trusted == [] and keys().rows == []
    with pytest.raises(Conflict):
        keys("create")

    before = (keys.workspace.root / FILE).read_text().splitlines()
    trusted = keys("trust", "own")
    assert keys.trusted == [own.public]
    assert [row[:2] for row in trusted.rows] == [(own.id[:16], "you")]
    after = (keys.workspace.root / FILE).read_text().splitlines()
    assert [line for line in after if line not in before] == [f'trusted_keys = ["keys/{own.id[:16]}.pem"]']
    assert [line for line in after if line in before] == before
    assert keys("trust", "own").title.startswith("already trusted")
    assert (keys.workspace.root / FILE).read_text().splitlines() == after


def test_a_key_of_a_colleague_is_copied_into_the_workspace(
    keys: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys("create")
    theirs = tmp_path / "theirs.pem"
    theirs.write_text(keys().data["public_key"])
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "mine"))
    monkeypatch.chdir(tmp_path)
    keys("trust", "theirs.pem")
    theirs.unlink()
    assert len(keys.trusted) == 1
    assert [row[1] for row in keys().rows] == [None]
    with pytest.raises(InvalidKey, match="keys create"):
        keys("trust", "own")
    keys("create")
    with pytest.raises(InvalidKey, match="private key"):
        keys("trust", str(key_file()))
    with pytest.raises(InvalidKey, match="cannot be read"):
        keys("trust", "theirs.pem")
    assert len(keys.trusted) == 1


def test_after_a_rotation_both_keys_are_trusted_where_the_old_one_was(keys: Place, tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="keys create"):
        keys("rotate")
    keys("create")
    other = Place(Workspace.init(tmp_path / "other"))
    keys("trust", "own")
    old = signing_key()
    view = keys("rotate")
    new = signing_key()
    assert old is not None and new is not None and old.id != new.id
    assert keys.trusted == [old.public, new.public]
    assert "old private key" in view.notes[0]
    other("rotate")
    assert other.trusted == []


def test_a_listed_key_that_is_gone_is_shown_and_the_others_work(keys: Place) -> None:
    keys("create")
    (keys.workspace.root / FILE).write_text(
        "[serving]\ntrusted_keys = ['gone.pem']  # Ada's\nrequire_signature = true\n"
    )
    keys("trust", "own")
    rows = keys().rows
    assert [bool(row[3]) for row in rows] == [True, False]
    assert "cannot be read" in str(rows[0][3])
    text = (keys.workspace.root / FILE).read_text()
    assert "# Ada's" in text and "'gone.pem', \"keys/" in text
    assert dict(keys().facts)["unsigned models"] == "refused"


def test_a_variable_that_hides_the_list_is_named(keys: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    keys("create")
    monkeypatch.setenv("MLOPS_SERVING_TRUSTED_KEYS", "/somewhere/key.pem")
    assert "MLOPS_SERVING_TRUSTED_KEYS" in keys("trust", "own").notes[0]

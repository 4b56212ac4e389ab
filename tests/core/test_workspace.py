"""The workspace: found from where one stands, made once, never overwritten."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlops_workbench.core.errors import NotFound, SettingsError, StorageError
from mlops_workbench.core.workspace import Workspace


def test_the_nearest_file_above_wins(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "ünter"
    deep = inner / "b" / "c"
    deep.mkdir(parents=True)
    Workspace.init(tmp_path)
    Workspace.init(inner)
    assert Workspace.find(deep).root == inner


def test_without_a_file_there_is_a_default_workspace_per_user(tmp_path: Path) -> None:
    assert Workspace.find(tmp_path).root == Path(os.environ["XDG_DATA_HOME"]) / "mlops-workbench"


def test_a_variable_names_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_WORKSPACE", str(tmp_path))
    assert Workspace.find().root == tmp_path
    monkeypatch.setenv("MLOPS_WORKSPACE", str(tmp_path / "gone"))
    with pytest.raises(NotFound, match="gone"):
        Workspace.find()


def test_the_state_is_for_its_owner_only_unless_the_group_was_let_in(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        state = Workspace.init(tmp_path).state
    finally:
        os.umask(before)
    assert state.stat().st_mode & 0o777 == 0o700
    for found, then in ((0o755, 0o700), (0o770, 0o770), (0o775, 0o775)):
        state.chmod(found)
        Workspace.open(tmp_path).prepare()
        assert state.stat().st_mode & 0o777 == then


def test_a_working_folder_that_was_deleted_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(NotFound, match="was deleted") as raised:
        Workspace.find()
    assert raised.value.hint


def test_init_keeps_a_file_that_is_there(tmp_path: Path) -> None:
    file = tmp_path / "workbench.toml"
    file.write_text("[control]\nport = 4321\n")
    assert Workspace.init(tmp_path).settings.control.port == 4321
    assert file.read_text() == "[control]\nport = 4321\n"


def test_the_file_that_init_writes_is_valid_and_all_comments_can_be_removed(tmp_path: Path) -> None:
    Workspace.init(tmp_path)
    file = tmp_path / "workbench.toml"
    lines = file.read_text().splitlines()
    live = [line[2:] if line.startswith("# ") and " = " in line else line for line in lines]
    file.write_text("\n".join(live))
    assert Workspace.open(tmp_path).settings == Workspace.open(tmp_path / "elsewhere").settings


def test_state_is_hidden_from_git_and_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    workspace = Workspace.init(Path())
    assert (workspace.state / ".gitignore").read_text() == "*\n"
    assert workspace.tracking_uri == f"sqlite:///{tmp_path}/.mlops/mlflow.db"


def test_a_broken_file_is_an_error_and_not_another_workspace(tmp_path: Path) -> None:
    (tmp_path / "workbench.toml").write_text("[nonsense]\nx = 1\n")
    with pytest.raises(SettingsError, match="nonsense"):
        Workspace.find(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    # A file where the state folder would be stops root too, which permissions would not.
    (tmp_path / ".mlops").write_text("in the way")
    with pytest.raises(StorageError) as raised:
        Workspace.open(tmp_path).prepare()
    assert str(tmp_path / ".mlops") in str(raised.value)
    assert raised.value.hint

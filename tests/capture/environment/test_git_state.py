"""The state of real repositories."""

import os
import shutil
import subprocess

import pytest

from mlops_workbench.capture.environment.git import DIFF_BYTES, GitMemory, read_git
from mlops_workbench.core.secrets import MASK


def git(folder, *arguments):
    done = subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        env={**{k: v for k, v in os.environ.items() if not k.startswith("GIT_")}, "GIT_CONFIG_GLOBAL": os.devnull},
    )
    return done.stdout.strip()


@pytest.fixture
def empty(tmp_path):
    folder = tmp_path / "mein projekt ü"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    return folder


@pytest.fixture
def repository(empty):
    (empty / "größe.py").write_text("a = 1\n")
    (empty / "notebooks").mkdir()
    (empty / "notebooks" / "n.ipynb").write_text("{}\n")
    git(empty, "add", "-A")
    git(empty, "commit", "-q", "-m", "first")
    return empty


def test_a_clean_repository_is_known_by_its_commit_and_branch(repository):
    state = read_git(repository / "notebooks")
    assert state.root == str(repository)
    assert (state.commit, state.branch, state.dirty) == (git(repository, "rev-parse", "HEAD"), "main", False)
    assert (state.diff, state.untracked, state.remote) == ("", [], "")


def test_the_diff_of_a_dirty_repository_can_be_applied(repository, tmp_path):
    (repository / "größe.py").write_text("a = 2\n")
    (repository / "notebooks" / "n.ipynb").unlink()
    (repository / "neu ß.txt").write_text("x")
    # Configurations that make of a diff what nobody can apply.
    git(repository, "config", "color.ui", "always")
    git(repository, "config", "diff.external", "false")
    git(repository, "config", "diff.noprefix", "true")
    state = read_git(repository)
    assert state.dirty and state.diff_complete and state.untracked == ["neu ß.txt"]
    git(repository, "stash", "-q")
    patch = tmp_path / "p.diff"
    patch.write_text(state.diff)
    git(repository, "apply", str(patch))
    assert (repository / "größe.py").read_text() == "a = 2\n" and not (repository / "notebooks" / "n.ipynb").exists()


def test_what_is_staged_belongs_to_the_diff(repository):
    (repository / "new.py").write_text("b = 1\n")
    git(repository, "add", "new.py")
    state = read_git(repository)
    assert state.dirty and "+b = 1" in state.diff and state.untracked == []


def test_only_untracked_files_do_not_make_it_dirty(repository):
    (repository / "new.py").write_text("b = 1\n")
    state = read_git(repository)
    assert not state.dirty and state.diff == "" and state.untracked == ["new.py"]


def test_secrets_in_the_diff_are_masked(repository):
    (repository / "größe.py").write_text('a = 1\nAPI_KEY = "correct-horse"\n')
    state = read_git(repository)
    assert f'+API_KEY = "{MASK}"' in state.diff and "correct-horse" not in state.diff


def test_a_folder_outside_of_a_repository_has_no_state(tmp_path):
    assert read_git(tmp_path) is None
    assert read_git(tmp_path / "gone") is None


def test_without_git_there_is_no_state(repository, monkeypatch):
    monkeypatch.setenv("PATH", str(repository))
    assert read_git(repository) is None


def test_a_detached_head_has_a_commit_and_no_branch(repository):
    git(repository, "checkout", "-q", "--detach")
    state = read_git(repository)
    assert state.branch == "" and state.commit == git(repository, "rev-parse", "HEAD")


def test_a_repository_without_commits_has_a_branch_and_no_commit(empty):
    (empty / "a.py").write_text("x")
    git(empty, "add", "a.py")
    state = read_git(empty)
    assert (state.commit, state.branch, state.dirty, state.diff) == ("", "main", True, "")


def test_a_worktree_is_a_repository_of_its_own(repository, tmp_path):
    git(repository, "worktree", "add", "-q", "-b", "side", str(tmp_path / "tree"))
    (tmp_path / "tree" / "größe.py").write_text("a = 3\n")
    state = read_git(tmp_path / "tree")
    assert (state.root, state.branch, state.dirty) == (str(tmp_path / "tree"), "side", True)
    assert "+a = 3" in state.diff and not read_git(repository).dirty


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://me:letmein@example.org/a/b.git", "https://example.org/a/b.git"),
        ("https://sometoken@example.org/a/b.git", "https://example.org/a/b.git"),
        ("git@example.org:a/b.git", "git@example.org:a/b.git"),
        ("ssh://git@example.org/a/b.git", "ssh://example.org/a/b.git"),
    ],
)
def test_a_remote_is_recorded_without_credentials(repository, url, kept):
    git(repository, "remote", "add", "origin", url)
    assert read_git(repository).remote == kept


def test_the_remote_is_that_of_the_branch(repository):
    git(repository, "remote", "add", "origin", "https://example.org/origin.git")
    git(repository, "remote", "add", "fork", "https://example.org/fork.git")
    assert read_git(repository).remote == "https://example.org/origin.git"
    git(repository, "config", "branch.main.remote", "fork")
    assert read_git(repository).remote == "https://example.org/fork.git"


def test_a_huge_diff_is_cut_at_a_line_and_said_to_be(repository):
    (repository / "größe.py").write_text("".join(f"line {i} of very many\n" for i in range(200_000)))
    state = read_git(repository)
    assert not state.diff_complete and len(state.diff) <= DIFF_BYTES and state.diff.endswith("of very many\n")


def test_variables_of_a_git_hook_do_not_lead_to_another_repository(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(repository))
    (tmp_path / "elsewhere").mkdir()
    assert read_git(tmp_path / "elsewhere") is None


def test_nothing_in_the_repository_is_changed(repository):
    (repository / "größe.py").write_text("a = 2\n")
    index = (repository / ".git" / "index").read_bytes()
    os.utime(repository / "notebooks" / "n.ipynb")
    read_git(repository)
    assert (repository / ".git" / "index").read_bytes() == index


def test_a_broken_index_leaves_the_commit_known(repository):
    before = read_git(repository)
    (repository / ".git" / "index").write_bytes(b"no index")
    found = read_git(repository)
    assert (found.commit, found.branch) == (before.commit, before.branch) and found.commit
    assert found.dirty is None and found.untracked == []


def test_a_link_into_a_repository_leads_to_it(repository, tmp_path):
    inside = repository / "sub"
    inside.mkdir()
    link = tmp_path / "link elsewhere"
    link.symlink_to(inside)
    assert read_git(link).root == read_git(repository).root


def test_what_is_remembered_of_a_repository_does_not_outlive_it(repository, tmp_path):
    memory = GitMemory()
    git(repository, "remote", "add", "origin", "https://example.org/one.git")
    one = read_git(repository / "notebooks", memory)
    assert one == read_git(repository / "notebooks", memory) == read_git(repository / "notebooks")
    git(repository, "remote", "set-url", "origin", "https://example.org/another.git")
    assert read_git(repository, memory).remote == "https://example.org/another.git"
    git(repository, "checkout", "--quiet", "-b", "other")
    assert read_git(repository, memory).branch == "other"
    # A repository within, and none any more.
    git(repository / "notebooks", "init", "--quiet")
    assert read_git(repository / "notebooks", memory).root == str(repository / "notebooks")
    shutil.rmtree(repository / "notebooks" / ".git")
    assert read_git(repository / "notebooks", memory).root == str(repository)
    shutil.rmtree(repository / ".git")
    assert read_git(repository, memory) is None

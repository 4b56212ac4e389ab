"""The state of a notebook's git repository."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from mlops_workbench.core.secrets import mask

#: Largest number of bytes of a diff.
DIFF_BYTES = 1 << 20
_MAX_UNTRACKED = 200
_SECONDS = 10.0
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")
#: Without colors, external drivers and the user's prefixes, so that the patch can be applied.
_DIFF = ("diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")


@dataclass(frozen=True)
class GitState:
    """State of a repository.

    Attributes
    ----------
    root : str
        Top folder of the working tree.
    commit : str
        Hash of HEAD; empty in a repository without commits.
    branch : str
        Empty for a detached HEAD.
    remote : str
        URL of the branch's remote, else of origin, without credentials.
    dirty : bool or None
        Whether tracked files differ from HEAD; None when that is unknown.
    diff : str
        The difference as a patch with masked secrets.
    diff_complete : bool
        False when it was cut at `DIFF_BYTES`.
    untracked : list of str
        Untracked files that are not ignored, at most 200.
    """

    root: str
    commit: str = ""
    branch: str = ""
    remote: str = ""
    dirty: bool | None = False
    diff: str = field(default="", repr=False)
    diff_complete: bool = True
    untracked: list[str] = field(default_factory=list)


@dataclass
class GitMemory:
    """Cache of values that seldom change.

    Attributes
    ----------
    tops : dict
        Nearest ``.git`` of a folder to the top folder of the working tree.
    remotes : dict
        Top folder and branch to the state of the configuration file and the URL of the remote.
    """

    tops: dict[Path, Path] = field(default_factory=dict)
    remotes: dict[tuple[Path, str], tuple[tuple[int, ...], str]] = field(default_factory=dict)


def read_git(folder: Path, memory: GitMemory | None = None) -> GitState | None:
    """Return the state of the repository of a folder; None without git or a repository.

    git runs without prompts and locks, and with a limit of ten seconds for each of four commands.

    Parameters
    ----------
    folder : Path
        A folder of the working tree.
    memory : GitMemory, optional
        Cache of earlier calls.
    """
    memory = memory or GitMemory()
    top = _top(folder, memory)
    if top is None:
        return None
    status = _git(top, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=normal", "--no-renames")
    lines = [line for line in (status or "").split("\0") if line]
    headers = dict(line[2:].partition(" ")[::2] for line in lines if line.startswith("# "))
    commit, branch = headers.get("branch.oid", ""), headers.get("branch.head", "")
    commit, branch = ("" if value in ("(initial)", "(detached)") else value for value in (commit, branch))
    if status is None:
        # The index is broken, or the status took too long.
        commit = (_git(top, "rev-parse", "--verify", "--quiet", "HEAD") or "").strip()
        branch = (_git(top, "symbolic-ref", "--short", "--quiet", "HEAD") or "").strip()
    untracked = [line[2:] for line in lines if line.startswith("? ")]
    dirty = any(line[:2] in ("1 ", "2 ", "u ") for line in lines) if status is not None else None
    diff, complete = _diff(top) if dirty and commit else ("", True)
    return GitState(
        root=str(top),
        commit=commit,
        branch=branch,
        remote=_remote(top, branch, memory),
        dirty=dirty,
        diff=mask(diff),
        diff_complete=complete,
        untracked=[mask(name) for name in untracked[:_MAX_UNTRACKED]],
    )


def _top(folder: Path, memory: GitMemory) -> Path | None:
    # Without a repository, git is not started.
    here = Path(os.path.realpath(folder))
    nearest = next((above / ".git" for above in (here, *here.parents) if os.path.lexists(above / ".git")), None)
    if nearest is None:
        return None
    if nearest not in memory.tops:
        root = _git(folder, "rev-parse", "--show-toplevel")
        if not root:
            return None
        memory.tops[nearest] = Path(root.rstrip("\n"))
    return memory.tops[nearest]


def _remote(top: Path, branch: str, memory: GitMemory) -> str:
    since: tuple[int, ...] = ()
    # In a linked working tree, .git is a file and the configuration is elsewhere.
    with contextlib.suppress(OSError):
        stat = (top / ".git" / "config").stat()
        since = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    known = memory.remotes.get((top, branch))
    if known is not None and since and known[0] == since:
        return known[1]
    listed = _git(top, "config", "-z", "--get-regexp", r"^(branch\..*\.remote|remote\..*\.url)$") or ""
    found = dict(entry.partition("\n")[::2] for entry in listed.split("\0"))
    name = found.get(f"branch.{branch}.remote", "") if branch else ""
    url = _CREDENTIALS.sub("", found.get(f"remote.{name or 'origin'}.url", "").strip())
    memory.remotes[top, branch] = since, url
    return url


def _diff(top: Path) -> tuple[str, bool]:
    # Into a file: a diff of gigabytes must not fill the memory or block a pipe.
    with tempfile.TemporaryFile() as file:
        complete = _run(top, _DIFF, file.fileno()) == 0
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        text = file.read(DIFF_BYTES).decode("utf-8", "replace")
    if size > DIFF_BYTES:
        # Remove the cut line: half of a secret is not masked.
        return text[: text.rfind("\n") + 1], False
    return text, complete


def _git(folder: Path, *arguments: str) -> str | None:
    with tempfile.TemporaryFile() as file:
        if _run(folder, arguments, file.fileno()) != 0:
            return None
        file.seek(0)
        return file.read(DIFF_BYTES).decode("utf-8", "replace")


def _run(folder: Path, arguments: tuple[str, ...], output: int) -> int:
    """Run git and return its exit code, -1 when it is missing or took too long."""
    # Variables of a git hook or alias that started the kernel may select another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_PAGER": "", "LC_ALL": "C"}
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
        # A new session, so that the interrupt of a cell does not reach git.
        return subprocess.run(
            ["git", "-c", "core.fsmonitor=false", "-c", "core.quotepath=false", *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            start_new_session=True,
            check=False,
        ).returncode
    return -1

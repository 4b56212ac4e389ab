"""The workspace: the folder of ``workbench.toml`` and the state beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlops_workbench.core.errors import NotFound, StorageError
from mlops_workbench.core.files import write_atomic
from mlops_workbench.core.settings import Settings, describe_settings, load_settings
from mlops_workbench.core.store import BlobStore

FILE = "workbench.toml"
STATE = ".mlops"


@dataclass(frozen=True)
class Workspace:
    """A workspace and the paths of its state.

    Parameters
    ----------
    root : Path
        Absolute folder that holds (or would hold) ``workbench.toml``.
    settings : Settings
        Validated settings.
    """

    root: Path
    settings: Settings

    @classmethod
    def open(cls, root: Path, arguments: Mapping[str, object] | None = None) -> Workspace:
        """Open the workspace in `root`; `arguments` override settings by dotted name."""
        absolute = Path(os.path.abspath(root))
        return cls(absolute, load_settings(absolute / FILE, arguments=arguments))

    @classmethod
    def find(cls, start: Path | None = None, arguments: Mapping[str, object] | None = None) -> Workspace:
        """Open the workspace that `start` (by default the working folder) belongs to.

        In this order: the folder in ``MLOPS_WORKSPACE``; the nearest folder above `start` with a
        ``workbench.toml``; the user's default workspace (``~/.local/share/mlops-workbench`` or under
        ``XDG_DATA_HOME``), which needs no file.

        Raises
        ------
        NotFound
            ``MLOPS_WORKSPACE`` names no folder, or the working folder is gone.
        SettingsError
            ``workbench.toml`` is broken.
        """
        named = os.environ.get("MLOPS_WORKSPACE")
        if named and start is None:
            if not Path(named).is_dir():
                raise NotFound(
                    f"MLOPS_WORKSPACE names no folder: {named}", hint="run 'mlops init' there, or unset the variable"
                )
            return cls.open(Path(named), arguments)
        try:
            here = Path(os.path.abspath(start or Path.cwd()))
        except FileNotFoundError as error:
            raise NotFound(
                "the working folder of this process was deleted",
                hint="make it again and change into it (%cd in a notebook), or restart the kernel",
            ) from error
        for folder in (here, *here.parents):
            if (folder / FILE).is_file():
                return cls.open(folder, arguments)
        home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
        return cls.open(home / "mlops-workbench", arguments)

    @classmethod
    def init(cls, root: Path) -> Workspace:
        """Make `root` a workspace: ``workbench.toml`` with every setting explained, and ``.mlops/``.

        A file that is there already stays as it is.
        """
        file = root / FILE
        if not file.exists():
            write_atomic(file, _template())
        workspace = cls.open(root)
        workspace.prepare()
        return workspace

    def prepare(self) -> None:
        """Make the state folder; git ignores it from within.

        Raises
        ------
        StorageError
            The folder cannot be written.
        """
        try:
            self.state.mkdir(parents=True, exist_ok=True)
            for folder in (self.journal, self.run):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"cannot make the workspace's state folder: {error.strerror or error}",
                where=str(self.state),
                hint="use a folder you can write to: 'mlops init FOLDER'",
            ) from error
        ignore = self.state / ".gitignore"
        if not ignore.exists():
            write_atomic(ignore, "*\n")

    @property
    def state(self) -> Path:
        """Folder of all state, ``.mlops``."""
        return self.root / STATE

    @property
    def journal(self) -> Path:
        """Journal files of kernels and pipeline stages."""
        return self.state / "journal"

    @property
    def run(self) -> Path:
        """Process ids, tokens and locks."""
        return self.state / "run"

    @property
    def index(self) -> Path:
        """The read index, a cache that can be deleted."""
        return self.state / "index.db"

    @property
    def predictions(self) -> Path:
        """Prediction log, ``endpoint=<name>/date=<day>/*.parquet``."""
        return self.state / "predictions"

    @property
    def feedback(self) -> Path:
        """True outcomes sent back, ``endpoint=<name>/*.parquet``."""
        return self.state / "feedback"

    @property
    def endpoints(self) -> Path:
        """A folder per endpoint: its desired and observed state."""
        return self.state / "endpoints"

    @property
    def models(self) -> Path:
        """Model versions copied out of the registry for endpoints, ``<name>/<version>``."""
        return self.state / "models"

    @property
    def pipeline_runs(self) -> Path:
        """A folder per pipeline run."""
        return self.state / "pipelines"

    @property
    def pipeline_specs(self) -> Path:
        """Folder of the pipeline specs."""
        return self.root / self.settings.pipelines.folder

    @property
    def tracking_uri(self) -> str:
        """MLflow tracking URI, with an absolute path when it is the workspace's own SQLite file."""
        return self.settings.tracking.uri or f"sqlite:///{self.state / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        """Artifacts of runs, unless an MLflow server keeps them."""
        return self.state / "artifacts"

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the control plane's database."""
        return self.settings.control.database or f"sqlite:///{self.state / 'control.db'}"

    @cached_property
    def blobs(self) -> BlobStore:
        """Content-addressed store."""
        return BlobStore(self.state / "store")


def _template() -> str:
    lines = [
        "# Settings of this mlops-workbench workspace. Every line shows a default; remove the '#' to change it.",
        "",
    ]
    current = ""
    for name, variable, default, text in describe_settings():
        section, _, field = name.partition(".")
        if section != current:
            lines += ([""] if current else []) + [f"[{section}]"]
            current = section
        lines.append(f"# {field} = {_toml(default)}  # {text} ({variable})")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)

"""The workspace: a folder with ``workbench.toml`` and the state folder ``.mlops``."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from mlops_workbench.core.errors import NotFound, SettingsError, StorageError
from mlops_workbench.core.files import file_stamp, write_atomic
from mlops_workbench.core.settings import Settings
from mlops_workbench.core.settings_file import toml_value
from mlops_workbench.core.settings_sources import describe_settings, load_settings
from mlops_workbench.core.store import BlobStore

FILE = "workbench.toml"
STATE = ".mlops"


log = logging.getLogger("mlops_workbench")


@dataclass(frozen=True)
class Workspace:
    """A workspace: its settings and the paths of its state.

    Parameters
    ----------
    root : Path
        Absolute path of the folder; ``workbench.toml`` in it is optional.
    settings : Settings
        Validated settings.
    arguments : mapping, optional
        Dotted names to values, which override settings.
    """

    root: Path
    settings: Settings
    arguments: Mapping[str, object] | None = None

    @classmethod
    def open(
        cls,
        root: Path,
        arguments: Mapping[str, object] | None = None,
        on_invalid: Callable[[SettingsError], None] | None = None,
    ) -> Workspace:
        """Open the workspace in `root`.

        Parameters
        ----------
        root : Path
            Its folder.
        arguments : mapping, optional
            Dotted names to values, which override settings.
        on_invalid : callable, optional
            Called with the error when the settings are not valid; the defaults are used then.

        Raises
        ------
        SettingsError
            The settings are not valid, and there is no `on_invalid`.
        """
        absolute = Path(os.path.abspath(root))
        try:
            settings = load_settings(absolute / FILE, arguments=arguments)
        except SettingsError as error:
            if on_invalid is None:
                raise
            on_invalid(error)
            settings = Settings()
        return cls(absolute, _with_absolute_keys(settings, absolute), arguments)

    @classmethod
    def find(
        cls,
        start: Path | None = None,
        arguments: Mapping[str, object] | None = None,
        on_invalid: Callable[[SettingsError], None] | None = None,
    ) -> Workspace:
        """Open the workspace of the folder `start` (default: the working folder).

        The first of these: the folder in ``MLOPS_WORKSPACE``, if `start` is not given; `start` or the nearest folder
        above it with a ``workbench.toml``; the user's default workspace, ``mlops-workbench`` in ``XDG_DATA_HOME`` or
        ``~/.local/share``, which needs no such file.

        Raises
        ------
        NotFound
            The folder in ``MLOPS_WORKSPACE`` does not exist, or the working folder was deleted.
        SettingsError
            ``workbench.toml`` or a ``MLOPS_*`` variable is not valid, and there is no `on_invalid`, see :meth:`open`.
        """
        named = os.environ.get("MLOPS_WORKSPACE")
        if named and start is None:
            if not Path(named).is_dir():
                raise NotFound(
                    f"the folder in MLOPS_WORKSPACE does not exist: {named}",
                    hint="create it with 'mlops init FOLDER', or unset the variable",
                )
            return cls.open(Path(named), arguments, on_invalid)
        try:
            here = Path(os.path.abspath(start or Path.cwd()))
        except FileNotFoundError as error:
            raise NotFound(
                "the working folder of this process was deleted",
                hint="create it again and change into it (%cd in a notebook), or restart the kernel",
            ) from error
        for folder in (here, *here.parents):
            if (folder / FILE).is_file():
                return cls.open(folder, arguments, on_invalid)
        home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
        return cls.open(home / "mlops-workbench", arguments, on_invalid)

    @classmethod
    def init(cls, root: Path) -> Workspace:
        """Make `root` a workspace: write ``workbench.toml``, which documents all settings, and ``.mlops/``.

        An existing ``workbench.toml`` is not changed.
        """
        file = root / FILE
        if not file.exists():
            write_atomic(file, _template())
        workspace = cls.open(root)
        workspace.prepare()
        return workspace

    def prepare(self) -> None:
        """Create the state folder, for its owner only, with a ``.gitignore`` for all its content.

        Raises
        ------
        StorageError
            The folder cannot be created.
        """
        try:
            self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.state.stat()
            # An earlier version let others read databases, models and predictions. Where the group may write, a user
            # has decided so.
            if found.st_mode & 0o077 and not found.st_mode & 0o022 and found.st_uid == os.geteuid():
                self.state.chmod(0o700)
            for folder in (self.journal, self.run):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"cannot create the state folder of the workspace: {error.strerror or error}",
                where=str(self.state),
                hint="use a writable folder: 'mlops init FOLDER'",
            ) from error
        ignore = self.state / ".gitignore"
        if not ignore.exists():
            write_atomic(ignore, "*\n")

    @property
    def state(self) -> Path:
        """State folder, ``.mlops``."""
        return self.root / STATE

    @property
    def journal(self) -> Path:
        """Folder of the journals of kernels and pipeline stages."""
        return self.state / "journal"

    @property
    def run(self) -> Path:
        """Folder of process ids, tokens and locks."""
        return self.state / "run"

    @property
    def index(self) -> Path:
        """File of the read index, a cache that may be deleted."""
        return self.state / "index.db"

    @property
    def predictions(self) -> Path:
        """Folder of the prediction log, ``endpoint=<name>/date=<day>/*.parquet``."""
        return self.state / "predictions"

    @property
    def log_key(self) -> Path:
        """File with the key of the hashes that stand for personal values in the prediction log."""
        return self.state / "keys" / "prediction-log.key"

    @property
    def feedback(self) -> Path:
        """Folder of the outcomes reported for predictions, ``endpoint=<name>/date=<day>/*.parquet``."""
        return self.state / "feedback"

    @property
    def endpoints(self) -> Path:
        """Folder with a folder per endpoint: its desired and observed state."""
        return self.state / "endpoints"

    @property
    def models(self) -> Path:
        """Folder of model versions exported from the registry for endpoints, ``<name>/<version>-<identity>``."""
        return self.state / "models"

    @property
    def pipeline_runs(self) -> Path:
        """Folder with a folder per pipeline run."""
        return self.state / "pipelines"

    @property
    def pipeline_specs(self) -> Path:
        """Folder of the pipeline specs."""
        return self.root / self.settings.pipelines.folder

    @property
    def references(self) -> Path:
        """Folder with the references of deleted journals to files of the store."""
        return self.state / "references"

    @property
    def kept_runs(self) -> Path:
        """Folder with an empty file for each run whose files are kept from the rule of retention, by its uid."""
        return self.state / "kept"

    @property
    def audit_checkpoint(self) -> Path:
        """File with the last checkpoint of the audit trail, outside the database that it is about."""
        return self.state / "audit" / "checkpoint.json"

    @property
    def tracking_uri(self) -> str:
        """MLflow tracking URI; by default an SQLite file in the state folder, with its absolute path."""
        return self.settings.tracking.uri or f"sqlite:///{self.state / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        """Folder of the artifacts of runs, unless an MLflow server stores them."""
        return self.state / "artifacts"

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the control plane's database."""
        return self.settings.control.database or f"sqlite:///{self.state / 'control.db'}"

    def latest(self) -> Settings:
        """Settings as ``workbench.toml`` and the environment have them now.

        While the file is not valid, the last valid ones hold.
        """
        stamp = file_stamp(self.root / FILE)
        if self._latest.get("stamp") != stamp:
            try:
                self._latest["settings"] = Workspace.open(self.root, self.arguments).settings
            except SettingsError as error:
                log.warning("the settings of before hold: %s", error)
            self._latest["stamp"] = stamp
        found: Settings = self._latest["settings"]
        return found

    @cached_property
    def _latest(self) -> dict[str, Any]:
        return {"settings": self.settings}

    @cached_property
    def blobs(self) -> BlobStore:
        """Content-addressed store of files."""
        return BlobStore(self.state / "store")


def _with_absolute_keys(settings: Settings, root: Path) -> Settings:
    """The settings with paths of trusted keys that do not depend on the workspace, which an endpoint does not know."""
    if not settings.serving.trusted_keys:
        return settings
    keys = [key if "-----" in key else str(root / Path(key).expanduser()) for key in settings.serving.trusted_keys]
    return replace(settings, serving=replace(settings.serving, trusted_keys=keys))


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
        lines.append(f"# {field} = {toml_value(default)}  # {text} ({variable})")
    return "\n".join(lines) + "\n"

"""Versions of an endpoint, loaded side by side and switched by replacing one reference."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.serving.errors import InvalidModel, NotReady, UnknownModel
from mlops_workbench.serving.protocols.body import JSON
from mlops_workbench.serving.protocols.invocations import parse_invocation
from mlops_workbench.serving.runtimes.estimator import Runtime, limit_threads, limit_warnings
from mlops_workbench.serving.runtimes.model_folder import ModelFolder
from mlops_workbench.serving.runtimes.proof import prove

log = logging.getLogger("mlops_workbench.serving")


@dataclass(frozen=True)
class LoadedVersion:
    """A loaded version of a registered model.

    Attributes
    ----------
    model, version
        Registered model and version number, by which requests and users name it.
    digest : str
        Its identity, see :attr:`Manifest.digest`: a number is used again after a model was deleted.
    runtime : Runtime
        The estimator.
    mlflow_version : str
        Version of the MLflow that wrote it.
    example : bytes
        Body of ``/invocations`` with its input example; empty without one.
    arm : str
        Part that it has in a roll-out.
    """

    model: str
    version: int
    digest: str
    runtime: Runtime
    mlflow_version: str
    example: bytes = field(default=b"", repr=False)
    arm: str = "champion"

    def is_same(self, model: str, version: int, digest: str) -> bool:
        """Whether this is the version with that digest; an empty one, of an earlier workbench, is not compared."""
        return (self.model, self.version) == (model, version) and digest in ("", self.digest)


@dataclass(frozen=True)
class Route:
    """The version that is served, the previous one (kept loaded), and the time of the switch (ms, UTC)."""

    present: LoadedVersion
    previous: LoadedVersion | None
    since_ms: int


class Router:
    """Versions of one endpoint in one process.

    A request reads the route once and uses the version in it to the end; a switch replaces the route atomically, so
    that no request fails.

    Parameters
    ----------
    settings : ServingSettings
        What may be loaded; it may be replaced.
    """

    def __init__(self, settings: ServingSettings) -> None:
        self.settings = settings
        self._route: Route | None = None
        self._switching = threading.Lock()

    @property
    def versions(self) -> list[int]:
        """Numbers of the loaded versions, the one that is served first."""
        route = self._route
        return [one.version for one in (route.present, route.previous) if one] if route else []

    @property
    def route(self) -> Route | None:
        """The present route, None before the first version is ready."""
        return self._route

    def find(self, version: str | None = None) -> LoadedVersion:
        """The version that is served, or a loaded one by its number.

        Raises
        ------
        NotReady
            No version is loaded yet.
        UnknownModel
            This version is not loaded.
        """
        route = self._route
        if route is None:
            raise NotReady("no version of the model is loaded yet", hint="try again in a moment")
        if version is None:
            return route.present
        loaded = [one for one in (route.present, route.previous) if one is not None]
        for one in loaded:
            if str(one.version) == version:
                return one
        known = ", ".join(str(one.version) for one in loaded)
        raise UnknownModel(f"version '{version[:40]}' is not served here; loaded: {known}")

    def switch(self, model: str, version: int, folder: Path, digest: str = "") -> Route:
        """Switch to a version, after it is verified, loaded and warmed up.

        The previous version stays loaded. When loading fails, nothing changes.

        Raises
        ------
        InvalidModel
            The version cannot be served, or the folder has another digest.
        """
        with self._switching:
            old = self._route
            if old is not None and old.present.is_same(model, version, digest):
                return old
            if old is not None and old.previous is not None and old.previous.is_same(model, version, digest):
                loaded = old.previous
            else:
                loaded = load_version(model, version, folder, self.settings, digest)
            self._route = Route(loaded, old.present if old else None, now_ms())
            return self._route

    def restore(self, route: Route | None) -> None:
        """Go back to a route, since the one after it cannot be used."""
        self._route = route

    def keep_previous(self, model: str, version: int, folder: Path, digest: str = "") -> bool:
        """Load the previous version, after a restart; after a failure, a rollback has to load it.

        Returns
        -------
        bool
            Whether it was loaded now.
        """
        with self._switching:
            route = self._route
            known = (route.present, route.previous) if route is not None else ()
            if route is None or any(one.is_same(model, version, digest) for one in known if one is not None):
                return False
            try:
                loaded = load_version(model, version, folder, self.settings, digest)
            except WorkbenchError as error:
                log.warning("the previous version %s cannot be loaded: %s", version, error)
                return False
            self._route = Route(route.present, loaded, route.since_ms)
            return True


def load_version(model: str, version: int, folder: Path, settings: ServingSettings, digest: str = "") -> LoadedVersion:
    """Verify, load and warm up a version.

    Raises
    ------
    InvalidModel
        The version cannot be served, or the folder has another digest.
    """
    found = ModelFolder.open(folder, settings)
    if digest not in ("", found.digest):
        raise InvalidModel(
            f"the folder has not the files of {model}/{version}: digest {found.digest[:12]}, not {digest[:12]}",
            where=str(folder),
            hint="deploy the version again",
        )
    runtime = Runtime.load(found, settings)
    limit_threads()
    limit_warnings()
    proven = prove(runtime, found.golden, settings.runtime, str(folder))
    log.info("%s/%d: %d rows of its golden set have the model's own answers", model, version, proven)
    if settings.runtime != "sklearn":
        log.info("%s/%d: runtime %s %s", model, version, runtime.platform, runtime.uncompiled)
    if found.example:
        try:
            example = parse_invocation(found.example, JSON, found.signature).batch
        except WorkbenchError as error:
            # Not an error, since requests are checked against the signature only.
            log.warning("%s: the input example does not fit the signature: %s", folder, error)
        else:
            runtime.warm_up(example)
    return LoadedVersion(model, version, found.digest, runtime, found.mlflow_version, found.example)

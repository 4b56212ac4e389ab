"""Signatures of model versions: made when a version is registered, kept as one of its tags."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlops_workbench.core.errors import StorageError, WorkbenchError
from mlops_workbench.core.manifest import MANIFEST, SIGNATURE, read_manifest
from mlops_workbench.core.models import SignatureState
from mlops_workbench.core.records import Model
from mlops_workbench.core.store import digest_file
from mlops_workbench.core.tags import SIGNATURE as SIGNATURE_TAG
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.registry.export import manifest_of
from mlops_workbench.registry.version_tags import MAX_TAG
from mlops_workbench.serving.errors import InvalidSignature
from mlops_workbench.serving.signatures.keys import InvalidKey, own_key, trusted_keys
from mlops_workbench.serving.signatures.oms import sign, verify
from mlops_workbench.tracking import LoggedModel
from mlops_workbench.tracking.mlflow.registry import RegistryStore

#: Files of a model folder that are written anew from those of the run.
_REWRITTEN = ("input_example.json",)


@dataclass(frozen=True)
class Signed:
    """What signing a version gave: its tag, or why there is none and how to mend it."""

    tags: dict[str, str] = field(default_factory=dict)
    notice: str = ""


@dataclass(frozen=True)
class _Files:
    """SHA-256 of the files of a model by path; `own` is that of the manifest, if the model has one in MLflow."""

    listed: dict[str, str]
    own: dict[str, str]


class VersionSigner:
    """Signs the files of versions with the user's key.

    Parameters
    ----------
    store : RegistryStore
        Has the files.
    workspace : Workspace
        Its settings name the keys that are trusted.
    """

    def __init__(self, store: RegistryStore, workspace: Workspace) -> None:
        self._store = store
        self._workspace = workspace

    def sign(self, name: str, logged: LoggedModel, present: Mapping[str, str] | None = None) -> Signed:
        """Sign a logged model, which is or becomes a version of `name`.

        A version is registered without a signature too, so errors become a notice.

        Parameters
        ----------
        name : str
            Registered model.
        logged : LoggedModel
            The model, which is in MLflow.
        present : mapping, optional
            The tags of the version. A right signature by the user's key or a trusted one stays.
        """
        try:
            files = self._files(logged)
            key = own_key()
            found = (present or {}).get(SIGNATURE_TAG)
            if found:
                known = [key.public, *trusted_keys(self._workspace.latest().serving.trusted_keys)]
                try:
                    if verify(found.encode(), files.listed, known, files.own).trusted:
                        return Signed()
                except InvalidSignature:
                    # It is made anew.
                    pass
            ignored = [SIGNATURE] if files.own else [SIGNATURE, MANIFEST]
            text = sign(name, {**files.listed, **files.own}, ignored, key.private).decode()
        except OSError as error:
            return Signed(notice=f"it is not signed: {error}; mend that, then register it again")
        except WorkbenchError as error:
            at = f" ({error.where})" if error.where else ""
            mend = f"; {error.hint}, then register it again" if error.hint else ""
            return Signed(notice=f"it is not signed: {error.message}{at}{mend}")
        if len(text) > MAX_TAG:
            return Signed(
                notice=f"it is not signed: a model of {len(files.listed)} files has too many for a tag of MLflow"
            )
        return Signed({SIGNATURE_TAG: text})

    def shown(self, tags: Mapping[str, str]) -> tuple[str, SignatureState]:
        """The key that signed a version, and whether it is trusted; no file is read, so none is verified."""
        text = tags.get(SIGNATURE_TAG)
        if not text:
            return "", "none"
        try:
            keys = trusted_keys(self._workspace.latest().serving.trusted_keys)
        except InvalidKey:
            # Loading the version says what is wrong with it.
            keys = []
        try:
            found = verify(text.encode(), None, keys)
        except InvalidSignature:
            return "", "wrong"
        return found.key_id, "trusted" if found.trusted else "unknown"

    def _files(self, logged: LoggedModel) -> _Files:
        with tempfile.TemporaryDirectory(prefix="mlops-sign-") as name:
            folder = Path(name)
            own = self._store.read_file(logged.model_id, MANIFEST, folder)
            if own is not None:
                manifest = read_manifest(folder)
            else:
                manifest = manifest_of(self._store.download_model(logged.model_id, folder))
            listed = {path: entry.sha256 for path, entry in manifest.files.items()}
            _check_record(logged.record, listed)
            return _Files(listed, {MANIFEST: digest_file(own)} if own is not None else {})


def _check_record(record: Model, files: Mapping[str, str]) -> None:
    """Raise `StorageError` unless the model has the files that the run logged: signing others would vouch for them."""
    for path, digest in record.files.items():
        if path not in _REWRITTEN and files.get(path) != digest:
            raise StorageError(f"{path} in MLflow is not the file that the run logged", hint="log the model again")

"""The manifest of a model folder: SHA-256 and size of each of its files."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

import msgspec

from mlops_workbench.core.errors import InvalidInput, StorageError
from mlops_workbench.core.store import digest_file

#: Path of the manifest in a model folder.
MANIFEST = "mlops/manifest.json"
#: Path of the signature over the files of a model folder, in the form and under the name of OpenSSF's model signing.
SIGNATURE = "model.sig"


class ManifestEntry(msgspec.Struct, frozen=True):
    """Expected SHA-256 of a file, in hexadecimal, and its size in bytes."""

    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True):
    """Files of a model folder by relative path."""

    files: dict[str, ManifestEntry]

    @property
    def digest(self) -> str:
        """SHA-256 over the names, digests and sizes of all files, in hexadecimal: the identity of the model."""
        listed = sorted((name, entry.sha256, entry.size) for name, entry in self.files.items())
        return hashlib.sha256(msgspec.json.encode(listed)).hexdigest()

    def verify(self, folder: Path) -> None:
        """Check all files of a folder.

        Raises
        ------
        StorageError
            A file is missing or differs from the registered one.
        """
        for name, entry in self.files.items():
            try:
                found = ManifestEntry(digest_file(folder / name), (folder / name).stat().st_size)
            except OSError as error:
                raise StorageError(
                    f"{name} of the model cannot be read: {error.strerror}", where=str(folder / name)
                ) from error
            _compare(folder / name, found, entry)

    def read(self, folder: Path, name: str) -> bytes:
        """Return the checked content of a file; the caller uses the very bytes that were checked.

        Raises
        ------
        StorageError
            The file is not in the manifest, is missing, or differs from the registered one.
        """
        entry = self.files.get(name)
        if entry is None:
            raise StorageError(
                f"the manifest does not name {name}, so it cannot be verified", where=str(folder / MANIFEST)
            )
        try:
            data = (folder / name).read_bytes()
        except OSError as error:
            raise StorageError(f"{name} of the model cannot be read: {error.strerror}", where=str(folder)) from error
        _compare(folder / name, ManifestEntry(hashlib.sha256(data).hexdigest(), len(data)), entry)
        return data


def write_manifest(folder: Path) -> None:
    """Write the manifest of all other files in the folder but a signature, which is over the manifest."""
    target = folder / MANIFEST
    files = {
        path.relative_to(folder).as_posix(): ManifestEntry(digest_file(path), path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path not in (target, folder / SIGNATURE)
    }
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(msgspec.json.format(msgspec.json.encode(Manifest(files)), indent=1))


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder.

    Raises
    ------
    StorageError
        The manifest is missing, cannot be read, or names a file outside the folder.
    """
    file = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise StorageError(
            "the model folder has no manifest, so nothing in it can be verified",
            where=str(file),
            hint="endpoints serve only folders exported by the registry",
        ) from None
    except OSError as error:
        raise StorageError(f"the manifest cannot be read: {error.strerror}", where=str(file)) from error
    except msgspec.DecodeError as error:
        raise StorageError(
            f"the manifest is broken: {error}", where=str(file), hint="register the model again"
        ) from error
    try:
        for name in manifest.files:
            inside(folder, name)
    except InvalidInput as error:
        raise StorageError(error.message, where=error.where) from error
    return manifest


def inside(folder: Path, name: str) -> Path:
    """Return the path of a file in a folder.

    Raises
    ------
    InvalidInput
        The name is absolute or contains ``..``.
    """
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts:
        raise InvalidInput(f"the model names a file outside the folder: {name}", where=str(folder))
    return folder / name


def _compare(file: Path, found: ManifestEntry, entry: ManifestEntry) -> None:
    if found != entry:
        raise StorageError(
            f"{file.name} is not the file that was registered",
            where=str(file),
            hint="delete the exported folder to export it again; if that does not help, register the model again",
        )

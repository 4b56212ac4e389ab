"""The check of a model folder's signature, before anything in the folder is loaded."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.manifest import MANIFEST, SIGNATURE, Manifest
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.core.store import digest_file
from mlops_workbench.serving.errors import InvalidSignature

if TYPE_CHECKING:
    from mlops_workbench.serving.signatures.oms import Signature

log = logging.getLogger("mlops_workbench.serving")

#: Largest signature that is read, in bytes: one of a hundred thousand files.
_MAX_BYTES = 32 << 20
_REGISTER = "register the model again to sign it"


def check_signature(folder: Path, manifest: Manifest, settings: ServingSettings) -> Signature | None:
    """Verify the signature of a model folder.

    Parameters
    ----------
    folder : Path
        The folder.
    manifest : Manifest
        Its manifest, by which the caller verifies every file that it uses.
    settings : ServingSettings
        The trusted keys, and whether a signature by one of them is required.

    Returns
    -------
    Signature or None
        By whom it is; None for a folder without a signature.

    Raises
    ------
    InvalidSignature
        The signature is wrong; or it is missing or by an unknown key, and a trusted one is required.
    """
    file = folder / SIGNATURE
    bundle = _read(file)
    if bundle is None:
        if settings.require_signature:
            raise InvalidSignature(
                "the model has no signature, and serving.require_signature is set", where=str(file), hint=_REGISTER
            )
        return None
    # Imported here: it is not needed for a folder without a signature.
    from mlops_workbench.serving.signatures.keys import SHOWN, trusted_keys
    from mlops_workbench.serving.signatures.oms import verify

    try:
        digests = {path: entry.sha256 for path, entry in manifest.files.items()}
        own = {MANIFEST: digest_file(folder / MANIFEST)}
        found = verify(bundle, digests, trusted_keys(settings.trusted_keys), own)
    except InvalidSignature as error:
        hint = f"do not use it if you did not change it yourself; else {_REGISTER}"
        raise InvalidSignature(
            f"the signature of the model is wrong: {error.message}", where=str(file), hint=hint
        ) from error
    except OSError as error:
        raise InvalidSignature(f"{MANIFEST} cannot be read: {error.strerror}", where=str(folder)) from error
    except WorkbenchError as error:
        message = f"the signature of the model cannot be verified: {error.message}"
        raise InvalidSignature(message, where=error.where, hint=error.hint) from error
    if not found.trusted:
        if settings.require_signature:
            raise InvalidSignature(
                f"the model is signed by the unknown key {found.key_id[:SHOWN]}, and serving.require_signature is set",
                where=str(file),
                hint="if you know who has it: mlops keys trust FILE",
            )
        log.warning("%s: signed by the unknown key %s", folder, found.key_id[:SHOWN])
    return found


def _read(file: Path) -> bytes | None:
    try:
        with open(file, "rb") as opened:
            data = opened.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidSignature(f"the signature cannot be read: {error.strerror}", where=str(file)) from error
    if len(data) > _MAX_BYTES:
        raise InvalidSignature(f"the signature is larger than {_MAX_BYTES >> 20} MiB", where=str(file), hint=_REGISTER)
    return data

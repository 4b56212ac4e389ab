"""Models, keys and signatures to take apart."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from mlops_workbench.core.manifest import MANIFEST, SIGNATURE, read_manifest
from mlops_workbench.core.store import digest_file
from mlops_workbench.serving.signatures.oms import PrivateKey, sign


def new_key(curve: type[ec.EllipticCurve] = ec.SECP256R1) -> PrivateKey:
    return ec.generate_private_key(curve())


def sign_folder(folder: Path, key: PrivateKey, *, manifest: bool = True) -> bytes:
    """Sign a model folder as the registry does."""
    files = {path: entry.sha256 for path, entry in read_manifest(folder).files.items()}
    own = {MANIFEST: digest_file(folder / MANIFEST)} if manifest else {}
    bundle = sign("m", {**files, **own}, [SIGNATURE] if manifest else [SIGNATURE, MANIFEST], key)
    (folder / SIGNATURE).write_bytes(bundle)
    return bundle


def statement_of(bundle: bytes) -> Any:
    return json.loads(base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"]))


def with_statement(bundle: bytes, statement: Any) -> bytes:
    """The bundle with another statement, and the signature of the old one."""
    content = json.loads(bundle)
    content["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    return json.dumps(content).encode()

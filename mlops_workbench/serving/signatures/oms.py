"""Signatures over the digests of a model's files, in the form of OpenSSF's model signing (OMS 1.0; pure functions).

A signature is a sigstore bundle (version 0.3) with a DSSE envelope, whose payload is an in-toto statement with the
SHA-256 of each file. OpenSSF's tool verifies it: ``model_signing verify key FOLDER --signature FOLDER/model.sig``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature as WrongSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import field

from mlops_workbench.core.errors import UNREADABLE
from mlops_workbench.serving.errors import InvalidSignature

PublicKey = ec.EllipticCurvePublicKey
PrivateKey = ec.EllipticCurvePrivateKey

#: The curves that OMS allows, each with its hash.
CURVES: dict[str, type[hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256,
    "secp384r1": hashes.SHA384,
    "secp521r1": hashes.SHA512,
}

_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"


_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class Signature:
    """A signature that is right as far as it can be verified.

    Attributes
    ----------
    key_id : str
        Key that it names, see :func:`key_id`; ``certificate`` for one by a certificate, empty if it names none.
    trusted : bool
        Whether it was made with one of the trusted keys. That of an unknown key cannot be verified.
    """

    key_id: str
    trusted: bool


class _Descriptor(msgspec.Struct):
    name: str
    digest: dict[str, str]


class _Resource(msgspec.Struct):
    name: str
    algorithm: str
    digest: str


class _Serialization(msgspec.Struct, omit_defaults=True):
    method: str
    hash_type: str
    allow_symlinks: bool
    ignore_paths: list[str] = []


class _Predicate(msgspec.Struct):
    serialization: _Serialization
    resources: list[_Resource]


class _Statement(msgspec.Struct):
    kind: str = field(name="_type")
    subject: list[_Descriptor]
    predicate_type: str = field(name="predicateType")
    predicate: _Predicate


class _Signed(msgspec.Struct):
    sig: str
    keyid: str = ""


class _Envelope(msgspec.Struct):
    payload: str
    payload_type: str = field(name="payloadType")
    signatures: list[_Signed]


class _KeyHint(msgspec.Struct):
    hint: str | None = None


class _Material(msgspec.Struct, omit_defaults=True):
    public_key: _KeyHint | None = field(name="publicKey", default=None)
    tlog_entries: list[msgspec.Raw] | None = field(name="tlogEntries", default=None)


class _Bundle(msgspec.Struct):
    media_type: str = field(name="mediaType")
    material: _Material = field(name="verificationMaterial")
    envelope: _Envelope = field(name="dsseEnvelope")


def public_pem(key: PublicKey) -> bytes:
    """The public key as PEM text."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_id(key: PublicKey) -> str:
    """Identity of a key: SHA-256 of its public PEM, in hexadecimal, as in the hint of a bundle."""
    return hashlib.sha256(public_pem(key)).hexdigest()


def sign(name: str, files: Mapping[str, str], ignored: Iterable[str], key: PrivateKey) -> bytes:
    """Sign the files of a model.

    Parameters
    ----------
    name : str
        Name of the model; it is only informative.
    files : mapping of str to str
        SHA-256 of each file in hexadecimal by its path in the folder, with ``/``.
    ignored : iterable of str
        Paths in the folder that the signature does not cover.
    key : EllipticCurvePrivateKey
        The key.

    Returns
    -------
    bytes
        The content of ``model.sig``.
    """
    resources = [
        _Resource(path, "sha256", digest) for path, digest in sorted(files.items(), key=lambda f: PurePosixPath(f[0]))
    ]
    statement = _Statement(
        _STATEMENT,
        [_Descriptor(name, {"sha256": _root_digest(resources)})],
        _PREDICATE,
        _Predicate(_Serialization("files", "sha256", False, sorted(ignored)), resources),
    )
    payload = msgspec.json.encode(statement)
    signature = key.sign(_authenticated(payload), ec.ECDSA(_hash_of(key.public_key())))
    envelope = _Envelope(_text64(payload), _PAYLOAD, [_Signed(_text64(signature))])
    material = _Material(_KeyHint(key_id(key.public_key())), [])
    return msgspec.json.encode(_Bundle(_BUNDLE, material, envelope))


def verify(
    bundle: bytes,
    files: Mapping[str, str] | None,
    trusted: Sequence[PublicKey],
    optional: Mapping[str, str] | None = None,
) -> Signature:
    """Verify a signature, and compare what it says with the files of a model.

    Parameters
    ----------
    bundle : bytes
        The content of ``model.sig``.
    files : mapping of str to str, optional
        As for :func:`sign`; all must be signed, and no other. Without them only the signature is verified.
    trusted : sequence of EllipticCurvePublicKey
        The keys that are trusted.
    optional : mapping of str to str, optional
        Further files, which need not be signed; if they are, their digests count.

    Raises
    ------
    InvalidSignature
        It is damaged, was not made with the trusted key that it names, or signs other files. The message says which.
    """
    content = _decoded(bundle, _Bundle, "the signature")
    if content.media_type != _BUNDLE:
        raise InvalidSignature(f"the signature is of the kind '{content.media_type[:80]}', not a sigstore bundle 0.3")
    envelope = content.envelope
    if envelope.payload_type != _PAYLOAD or len(envelope.signatures) != 1:
        raise InvalidSignature("the signature is not one signature over an in-toto statement")
    payload = _bytes64(envelope.payload)
    name = _names_key(content)
    found = _verified(payload, _bytes64(envelope.signatures[0].sig), name, trusted)
    signed = _signed_files(_decoded(payload, _Statement, "the signed statement"))
    if files is not None:
        also = {path: digest for path, digest in (optional or {}).items() if path in signed}
        _compare(signed, {**also, **files})
    return found


def _names_key(bundle: _Bundle) -> str:
    if bundle.material.public_key is None:
        return "certificate"
    return (bundle.material.public_key.hint or "")[:128]


def _verified(payload: bytes, signature: bytes, name: str, trusted: Sequence[PublicKey]) -> Signature:
    known = {key_id(key): key for key in trusted}
    candidates = {name: known[name]} if name in known else known if not name else {}
    for identity, key in candidates.items():
        try:
            key.verify(signature, _authenticated(payload), ec.ECDSA(_hash_of(key)))
        except WrongSignature:
            continue
        return Signature(identity, True)
    if name in known:
        raise InvalidSignature(
            f"the signature was not made with the key that it names, {name[:16]}, or what it signs was changed since"
        )
    return Signature(name, False)


def _signed_files(statement: _Statement) -> dict[str, str]:
    """SHA-256 of the signed files by their paths."""
    if (statement.kind, statement.predicate_type) != (_STATEMENT, _PREDICATE):
        raise InvalidSignature(
            f"the signed statement is of the kind '{statement.predicate_type[:80]}', not '{_PREDICATE}'"
        )
    predicate = statement.predicate
    form = predicate.serialization
    kinds = {form.hash_type, *(resource.algorithm for resource in predicate.resources)}
    if form.method != "files" or kinds != {"sha256"}:
        raise InvalidSignature(
            f"it has digests by {form.method[:40]}, {', '.join(sorted(kinds))[:80]}, not the SHA-256 of files"
        )
    signed = {resource.name: resource.digest for resource in predicate.resources}
    digests = [subject.digest.get("sha256") for subject in statement.subject]
    if len(signed) != len(predicate.resources) or digests != [_root_digest(predicate.resources)]:
        raise InvalidSignature("the signed statement contradicts itself")
    return signed


def _compare(signed: Mapping[str, str], files: Mapping[str, str]) -> None:
    changed = sorted(path for path in signed.keys() & files.keys() if signed[path] != files[path])
    for paths, what in (
        (changed, "was changed after it was signed"),
        (sorted(files.keys() - signed.keys()), "is not signed"),
        (sorted(signed.keys() - files.keys()), "was signed, and is missing"),
    ):
        if paths:
            others = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
            raise InvalidSignature(f"{paths[0]}{others} {what}")


def _root_digest(resources: Sequence[_Resource]) -> str:
    digest = hashlib.sha256()
    for resource in resources:
        try:
            digest.update(bytes.fromhex(resource.digest))
        except ValueError:
            raise InvalidSignature(f"the signed statement has no digest of {resource.name[:200]}") from None
    return digest.hexdigest()


def _authenticated(payload: bytes) -> bytes:
    """What is signed: DSSE's encoding of the payload and its type."""
    return f"DSSEv1 {len(_PAYLOAD)} {_PAYLOAD} {len(payload)} ".encode() + payload


def _hash_of(key: PublicKey) -> hashes.HashAlgorithm:
    return CURVES[key.curve.name]()


def _decoded(data: bytes, kind: type[_Kind], what: str) -> _Kind:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, *UNREADABLE) as error:
        raise InvalidSignature(f"{what} is damaged: {error}") from error


def _text64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidSignature(f"the signature is damaged: {error}") from error

"""Keys for signatures: the user's private key, and the public keys that a workspace trusts.

The private key is in the environment variable ``MLOPS_SIGNING_KEY`` or in the user's configuration folder, never in a
workspace, where it would lie beside the models.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mlops_workbench.core.errors import Conflict, InvalidInput, StorageError, WorkbenchError
from mlops_workbench.core.files import create_secret, write_atomic
from mlops_workbench.serving.signatures.oms import CURVES, PrivateKey, PublicKey, key_id, public_pem

#: Environment variable with the private key: PEM text, or the path of its file.
VARIABLE = "MLOPS_SIGNING_KEY"
#: Digits of a key's identity that are shown, and name its file.
SHOWN = 16

_PEM = "-----BEGIN"
_UNSAFE = 0o077
_LONGEST = 100_000


class InvalidKey(InvalidInput):
    """A key that cannot be used: not readable, of another kind, or not secret."""

    code = "invalid_key"


@dataclass(frozen=True)
class SigningKey:
    """A private key, and where it comes from: a path or the name of the environment variable."""

    private: PrivateKey
    origin: str

    @property
    def public(self) -> PublicKey:
        """The public key."""
        return self.private.public_key()

    @property
    def id(self) -> str:
        """Identity of the key, see :func:`key_id`."""
        return key_id(self.public)


def key_file() -> Path:
    """Path of the user's private key, ``mlops-workbench/signing-key.pem`` in the folder of the user's configuration."""
    named = os.environ.get("XDG_CONFIG_HOME")
    try:
        home = Path(named) if named else Path.home() / ".config"
    except RuntimeError as error:
        raise InvalidKey(
            "the user has no home folder for a signing key", hint=f"put a private key into {VARIABLE}"
        ) from error
    return home / "mlops-workbench" / "signing-key.pem"


def signing_key() -> SigningKey | None:
    """The private key of the environment or of the user; None if there is none.

    Raises
    ------
    InvalidKey
        It cannot be read, is not a key of OMS, or its file can be read by other users.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if given.startswith(_PEM):
        # In files of environment variables the lines of a text are often escaped.
        return SigningKey(_private(given.replace("\\n", "\n").encode(), VARIABLE), VARIABLE)
    file = Path(given).expanduser() if given else key_file()
    try:
        data = _secret(file)
    except FileNotFoundError as error:
        if not given:
            return None
        raise InvalidKey(f"the file in {VARIABLE} does not exist", where=str(file)) from error
    except OSError as error:
        hint = "make it a file that only this user can read and write"
        raise InvalidKey(f"the signing key cannot be read: {error.strerror}", where=str(file), hint=hint) from error
    return SigningKey(_private(data, str(file)), str(file))


def create_key() -> SigningKey:
    """Create the user's private key.

    Raises
    ------
    Conflict
        There is one already, or the environment has one.
    StorageError
        Its file cannot be written.
    """
    if os.environ.get(VARIABLE, "").strip():
        raise Conflict(f"the signing key comes from {VARIABLE}", hint="unset the variable to use a key of your own")
    file = key_file()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_new = create_secret(file, _new_key())
    except OSError as error:
        raise _unwritable(file, error) from error
    if not is_new:
        raise Conflict("there is a signing key already", where=str(file), hint="mlops keys rotate makes another")
    return SigningKey(_private(_secret(file), str(file)), str(file))


def own_key() -> SigningKey:
    """The private key of the environment or of the user, which is created if there is none.

    Raises
    ------
    InvalidKey
        See :func:`signing_key`.
    StorageError
        It cannot be created.
    """
    try:
        return signing_key() or create_key()
    except Conflict:
        # Another process has created it meanwhile.
        found = signing_key()
        assert found is not None
        return found


def rotate_key() -> tuple[SigningKey, SigningKey, Path]:
    """Replace the user's private key by a new one, and keep the old one beside it.

    Returns
    -------
    old, new : SigningKey
        The keys.
    kept : Path
        File of the old private key, which nothing reads any more.

    Raises
    ------
    InvalidKey
        There is none to replace, it cannot be read, or it comes from the environment.
    StorageError
        The new one cannot be written.
    """
    if os.environ.get(VARIABLE, "").strip():
        raise InvalidKey(f"the signing key comes from {VARIABLE}", hint="replace it where the variable is set")
    file, old = key_file(), signing_key()
    if old is None:
        raise InvalidKey("there is no signing key to replace", where=str(file), hint="mlops keys create makes one")
    kept = file.with_name(f"old-{old.id[:SHOWN]}.pem")
    try:
        kept.unlink(missing_ok=True)
        os.link(file, kept)
    except OSError as error:
        raise _unwritable(file, error) from error
    write_atomic(file, _new_key(), mode=0o600)
    return old, SigningKey(_private(_secret(file), str(file)), str(file)), kept


def trusted_keys(listed: Iterable[str]) -> list[PublicKey]:
    """The keys of the setting ``serving.trusted_keys``.

    Raises
    ------
    InvalidKey
        One cannot be read, or is not a public key of OMS.
    """
    return [public_key(one) for one in listed]


def public_key(text: str) -> PublicKey:
    """A public key from its PEM text, or from the path of its file.

    Raises
    ------
    InvalidKey
        It cannot be read, or is not a public key of OMS.
    """
    where = "serving.trusted_keys" if _PEM in text else text
    try:
        data = text.encode() if _PEM in text else _content(Path(text))
        if b"PRIVATE KEY" in data:
            raise InvalidKey(
                "this is a private key, which must not lie beside models",
                where=where,
                hint="trust the public key: openssl pkey -in KEY -pubout -out PUBLIC",
            )
        key = serialization.load_pem_public_key(data)
    except OSError as error:
        raise InvalidKey(
            f"the public key cannot be read: {error.strerror}",
            where=where,
            hint="check the path; a key that is gone can be removed from serving.trusted_keys in workbench.toml",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidKey("this is not a public key as PEM text", where=where, hint=_FORM) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise InvalidKey("the key is of a kind that signatures of models do not have", where=where, hint=_FORM)
    return key


_FORM = "use a key on the curve P-256, P-384 or P-521, such as one of: mlops keys create"


def _private(data: bytes, where: str) -> PrivateKey:
    try:
        key = serialization.load_pem_private_key(data, None)
    except TypeError as error:
        hint = "decrypt it: openssl pkey -in KEY -out PLAIN"
        raise InvalidKey("the signing key is encrypted with a password", where=where, hint=hint) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        hint = "give a private key as PEM text; if it is damaged, delete it and run: mlops keys create"
        raise InvalidKey("this is not a private key as PEM text", where=where, hint=hint) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise InvalidKey("the key is of a kind that cannot sign models", where=where, hint=_FORM)
    return key


def _secret(file: Path) -> bytes:
    """Content of a file that only its owner can read."""
    # Asked of the open file: another one may be put in its place meanwhile.
    with open(file, "rb") as opened:
        mode = os.fstat(opened.fileno()).st_mode
        if mode & _UNSAFE:
            raise InvalidKey(
                f"other users can read or write the signing key (mode {mode & 0o777:o})",
                where=str(file),
                hint=f"chmod 600 '{file}'; if others may have copied it: mlops keys rotate",
            )
        return opened.read(_LONGEST)


def _content(file: Path) -> bytes:
    with open(file, "rb") as opened:
        return opened.read(_LONGEST)


def _new_key() -> bytes:
    """A new private key as PEM text."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _unwritable(file: Path, error: OSError) -> WorkbenchError:
    return StorageError(
        f"the signing key cannot be written: {error.strerror or error}",
        where=str(file),
        hint=f"make the folder writable, name another in XDG_CONFIG_HOME, or put a private key into {VARIABLE}",
    )


def public_text(key: PublicKey) -> str:
    """The public key as PEM text."""
    return public_pem(key).decode()

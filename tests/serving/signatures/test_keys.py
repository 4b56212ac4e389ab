"""The private key is secret, never replaced by accident, and never beside the models."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mlops_workbench.core.errors import Conflict, StorageError, WorkbenchError
from mlops_workbench.serving.signatures.keys import (
    InvalidKey,
    create_key,
    key_file,
    own_key,
    public_key,
    public_text,
    rotate_key,
    signing_key,
)

ENCODING = serialization.Encoding.PEM


def private_text(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, password: bytes = b""
) -> str:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(ENCODING, serialization.PrivateFormat.PKCS8, encryption).decode()


P256 = ec.generate_private_key(ec.SECP256R1())
OTHER_KINDS = {
    "another curve": ec.generate_private_key(ec.SECP256K1()),
    "RSA": rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
}


def test_a_created_key_is_its_owners_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert signing_key() is None
    before = os.umask(0)
    try:
        made = create_key()
    finally:
        os.umask(before)
    file = tmp_path / "config" / "mlops-workbench" / "signing-key.pem"
    assert key_file() == file
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    found = signing_key()
    assert found is not None and (found.id, found.origin) == (made.id, str(file))
    assert made.private.curve.name == "secp256r1"
    assert public_key(public_text(made.public)) == made.public


def test_without_the_variable_the_home_folder_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    create_key()
    assert (tmp_path / ".config" / "mlops-workbench" / "signing-key.pem").is_file()


def test_a_key_is_never_replaced_by_accident() -> None:
    made = create_key()
    content = key_file().read_bytes()
    with pytest.raises(Conflict, match="rotate"):
        create_key()
    assert key_file().read_bytes() == content
    assert own_key().id == made.id


def test_those_who_create_it_at_once_get_the_same_key() -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(own_key().id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused_with_the_command_that_mends_it(mode: int) -> None:
    create_key()
    key_file().chmod(mode)
    with pytest.raises(InvalidKey) as raised:
        own_key()
    assert f"{mode:o}" in raised.value.message and f"chmod 600 '{key_file()}'" in str(raised.value.hint)
    key_file().chmod(0o400)
    assert signing_key() is not None


def test_the_environment_has_a_key_or_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = private_text(P256)
    for given in (text, f"\n{text}\n", text.replace("\n", "\\n")):
        monkeypatch.setenv("MLOPS_SIGNING_KEY", given)
        found = own_key()
        assert (found.public, found.origin) == (P256.public_key(), "MLOPS_SIGNING_KEY")
    file = tmp_path / "key.pem"
    file.write_text(text)
    file.chmod(0o600)
    monkeypatch.setenv("MLOPS_SIGNING_KEY", str(file))
    assert own_key().public == P256.public_key()
    file.chmod(0o644)
    with pytest.raises(InvalidKey, match="mode 644"):
        own_key()
    file.unlink()
    with pytest.raises(InvalidKey, match="does not exist"):
        own_key()
    for refused in (create_key, rotate_key):
        with pytest.raises(WorkbenchError, match="MLOPS_SIGNING_KEY"):
            refused()
    assert not key_file().exists()


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_keys_of_other_kinds_are_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key = OTHER_KINDS[kind]
    monkeypatch.setenv("MLOPS_SIGNING_KEY", private_text(key))  # type: ignore[arg-type]
    with pytest.raises(InvalidKey, match="cannot sign models"):
        signing_key()
    public = key.public_key().public_bytes(ENCODING, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(InvalidKey, match="of a kind"):
        public_key(public)


def test_what_is_no_usable_key_says_how_to_mend_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_SIGNING_KEY", private_text(P256, b"secret"))
    with pytest.raises(InvalidKey, match="openssl pkey"):
        signing_key()
    monkeypatch.setenv("MLOPS_SIGNING_KEY", "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----")
    with pytest.raises(InvalidKey, match="not a private key"):
        signing_key()
    with pytest.raises(InvalidKey, match="private key, which must not lie beside models"):
        public_key(private_text(P256))
    with pytest.raises(InvalidKey, match="not a public key"):
        public_key("-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----")
    with pytest.raises(InvalidKey, match="cannot be read"):
        public_key(str(tmp_path / "none.pem"))


def test_no_key_can_be_made_below_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with pytest.raises(WorkbenchError) as raised:
        own_key()
    assert str(tmp_path) in str(raised.value) and raised.value.hint
    monkeypatch.setenv("XDG_CONFIG_HOME", "/proc/none")
    with pytest.raises(StorageError, match="MLOPS_SIGNING_KEY"):
        own_key()


def test_rotation_keeps_the_old_key_aside_and_secret() -> None:
    with pytest.raises(InvalidKey, match="keys create"):
        rotate_key()
    first = create_key()
    old, new, kept = rotate_key()
    found = signing_key()
    assert found is not None
    assert old.id == first.id != new.id == found.id
    assert stat.S_IMODE(key_file().stat().st_mode) == stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert sorted(path.name for path in kept.parent.iterdir()) == sorted([kept.name, key_file().name])
    assert kept.read_text() == private_text(first.private)

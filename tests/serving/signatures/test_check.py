"""Endpoints and `load_model` load only what its signature allows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from signed_models import new_key, sign_folder, statement_of, with_statement

from mlops_workbench.core.manifest import MANIFEST, SIGNATURE, write_manifest
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.serving.errors import InvalidModel, InvalidSignature
from mlops_workbench.serving.routing.router import Router, load_version
from mlops_workbench.serving.runtimes.estimator import load_estimator
from mlops_workbench.serving.signatures.keys import public_text

KEY, OTHER = new_key(), new_key()
TEXT = public_text(KEY.public_key())
ANY = ServingSettings()
TRUSTING = ServingSettings(trusted_keys=[TEXT])
STRICT = ServingSettings(trusted_keys=[public_text(OTHER.public_key()), TEXT], require_signature=True)

Load = Callable[[Path, ServingSettings], object]
LOADS: dict[str, Load] = {
    "endpoint": lambda folder, settings: load_version("m", 1, folder, settings),
    "load_model": load_estimator,
}


@pytest.fixture(params=list(LOADS))
def load(request: pytest.FixtureRequest) -> Load:
    return LOADS[request.param]


def test_a_model_signed_by_a_trusted_key_is_loaded(model: Path, load: Load) -> None:
    for manifest in (True, False):
        sign_folder(model, KEY, manifest=manifest)
        for settings in (ANY, TRUSTING, STRICT):
            assert load(model, settings) is not None


def test_an_unsigned_model_is_refused_where_a_signature_is_required(model: Path, load: Load) -> None:
    assert load(model, TRUSTING) is not None
    with pytest.raises(InvalidSignature, match="no signature") as raised:
        load(model, STRICT)
    assert str(model / SIGNATURE) in str(raised.value) and "register the model again" in str(raised.value.hint)


def test_an_unknown_key_is_named_and_refused_where_a_trusted_one_is_required(
    model: Path, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    sign_folder(model, new_key())
    assert load(model, TRUSTING) is not None
    assert "signed by the unknown key" in caplog.text
    with pytest.raises(InvalidSignature, match="unknown key") as raised:
        load(model, STRICT)
    assert "mlops keys trust" in str(raised.value.hint)


def changed_byte(folder: Path) -> None:
    # Whoever changes a file can change its digest in the manifest too.
    (folder / "requirements.txt").write_text("numpy\n")
    write_manifest(folder)


def more_files(folder: Path) -> None:
    (folder / "extra.txt").write_text("x")
    write_manifest(folder)


def removed_file(folder: Path) -> None:
    (folder / "requirements.txt").unlink()
    write_manifest(folder)


def changed_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_bytes((folder / MANIFEST).read_bytes() + b"\n")


def garbage(folder: Path) -> None:
    (folder / SIGNATURE).write_bytes(b"garbage")


def empty(folder: Path) -> None:
    (folder / SIGNATURE).write_bytes(b"")


def huge(folder: Path) -> None:
    with open(folder / SIGNATURE, "ab") as file:
        file.write(b" " * (33 << 20))


def a_folder(folder: Path) -> None:
    (folder / SIGNATURE).unlink()
    (folder / SIGNATURE).mkdir()


def other_statement(folder: Path) -> None:
    bundle = (folder / SIGNATURE).read_bytes()
    statement = statement_of(bundle)
    statement["subject"][0]["name"] = "other"
    (folder / SIGNATURE).write_bytes(with_statement(bundle, statement))


def other_signature(folder: Path) -> None:
    """The signature of another key under the name of the trusted one."""
    ours = json.loads((folder / SIGNATURE).read_bytes())
    theirs = json.loads(sign_folder(folder, OTHER))
    theirs["verificationMaterial"] = ours["verificationMaterial"]
    (folder / SIGNATURE).write_text(json.dumps(theirs))


TAMPERING = (
    changed_byte, more_files, removed_file, changed_manifest, garbage, empty, huge, a_folder, other_statement,
    other_signature,
)  # fmt: skip


@pytest.mark.parametrize("tamper", TAMPERING)
def test_a_wrong_signature_is_always_refused(model: Path, load: Load, tamper: Callable[[Path], None]) -> None:
    sign_folder(model, KEY)
    load(model, STRICT)
    tamper(model)
    for settings in (TRUSTING, STRICT):
        with pytest.raises(InvalidSignature, match="signature") as raised:
            load(model, settings)
        assert str(model) in str(raised.value)


@pytest.mark.parametrize("tamper", [changed_byte, more_files, removed_file, garbage, empty])
def test_it_is_refused_without_any_trusted_key_too(model: Path, load: Load, tamper: Callable[[Path], None]) -> None:
    sign_folder(model, KEY)
    tamper(model)
    with pytest.raises(InvalidSignature):
        load(model, ANY)


def test_the_signature_of_another_model_is_refused(model: Path, load: Load, tmp_path: Path) -> None:
    other = Path(shutil.copytree(model, tmp_path / "other"))
    more_files(other)
    sign_folder(other, KEY)
    shutil.copy(other / SIGNATURE, model / SIGNATURE)
    with pytest.raises(InvalidSignature, match="wrong"):
        load(model, TRUSTING)


def test_changed_bytes_are_refused_before_they_are_loaded(model: Path, load: Load) -> None:
    sign_folder(model, KEY)
    (model / "model.skops").write_bytes(b"other")
    with pytest.raises(InvalidModel, match="not the file that was registered"):
        load(model, STRICT)


def test_a_trusted_key_that_cannot_be_read_is_named(model: Path, load: Load, tmp_path: Path) -> None:
    sign_folder(model, KEY)
    with pytest.raises(InvalidSignature, match="cannot be read") as raised:
        load(model, ServingSettings(trusted_keys=[str(tmp_path / "gone.pem")]))
    assert "gone.pem" in str(raised.value)


def test_keys_are_files_of_the_workspace_or_texts(
    model: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_folder(model, KEY)
    (workspace.root / "keys").mkdir()
    (workspace.root / "keys" / "ours.pem").write_text(TEXT)
    (workspace.root / "workbench.toml").write_text(
        "[serving]\nrequire_signature = true\ntrusted_keys = ['keys/ours.pem']\n"
    )
    # The process of an endpoint has another working folder.
    monkeypatch.chdir("/")
    settings = Workspace.open(workspace.root).settings.serving
    assert load_version("m", 1, model, settings) is not None
    monkeypatch.setenv("MLOPS_SERVING_TRUSTED_KEYS", public_text(OTHER.public_key()))
    with pytest.raises(InvalidSignature, match="unknown key"):
        load_version("m", 1, model, Workspace.open(workspace.root).settings.serving)
    monkeypatch.setenv("MLOPS_SERVING_TRUSTED_KEYS", f"{public_text(OTHER.public_key())}:{TEXT}")
    assert load_version("m", 1, model, Workspace.open(workspace.root).settings.serving) is not None


def test_an_endpoint_goes_on_with_the_version_it_has(model: Path, tmp_path: Path) -> None:
    sign_folder(model, KEY)
    forged = Path(shutil.copytree(model, tmp_path / "forged"))
    changed_byte(forged)
    router = Router(STRICT)
    router.switch("m", 1, model)
    with pytest.raises(InvalidSignature):
        router.switch("m", 2, forged)
    assert router.find().version == 1

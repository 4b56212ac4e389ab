"""Versions are signed when they are registered, and what is served is what was signed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from recorder import Recorder
from sklearn.tree import DecisionTreeRegressor

from mlops_workbench.core.manifest import MANIFEST, SIGNATURE, read_manifest, write_manifest
from mlops_workbench.core.runs import Run
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.core.tags import SIGNATURE as SIGNATURE_TAG
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.registry import Registry
from mlops_workbench.registry.export import manifest_of
from mlops_workbench.serving.errors import InvalidSignature
from mlops_workbench.serving.routing.router import load_version
from mlops_workbench.serving.signatures.keys import create_key, key_file, public_text, rotate_key, signing_key
from mlops_workbench.tracking import Ingest

X = pd.DataFrame({"distance": np.arange(40.0), "hour": np.arange(40) % 24})
#: OpenSSF's tool, which `.ci/environments clients` installs.
TOOL = Path(__file__).parents[2] / "build" / "environments" / "clients" / "venv" / "bin" / "model_signing"


class House:
    """A workspace with a registry, opened anew after its settings have changed."""

    def __init__(self, ingest: Ingest, workspace: Workspace) -> None:
        self.ingest, self.workspace = ingest, workspace
        self.recorder = Recorder(workspace)

    @property
    def registry(self) -> Registry:
        return Registry(self.ingest.store, self.ingest.index, Workspace.open(self.workspace.root))

    @property
    def settings(self) -> ServingSettings:
        return Workspace.open(self.workspace.root).settings.serving

    def write(self, *keys: str, require: bool = True) -> None:
        listed = json.dumps(list(keys))
        text = f"[serving]\nrequire_signature = {str(require).lower()}\ntrusted_keys = {listed}\n"
        (self.workspace.root / "workbench.toml").write_text(text)

    def run(self, name: str, depth: int = 2) -> Run:
        uid = self.recorder.start(name)
        self.recorder.model(uid, DecisionTreeRegressor(max_depth=depth).fit(X, X["distance"]), X)
        self.recorder.end(uid)
        self.ingest.drain(uid)
        return self.ingest.index.find(uid)

    def plain_run(self) -> Run:
        """A run whose model MLflow code logged."""
        mlflow.set_tracking_uri(self.ingest.store.uri)
        try:
            mlflow.set_experiment(experiment_id=self.ingest.store.experiment_id("plain"))
            with mlflow.start_run() as run:
                mlflow.sklearn.log_model(
                    DecisionTreeRegressor().fit(X, X["hour"]), name="model", input_example=X[:3],
                    pip_requirements=["scikit-learn"], skops_trusted_types=["sklearn.tree._tree.Tree"],
                )  # fmt: skip
        finally:
            mlflow.set_tracking_uri(None)
        self.ingest.follow()
        return self.ingest.index.find(run.info.run_id)


@pytest.fixture
def house(stored_workspace: Workspace) -> Iterator[House]:
    with Ingest(stored_workspace) as ingest:
        yield House(ingest, stored_workspace)


def own_text() -> str:
    found = signing_key()
    assert found is not None
    return public_text(found.public)


def test_a_registered_version_is_signed_and_served_where_a_signature_is_required(house: House) -> None:
    made = house.registry.register(house.run("tree"), "m")
    key = signing_key()
    assert key is not None
    assert (made.signed_by, made.signature, made.notice) == (key.id, "unknown", "")
    folder = house.registry.export("m", 1)
    # Not trusted by itself: trust is given by a command.
    house.write()
    with pytest.raises(InvalidSignature, match="unknown key"):
        load_version("m", 1, folder, house.settings)
    house.write(own_text())
    assert load_version("m", 1, folder, house.settings).version == 1
    assert house.registry.version("m", 1).signature == "trusted"
    assert [version.signature for version in house.registry.versions("m")] == ["trusted"]


def test_the_private_key_is_not_in_the_workspace(house: House) -> None:
    house.registry.register(house.run("tree"), "m")
    house.registry.export("m", 1)
    secret = key_file().read_bytes().splitlines()[1]
    assert not key_file().is_relative_to(house.workspace.root)
    for path in house.workspace.root.rglob("*"):
        assert not path.is_file() or secret not in path.read_bytes(), path


def test_two_names_of_a_model_each_have_a_signature(house: House) -> None:
    run = house.run("tree")
    first = house.registry.register(run, "m")
    text = own_text()
    rotate_key()
    second = house.registry.register(run, "other")
    assert first.signed_by != second.signed_by
    house.write(text, own_text())
    for name in ("m", "other"):
        assert load_version(name, 1, house.registry.export(name, 1), house.settings)
        assert house.registry.version(name, 1).signature == "trusted"


def test_after_a_rotation_old_versions_verify_until_their_key_is_removed(house: House) -> None:
    run = house.run("tree")
    house.registry.register(run, "m")
    old = own_text()
    rotate_key()
    house.registry.register(house.run("deeper", 5), "m")
    house.write(old, own_text())
    folders = [house.registry.export("m", version) for version in (1, 2)]
    for version, folder in enumerate(folders, 1):
        load_version("m", version, folder, house.settings)
    # Registered again, a right signature stays.
    before = (folders[0] / SIGNATURE).read_bytes()
    house.registry.register(run, "m")
    assert (house.registry.export("m", 1) / SIGNATURE).read_bytes() == before

    house.write(own_text())
    with pytest.raises(InvalidSignature, match="unknown key"):
        load_version("m", 1, folders[0], house.settings)
    again = house.registry.register(run, "m")
    assert (again.version, again.signature) == (1, "trusted")
    # The folder that an endpoint has is signed anew too.
    load_version("m", 1, folders[0], house.settings)


def test_without_a_possible_key_a_model_is_registered_unsigned_and_can_be_signed_later(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = house.run("tree")
    with monkeypatch.context() as patched:
        patched.setenv("XDG_CONFIG_HOME", "/proc/none")
        made = house.registry.register(run, "m")
    assert (made.version, made.signed_by, made.signature) == (1, "", "none")
    for part in ("not signed", "/proc/none", "XDG_CONFIG_HOME", "register it again"):
        assert part in made.notice
    folder = house.registry.export("m", 1)
    assert not (folder / SIGNATURE).exists()
    house.write()
    with pytest.raises(InvalidSignature, match="register the model again"):
        load_version("m", 1, folder, house.settings)
    again = house.registry.register(run, "m")
    house.write(own_text())
    assert (again.version, again.signature, again.notice) == (1, "unknown", "")
    assert load_version("m", 1, folder, house.settings)


def test_a_key_that_others_can_read_signs_nothing(house: House) -> None:
    create_key()
    key_file().chmod(0o644)
    made = house.registry.register(house.run("tree"), "m")
    assert (made.version, made.signature) == (1, "none")
    assert "chmod 600" in made.notice


def test_a_key_in_the_environment_signs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    create_key()
    text = key_file().read_text()
    key_file().unlink()
    monkeypatch.setenv("MLOPS_SIGNING_KEY", text)
    house.write(own_text())
    assert house.registry.register(house.run("tree"), "m").signature == "trusted"
    assert not key_file().exists()


def test_a_model_of_mlflow_code_is_signed_too(house: House) -> None:
    made = house.registry.register(house.plain_run(), "plain")
    assert made.signed_by and not made.notice
    house.write(own_text())
    folder = house.registry.export("plain", 1)
    assert load_version("plain", 1, folder, house.settings)
    # Exported again, as on another machine, too.
    shutil.rmtree(folder)
    assert load_version("plain", 1, house.registry.export("plain", 1), house.settings)


def test_a_file_that_mlflow_adds_to_a_download_is_not_one_of_the_model(tmp_path: Path) -> None:
    for name in ("MLmodel", "registered_model_meta"):
        (tmp_path / name).write_text(name)
    assert list(manifest_of(tmp_path).files) == ["MLmodel"]


def test_files_changed_in_the_store_with_their_manifest_are_refused(house: House) -> None:
    run = house.run("tree")
    house.registry.register(run, "m")
    stored = next(house.workspace.artifacts.rglob("model.skops")).parent
    (stored / "model.skops").write_bytes((stored / "model.skops").read_bytes() + b"x")
    write_manifest(stored)
    folder = house.registry.export("m", 1)
    house.write(own_text())
    with pytest.raises(InvalidSignature, match="wrong"):
        load_version("m", 1, folder, ServingSettings())
    # Nor does registering them again vouch for them: the run logged others.
    again = house.registry.register(run, "m")
    assert "not the file that the run logged" in again.notice
    with pytest.raises(InvalidSignature):
        load_version("m", 1, house.registry.export("m", 1), ServingSettings())


def test_a_changed_tag_is_shown_and_refused_and_mended_by_registering_again(house: House) -> None:
    run = house.run("tree")
    house.registry.register(run, "m")
    folder = house.registry.export("m", 1)
    house.write(own_text())
    client = MlflowClient(house.ingest.store.uri)
    for wrong in ("garbage", "{}", house.registry.store.version("m", 1).tags[SIGNATURE_TAG][:-40]):
        client.set_model_version_tag("m", "1", SIGNATURE_TAG, wrong)
        shown = house.registry.version("m", 1)
        assert (shown.signed_by, shown.signature) == ("", "wrong")
        with pytest.raises(InvalidSignature):
            load_version("m", 1, house.registry.export("m", 1), ServingSettings())
        assert house.registry.register(run, "m").signature == "trusted"
        load_version("m", 1, folder, house.settings)


def test_a_signature_that_came_with_the_files_is_verified(house: House) -> None:
    """Whoever signs with another tool puts model.sig beside the files."""
    house.registry.register(house.run("tree"), "m")
    bundle = house.registry.store.version("m", 1).tags[SIGNATURE_TAG]
    client = MlflowClient(house.ingest.store.uri)
    client.delete_model_version_tag("m", "1", SIGNATURE_TAG)
    stored = next(house.workspace.artifacts.rglob("model.skops")).parent
    (stored / SIGNATURE).write_text(bundle)
    house.write(own_text())
    folder = house.registry.export("m", 1)
    assert SIGNATURE not in read_manifest(folder).files
    assert load_version("m", 1, folder, house.settings)


@pytest.mark.long
@pytest.mark.parametrize("plain", [False, True])
def test_the_tool_of_openssf_accepts_an_exported_folder_and_refuses_a_changed_one(
    house: House, tmp_path: Path, plain: bool
) -> None:
    if not TOOL.exists():
        pytest.skip("'.ci/environments clients' installs the tool")
    house.registry.register(house.plain_run() if plain else house.run("tree"), "m")
    folder = house.registry.export("m", 1)
    public = tmp_path / "public.pem"
    public.write_text(own_text())

    def accepts() -> tuple[bool, str]:
        command = [TOOL, "verify", "key", folder, "--signature", folder / SIGNATURE, "--public_key", public]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        return done.returncode == 0, done.stdout + done.stderr

    good, said = accepts()
    assert good and "succeeded" in said, said
    for name in ["MLmodel", "model.skops", *([] if plain else [MANIFEST])]:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert not accepts()[0], name
        (folder / name).write_bytes(content)
    (folder / "extra.txt").write_text("x")
    assert not accepts()[0]
    (folder / "extra.txt").unlink()
    assert accepts()[0]
    (folder / "MLmodel").unlink()
    assert not accepts()[0]

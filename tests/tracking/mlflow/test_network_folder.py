"""The MLflow model folder of a network is one of MLflow's own flavour for its library."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mlops_workbench.core.manifest import read_manifest
from mlops_workbench.core.records import Column, Model
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking.mlflow.model_folder import write_model_folder


@pytest.mark.parametrize(
    ("flavor", "form", "files", "requirements", "options", "function"),
    [
        (
            "pytorch",
            "torch",
            {"data/model.pth": b"zip", "data/pickle_module_info.txt": b"mlflow.pytorch.pickle_module"},
            ["cloudpickle==3.1.0", "torch==2.9.0"],
            {"model_data": "data", "pytorch_version": "2.9.0+cpu", "code": None},
            {"data": "data", "pickle_module_name": "mlflow.pytorch.pickle_module"},
        ),
        (
            "keras",
            "keras",
            {"data/model.keras": b"zip", "data/keras_module.txt": b"keras"},
            ["keras==3.12.0", "torch==2.9.0"],
            {"data": "data", "keras_version": "2.9.0+cpu", "keras_backend": "torch", "save_exported_model": False},
            {},
        ),
    ],
)
def test_a_network_is_a_model_of_its_own_flavour(
    stored_workspace: Workspace, tmp_path: Path, flavor, form, files, requirements, options, function
) -> None:
    digests = {path: stored_workspace.blobs.put_bytes(content) for path, content in files.items()}
    model = Model(
        "r", "net", flavor, form, digests, [Column("", "float")] * 3, requirements=requirements, version="2.9.0+cpu"
    )
    write_model_folder(
        tmp_path / "net", model, stored_workspace.blobs, run_id="r", model_id="m", location="file:///net"
    )
    written = yaml.safe_load((tmp_path / "net" / "MLmodel").read_text())
    assert written["flavors"][flavor] == options
    loader = written["flavors"]["python_function"]
    assert loader["loader_module"] == f"mlflow.{flavor}" and loader.items() >= function.items()
    assert '"shape": [-1, 3]' in written["signature"]["inputs"]
    for path, content in files.items():
        assert (tmp_path / "net" / path).read_bytes() == content
    manifest = read_manifest(tmp_path / "net")
    manifest.verify(tmp_path / "net")
    assert set(files) <= set(manifest.files)
    needed = (tmp_path / "net" / "requirements.txt").read_text().split()
    assert set(requirements) <= set(needed) and not any(line.startswith("scikit-learn") for line in needed)

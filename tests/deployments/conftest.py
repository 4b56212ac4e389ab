"""Exported versions of a registered model, and a supervisor that leaves no process behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_workbench.core.manifest import write_manifest
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.deployments import Supervisor
from mlops_workbench.deployments.endpoint_folder import EndpointFolder


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``<name>/<version>`` folders of ``flight-delays``: version v predicts v times the distance.

    And of ``negative``: version v predicts minus v times the distance.
    """
    import mlflow
    from mlflow.models import infer_signature
    from sklearn.linear_model import LinearRegression

    root = tmp_path_factory.mktemp("exported")
    rows = pd.DataFrame({"distance": np.arange(1.0, 9.0)})
    for name, version in (("flight-delays", 1), ("flight-delays", 2), ("flight-delays", 3), ("negative", 1)):
        sign = -1 if name == "negative" else 1
        model = LinearRegression(fit_intercept=False).fit(rows, sign * version * rows["distance"])
        mlflow.sklearn.save_model(
            model,
            str(root / name / str(version)),
            serialization_format="skops",
            signature=infer_signature(rows, model.predict(rows)),
            input_example=rows[:2],
            pip_requirements=["scikit-learn"],
        )
        write_manifest(root / name / str(version))
    changed = root / "flight-delays" / "4"
    shutil.copytree(root / "flight-delays" / "3", changed)
    # A version that was changed after it was registered.
    with open(changed / "model.skops", "ab") as file:
        file.write(b"changed")
    return root


@pytest.fixture
def model_folder(exported: Path) -> Callable[[str, int], Path]:
    return lambda name, version: exported / name / str(version)


@pytest.fixture
def quick(workspace: Workspace) -> Workspace:
    """The workspace, with a prediction log that is written soon."""
    (workspace.root / "workbench.toml").write_text("[serving]\nlog_seconds = 0.3\n")
    return Workspace.open(workspace.root)


@pytest.fixture
def supervisor(quick: Workspace) -> Iterator[Supervisor]:
    one = Supervisor(quick)
    yield one
    one.stop_all()
    for folder in quick.endpoints.glob("*"):
        assert not EndpointFolder(folder).is_locked()

"""Registered models in a control plane whose jobs run when a test says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.store.model_registry import sqlalchemy_store as registry_stores
from mlflow.store.tracking import sqlalchemy_store as tracking_stores
from recorder import Recorder
from sklearn.tree import DecisionTreeRegressor

from mlops_workbench.client.bodies import PromoteRequest
from mlops_workbench.control.plane import ControlPlane
from mlops_workbench.control.services.aliases import AliasService
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.models import ModelVersion
from mlops_workbench.core.records import Metrics

X = pd.DataFrame({"distance": np.arange(40.0)})


@dataclass
class House:
    """A control plane whose jobs run when a test says so, and plain MLflow."""

    plane: ControlPlane
    recorder: Recorder

    @property
    def aliases(self) -> AliasService:
        return self.plane.models._aliases

    @property
    def mlflow(self) -> MlflowClient:
        return MlflowClient(self.plane.ingest.store.uri)

    def versions(self, *maes: float, model: str = "m") -> None:
        """Register a version for each value of the metric."""
        for number, mae in enumerate(maes):
            uid = self.recorder.start(f"run {mae}")
            self.recorder.put(Metrics(uid, now_ms(), 0, {"mae": mae}))
            self.recorder.model(uid, DecisionTreeRegressor(max_depth=number + 1).fit(X, X["distance"]), X)
            self.recorder.end(uid)
            self.plane.ingest.drain(uid)
            self.plane.models._registry.register(self.plane.ingest.index.find(uid), model)

    def promote(self, version: int, alias: str = "champion", gate: list[str] | None = None) -> ModelVersion:
        return self.plane.models.promotions.promote("m", version, PromoteRequest(alias, gate or []))

    def ours(self, model: str = "m") -> dict[str, int]:
        return self.aliases.of(model)

    def theirs(self, model: str = "m") -> dict[str, int]:
        return {alias: int(version) for alias, version in self.mlflow.get_registered_model(model).aliases.items()}

    def again(self) -> House:
        """The control plane after a restart."""
        self.close()
        self.plane = ControlPlane(self.plane.workspace, on_shutdown=lambda: None)
        return self

    def lose_mlflow(self, fresh: Path) -> None:
        """Put a new database in place of MLflow's, and start again."""
        self.close()
        for path in self.plane.workspace.state.glob("mlflow.db*"):
            path.unlink()
        # MLflow keeps its connections to the deleted file as long as its process lives.
        for kind in (tracking_stores.SqlAlchemyStore, registry_stores.SqlAlchemyStore):
            for engine in kind._engine_map.values():
                engine.dispose()
        (self.plane.workspace.state / "mlflow.db").write_bytes(fresh.read_bytes())
        self.plane = ControlPlane(self.plane.workspace, on_shutdown=lambda: None)

    def close(self) -> None:
        self.plane._database.close()
        self.plane.ingest.close()

"""Registered models."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from mlops_workbench.client.bodies import LocalModel, PromoteRequest, RegisterRequest, RollbackRequest
from mlops_workbench.control.routes.plane import READS_RUNS, Plane
from mlops_workbench.core.model_card import ModelCard
from mlops_workbench.core.models import AliasChange, ModelVersion, RegisteredModel
from mlops_workbench.core.releases import RollbackPlan
from mlops_workbench.core.wire.patterns import NAME, REFERENCE, Documented
from mlops_workbench.registry import CHAMPION

router = APIRouter(tags=["models"])

#: The registry answers that there is no version beyond these.
Version = Annotated[int, Path(json_schema_extra={"minimum": 1, "maximum": 2**31 - 1})]


@router.get("/models")
def list_models(plane: Plane) -> list[RegisteredModel]:
    """All registered models."""
    return plane.models.models()


@router.get("/models/{name}/versions")
def list_versions(plane: Plane, name: str) -> list[ModelVersion]:
    """Versions of a model, newest first."""
    return plane.models.versions(name)


@router.post("/models/{name}/versions", status_code=201)
def register(plane: Plane, name: Annotated[str, Documented(NAME)], request: RegisterRequest) -> ModelVersion:
    """Register the model of a run, evaluate the gate and set the alias."""
    return plane.models.register(name, request)


@router.get("/models/{name}/versions/{version}")
def get_version(plane: Plane, name: str, version: Version) -> ModelVersion:
    """A version of a model."""
    return plane.models.version(name, version)


@router.get("/models/{name}/versions/{version}/card", dependencies=[READS_RUNS])
def get_card(plane: Plane, name: str, version: Version) -> ModelCard:
    """The card of a version: what is known about it, and what a person wrote."""
    return plane.cards.card(name, version)


@router.post("/models/{name}/versions/{version}/promote")
def promote(plane: Plane, name: str, version: Version, request: PromoteRequest) -> ModelVersion:
    """Evaluate the gate and set the alias if it passes; the old champion becomes ``previous``."""
    return plane.models.promotions.promote(name, version, request)


@router.post("/models/{name}/rollback")
def rollback_model(plane: Plane, name: str, request: RollbackRequest) -> ModelVersion:
    """Make the previous champion the champion again, and put the one that is left in quarantine."""
    return plane.models.rollback(name, CHAMPION, request.reason, leaves=request.leaves)


@router.get("/models/{name}/rollback")
def plan_rollback_of_model(plane: Plane, name: str) -> RollbackPlan:
    """The versions that a rollback of the champion would leave and return to."""
    return plane.models.plan(name)


@router.get("/models/{name}/alias-changes")
def list_alias_changes(plane: Plane, name: str) -> list[AliasChange]:
    """Changes of the aliases of a model, newest first."""
    return plane.models.changes(name)


@router.get("/local-models/{reference:path}")
def get_local_model(plane: Plane, reference: Annotated[str, Documented(REFERENCE)]) -> LocalModel:
    """The version ``name@alias`` or ``name/3`` on this machine's disk."""
    return plane.models.local(reference)

"""What is noted when a version is proven at its registration, and what a proof that fails leaves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from registered_models import House

from mlops_workbench.client.bodies import PromoteRequest, RegisterRequest
from mlops_workbench.control.tables import VersionRow
from mlops_workbench.core.errors import GateFailed, StorageError, Unavailable
from mlops_workbench.core.models import ModelVersion, ProvenRuntime
from mlops_workbench.core.tags import RUNTIME
from mlops_workbench.core.workspace import FILE
from mlops_workbench.serving.runtimes.trial import DryRun, DryRunRequest

GOOD = DryRun(rows={"training": 40, "boundary": 2}, runtime="sklearn-compiled")
REFUSED = DryRun("predict is 3.0 and not 2.0")


@pytest.fixture
def proven(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[DryRun | Exception]]:
    """What the next dry runs find; all of it was asked for at the end."""
    monkeypatch.setenv("MLOPS_GATES_PROVE_ON_REGISTER", "true")
    found: list[DryRun | Exception] = []

    def run_dry(request: DryRunRequest, *, seconds: float) -> DryRun:
        one = found.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    house.plane.models.promotions._gates._run_dry = run_dry
    yield found
    assert not found


def register(house: House, alias: str = "") -> ModelVersion:
    run = house.plane.models.version("m", 1).run_uid
    return house.plane.models.register("n", RegisterRequest(run, alias=alias))


def test_a_proof_that_fails_keeps_no_version_from_being_registered(
    house: House, proven: list[DryRun | Exception]
) -> None:
    house.versions(5.0)
    for problem, notice in (
        (StorageError("no space left on device"), "it could not be proven: no space left on device"),
        (Unavailable("the registry does not answer"), "it could not be proven: the registry does not answer"),
        (DryRun("the model did not load", crashed=True), "it could not be proven: the model did not load"),
        (REFUSED, "endpoints would refuse it: predict is 3.0 and not 2.0"),
    ):
        proven.append(problem)
        made = register(house, "champion")
        assert (made.version, made.aliases, made.notice, made.runtime) == (1, ["champion"], notice, None)
    proven.append(GOOD)
    made = register(house)
    assert (made.version, made.notice) == (1, "")
    assert made.runtime == ProvenRuntime("sklearn-compiled", "", 42)
    # What is known is not asked again, and has a copy for the case that MLflow's database is lost.
    assert register(house, "challenger").runtime == made.runtime == house.plane.models.versions("n")[0].runtime
    with house.plane._database.session() as session:
        row = session.get(VersionRow, ("n", 1))
        assert row is not None and RUNTIME in row.tags


def test_a_gate_that_asks_for_the_same_has_one_proof_and_a_failed_one_is_noted(
    house: House, proven: list[DryRun | Exception]
) -> None:
    house.versions(5.0)
    (house.plane.workspace.root / FILE).write_text("[gates.models.n]\ngolden = true\n")
    proven.append(GOOD)
    made = register(house, "champion")
    assert made.gate is not None and made.gate.passed and made.runtime is not None
    promote = house.plane.models.promotions.promote
    # An alias that no gate asks for.
    assert promote("n", 1, PromoteRequest("challenger")).runtime == made.runtime
    # It loads no more.
    proven += [REFUSED, StorageError("no space left on device")]
    with pytest.raises(GateFailed, match=r"predict is 3\.0"):
        promote("n", 1, PromoteRequest("champion"))
    assert house.plane.models.version("n", 1).runtime is None
    with pytest.raises(StorageError, match="no space left"):
        promote("n", 1, PromoteRequest("champion"))

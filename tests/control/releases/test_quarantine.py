"""What a rollback has left comes back only when somebody asks for just that."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from registered_models import House
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from mlops_workbench.client.bodies import DeployRequest, PromoteRequest, RegisterRequest, RollbackRequest
from mlops_workbench.control.services import endpoints as endpoint_service
from mlops_workbench.core.errors import Conflict, InvalidInput, Quarantined


def promoted(house: House, *maes: float) -> House:
    """Versions, each of which was the champion in its turn."""
    house.versions(*maes)
    for number in range(1, len(maes) + 1):
        house.promote(number)
    house.plane.models.step()
    return house


def refused(call: Callable[[], object], *parts: str) -> None:
    with pytest.raises(Quarantined) as raised:
        call()
    for part in ("in quarantine", *parts):
        assert part in raised.value.message
    assert "--release-quarantine" in (raised.value.hint or "")


@pytest.mark.usefixtures("database_url")
def test_a_version_that_was_left_is_refused_by_number_by_alias_and_under_another_name(house: House) -> None:
    promoted(house, 3.0, 2.0)
    models, endpoints = house.plane.models, house.plane.endpoints
    models.rollback("m", "champion", "it says 0 for new customers")
    why = ("it says 0 for new customers", "m/2", "control plane (control)")
    before = house.ours(), endpoints.specs()
    refused(lambda: house.promote(2), *why)
    refused(lambda: house.promote(2, "challenger"), *why)
    refused(lambda: endpoints.deploy("e", DeployRequest("m/2")), *why)
    # A failed gate that may be overridden is another matter.
    refused(lambda: models.promotions.promote("m", 2, PromoteRequest(override="I know better")), *why)
    run = models.version("m", 2).run_uid
    refused(lambda: models.register("m", RegisterRequest(run, alias="champion")), *why)
    # The same model under another name.
    assert models.register("other", RegisterRequest(run)).version == 1
    refused(lambda: models.promotions.promote("other", 1, PromoteRequest()), "other/1", "as m/2", why[0])
    assert (house.ours(), endpoints.specs()) == before
    refusals = house.plane.audit.entries(action="model.refuse")
    assert len(refusals) == 6 and {entry.outcome for entry in refusals} == {"refused"}

    shown = {version.version: version.quarantine for version in models.versions("m")}
    assert shown[1] is None and shown[2] is not None
    assert (shown[2].reason, shown[2].version) == (why[0], 2) and shown[2].digest == models.version("m", 2).digest
    assert house.plane.cards.card("m", 2).quarantine == shown[2]
    assert house.plane.cards.card("m", 1).quarantine is None

    house.again()
    models = house.plane.models
    refused(lambda: house.promote(2), *why)
    assert (
        models.promotions.promote("m", 2, PromoteRequest(release_quarantine="the customers are there now")).quarantine
        is None
    )
    assert house.ours() == {"champion": 2, "previous": 1}
    lifted = house.plane.audit.entries(action="model.lift_quarantine")
    assert [entry.reason for entry in lifted] == ["the customers are there now"]
    assert why[0] in str(lifted[0].before) and house.plane.audit.verify().whole
    # It is lifted for good, under each name.
    models.promotions.promote("other", 1, PromoteRequest())


def test_a_rollback_says_why_in_a_line(house: House) -> None:
    promoted(house, 3.0, 2.0)
    house.plane.endpoints.deploy("e", DeployRequest("m@champion"))
    for reason in ("", " ", "two\nlines", "x" * 2001):
        with pytest.raises(InvalidInput, match="a line of text"):
            house.plane.models.rollback("m", "champion", reason)
        with pytest.raises(InvalidInput, match="a line of text"):
            house.plane.endpoints.rollback("e", RollbackRequest(reason))
    assert house.ours() == {"champion": 2, "previous": 1}


def test_a_second_rollback_of_a_fixed_version_leads_further_back(house: House) -> None:
    house.versions(4.0, 3.0, 2.0)
    endpoints = house.plane.endpoints
    for number in (1, 2, 3):
        endpoints.deploy("e", DeployRequest(f"m/{number}"))
    plan = endpoints.plan("e")
    assert (plan.leaves, plan.returns_to, plan.alias, plan.passed_over) == (3, 2, "", [])
    endpoints.rollback("e", RollbackRequest("slow"))
    back = endpoints.get("e")
    assert (back.wanted_version, back.previous, back.model) == (2, 1, "m/2")
    endpoints.deploy("e", DeployRequest("m/1"))
    # 3 is in quarantine, and 2 was there before.
    assert endpoints.plan("e").returns_to == 2
    endpoints.deploy("e", DeployRequest("m/2"))
    endpoints.rollback("e", RollbackRequest("slow, too"))
    assert (endpoints.get("e").wanted_version, endpoints.get("e").previous) == (1, 0)
    with pytest.raises(Conflict, match="version 3 is in quarantine: slow"):
        endpoints.rollback("e", RollbackRequest("slow as well"))
    kinds = [(one.version, one.kind, one.reason) for one in endpoints.history.of("e")][:2]
    assert kinds == [(1, "rollback", "slow, too"), (2, "deploy", "deploy m/2")]


def test_a_version_that_was_deleted_is_nothing_to_go_back_to(house: House) -> None:
    promoted(house, 4.0, 3.0, 2.0)
    house.mlflow.delete_model_version("m", "2")
    house.plane.models.step()
    assert house.plane.models.plan("m").returns_to == 1
    assert house.plane.models.rollback("m", "champion", "worse").version == 1


def test_an_alias_that_is_set_in_mlflow_brings_nothing_back(house: House) -> None:
    promoted(house, 3.0, 2.0)
    house.plane.endpoints.deploy("e", DeployRequest("m@champion"))
    house.plane.models.rollback("m", "champion", "worse")
    house.plane.models.step()
    house.mlflow.set_registered_model_alias("m", "champion", "2")
    house.plane.models.step()
    house.plane.endpoints.follow()
    assert house.ours() == house.theirs() == {"champion": 1, "previous": 2}
    assert house.plane.endpoints.get("e").wanted_version == 1
    entry = house.plane.audit.entries(limit=20, action="model.refuse")[0]
    assert entry.actor.name == "MLflow" and "worse" in entry.reason
    # Deleted and set again, it is nobody's move here; the endpoint stays where it is nevertheless.
    house.mlflow.delete_registered_model_alias("m", "champion")
    house.plane.models.step()
    house.mlflow.set_registered_model_alias("m", "champion", "2")
    house.plane.models.step()
    house.plane.endpoints.follow()
    assert house.plane.endpoints.get("e").wanted_version == 1


def test_a_number_that_was_given_anew_is_another_version(house: House) -> None:
    promoted(house, 3.0, 2.0)
    house.plane.models.rollback("m", "champion", "worse")
    house.mlflow.delete_registered_model("m")
    house.plane.models.step()
    house.versions(1.5, 1.0)
    assert house.plane.models.version("m", 2).quarantine is None
    assert house.promote(2).aliases == ["champion"]


def test_a_rollback_leaves_the_version_that_was_named_or_nothing_is_changed(house: House) -> None:
    promoted(house, 3.0, 2.0)
    house.versions(1.0)
    endpoints = house.plane.endpoints
    endpoints.deploy("e", DeployRequest("m@champion"))
    endpoints.deploy("fixed", DeployRequest("m/1"))
    endpoints.deploy("fixed", DeployRequest("m/2"))
    house.promote(3)
    endpoints.deploy("fixed", DeployRequest("m/3"))
    for name in ("e", "fixed"):
        with pytest.raises(Conflict, match="by now"):
            endpoints.rollback(name, RollbackRequest("worse", leaves=2))
    assert [version.version for version in house.plane.models.versions("m") if version.quarantine] == []
    assert house.ours()["champion"] == 3


def test_a_deployment_and_a_rollback_at_once_leave_one_of_both_outcomes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.versions(4.0, 3.0, 2.0)
    endpoints = house.plane.endpoints
    for name in ("a", "b"):
        for number in (1, 2):
            endpoints.deploy(name, DeployRequest(f"m/{number}"))
        together = threading.Barrier(2, timeout=60)
        outcomes: list[str] = []

        def attempt(call: Callable[[], object], *, start: threading.Barrier, said: list[str]) -> None:
            start.wait()
            try:
                call()
            except Conflict as error:
                said.append(error.message)

        calls: list[Callable[[], object]] = [
            lambda name=name: endpoints.rollback(name, RollbackRequest("worse", leaves=2)),
            lambda name=name: endpoints.deploy(name, DeployRequest("m/3")),
        ]
        threads = [
            threading.Thread(target=attempt, args=(call,), kwargs={"start": together, "said": outcomes})
            for call in calls
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        # The deployment was asked for by number, so it is the last word; a rollback either came first, or said no.
        kinds = [(one.version, one.kind) for one in endpoints.history.of(name)]
        quarantined = house.plane.models.version("m", 2).quarantine is not None
        if outcomes:
            assert kinds[:2] == [(3, "deploy"), (2, "deploy")] and "by now" in outcomes[0]
            assert endpoints.get(name).previous == 2
        else:
            assert kinds[:2] == [(3, "deploy"), (1, "rollback")] and quarantined
            assert endpoints.get(name).previous == 1
        assert endpoints.get(name).wanted_version == 3
        if quarantined:
            endpoints.deploy("free", DeployRequest("m/2", release_quarantine="for the next turn"))


@pytest.mark.usefixtures("database_url")
def test_the_history_cannot_be_changed(house: House) -> None:
    house.versions(4.0)
    house.plane.endpoints.deploy("e", DeployRequest("m/1"))
    for statement in ("UPDATE releases SET reason = 'x'", "DELETE FROM releases"):
        with pytest.raises(DatabaseError, match="append-only"), house.plane._database.change() as session:
            session.execute(text(statement))
    assert [one.reason for one in house.plane.endpoints.history.of("e")] == ["deploy m/1"]


def test_a_version_is_refused_also_when_it_is_left_while_its_deployment_is_prepared(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    promoted(house, 3.0, 2.0)
    endpoints = house.plane.endpoints
    endpoints.deploy("e", DeployRequest("m/1"))
    original = endpoint_service.EndpointService._replay

    def replay(self: object, *given: object) -> object:
        house.plane.models.rollback("m", "champion", "worse")
        return original(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(endpoint_service.EndpointService, "_replay", replay)
    refused(lambda: endpoints.deploy("e", DeployRequest("m/2")), "worse")
    assert endpoints.get("e").wanted_version == 1

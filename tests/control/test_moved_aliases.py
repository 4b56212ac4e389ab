"""Aliases: the database has them, MLflow follows, and no move is lost, undone or made against an old champion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from registered_models import House

from mlops_workbench.client.bodies import DeployRequest, PromoteRequest, RegisterRequest, RollbackRequest
from mlops_workbench.commands.models import version_view
from mlops_workbench.control.audit import trail
from mlops_workbench.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from mlops_workbench.core.manifest import read_manifest
from mlops_workbench.core.models import ModelVersion
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.serving.signatures.check import check_signature
from mlops_workbench.serving.signatures.keys import own_key, public_text
from mlops_workbench.tracking.mlflow.registry import RegistryStore

# Half of them, most with PostgreSQL, are for `make test-all`: the files beside this one try it for each change.
pytestmark = [pytest.mark.usefixtures("database_url"), pytest.mark.some(2)]


def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, MLflow does not answer."""

    def unavailable(*_: object) -> None:
        raise Unavailable("MLflow does not answer")

    for name in ("models", "model", "versions", "version", "set_alias"):
        monkeypatch.setattr(RegistryStore, name, unavailable)


def test_promotion_and_rollback_move_champion_and_previous(house: House) -> None:
    house.versions(3.0, 2.0, 1.0)

    def rollback(name: str, alias: str = "champion") -> ModelVersion:
        return house.plane.models.rollback(name, alias, "worse")

    house.promote(1)
    with pytest.raises(Conflict, match="no version before"):
        rollback("m")
    house.promote(2)
    assert house.ours() == {"champion": 2, "previous": 1}
    house.promote(2)
    assert house.ours() == {"champion": 2, "previous": 1}
    house.promote(3)
    assert rollback("m").version == 2
    # A further rollback leads back in time, and not to the version that was left.
    assert house.ours() == {"champion": 2, "previous": 1}
    assert rollback("m").aliases == ["champion"]
    assert house.ours() == {"champion": 1, "previous": 2}
    with pytest.raises(Conflict, match=r"no version before 1 .*; version 2 is in quarantine: worse"):
        rollback("m")
    house.plane.models.promotions.promote("m", 3, PromoteRequest("champion", release_quarantine="the data was mended"))
    assert house.ours() == {"champion": 3, "previous": 1}
    house.promote(1, "challenger")
    assert house.ours() == {"champion": 3, "previous": 1, "challenger": 1}
    with pytest.raises(NotFound):
        house.promote(9)
    with pytest.raises(InvalidInput):
        house.promote(1, "v1")
    with pytest.raises(NotFound, match="did you mean 'champion'"):
        rollback("m", "champ")
    with pytest.raises(NotFound, match="did you mean 'm'"):
        rollback("mm")
    house.plane.models.step()
    assert house.theirs() == house.ours()
    found = [(c.alias, c.version, c.replaced, c.reason) for c in house.aliases.changes("m")]
    assert found == [
        ("challenger", 1, 0, "promoted"),
        ("champion", 3, 1, "promoted"),
        ("champion", 1, 2, "rolled back"),
        ("champion", 2, 3, "rolled back"),
        ("champion", 3, 2, "promoted"),
        ("champion", 2, 1, "promoted"),
        ("champion", 1, 0, "promoted"),
    ]


class _Stopped(BaseException):
    """The process is gone."""


def test_nothing_is_changed_that_is_not_in_the_audit_trail(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.versions(3.0, 2.0)
    house.promote(1)
    house.promote(2)
    endpoints = house.plane.endpoints
    endpoints.deploy("e", DeployRequest("m/1"))
    endpoints.deploy("e", DeployRequest("m/2"))
    house.plane.models.step()

    def state() -> object:
        return house.ours(), house.aliases.changes("m"), endpoints.specs(), house.plane.audit.entries()

    before, entries = state(), len(house.plane.audit.entries())

    def stop(*_: object) -> str:
        raise _Stopped

    changes: list[Callable[[], object]] = [
        lambda: house.promote(1),
        lambda: house.plane.models.rollback("m", "champion", "worse"),
        lambda: endpoints.deploy("e", DeployRequest("m/1")),
        lambda: endpoints.deploy("other", DeployRequest("m@champion")),
        lambda: endpoints.rollback("e", RollbackRequest("worse")),
        lambda: endpoints.remove("e"),
    ]
    for change in changes:
        with monkeypatch.context() as patch, pytest.raises(_Stopped):
            # Killed after the change, before its entry is in the same transaction.
            patch.setattr(trail, "hash_of", stop)
            change()
        assert state() == before
    house.mlflow.set_registered_model_alias("m", "shadow", "1")
    with monkeypatch.context() as patch, pytest.raises(_Stopped):
        patch.setattr(trail, "hash_of", stop)
        house.plane.models.step()
    assert state() == before
    house.plane.models.step()
    assert house.ours()["shadow"] == 1 and len(house.plane.audit.entries()) == entries + 1
    assert house.plane.audit.verify().whole


@pytest.mark.some(2)
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_a_move_whose_write_to_mlflow_is_cut_short_is_written_by_the_next_process(
    times: int, done: bool, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.versions(3.0, 2.0)
    house.promote(1)
    house.plane.models.step()
    house.promote(2)
    original, calls = RegistryStore.set_alias, []

    def stop(self: RegistryStore, name: str, alias: str, version: int) -> None:
        calls.append(alias)
        if len(calls) < times or done:
            original(self, name, alias, version)
        if len(calls) >= times:
            raise _Stopped

    with monkeypatch.context() as patch:
        patch.setattr(RegistryStore, "set_alias", stop)
        with pytest.raises(_Stopped):
            house.plane.models.step()
    house.again()
    assert house.plane.models.resolve("m@champion") == ("m", 2)
    house.plane.models.step()
    assert house.theirs() == house.ours() == {"champion": 2, "previous": 1}
    assert [change.reason for change in house.aliases.changes("m")] == ["promoted", "promoted"]


def test_a_move_in_mlflow_is_taken_over_named_and_can_be_taken_back(house: House) -> None:
    house.versions(3.0, 2.0, 1.0)
    # What is there when the workbench comes is nobody's change.
    house.mlflow.set_registered_model_alias("m", "champion", "1")
    assert house.plane.models.resolve("m@champion") == ("m", 1)
    assert house.aliases.changes("m") == []
    called: list[int] = []
    house.plane.models.on_alias(lambda: called.append(1))
    house.plane.models.step()
    called.clear()
    house.mlflow.set_registered_model_alias("m", "champion", "3")
    house.mlflow.set_registered_model_alias("m", "shadow", "2")
    house.plane.models.step()
    assert called, "endpoints that follow it are told"
    assert house.ours() == {"champion": 3, "previous": 1, "shadow": 2}
    changes = {(c.alias, c.version, c.replaced, c.reason) for c in house.aliases.changes("m")}
    assert changes == {("champion", 3, 1, "set in MLflow"), ("shadow", 2, 0, "set in MLflow")}
    house.plane.models.step()
    assert house.theirs() == house.ours()
    assert house.plane.models.rollback("m", "champion", "worse").version == 1
    house.mlflow.delete_registered_model_alias("m", "shadow")
    house.plane.models.step()
    assert house.theirs() == house.ours() == {"champion": 1, "previous": 3}
    assert house.aliases.changes("m")[0].reason == "deleted in MLflow"


def test_a_deleted_model_or_version_takes_its_aliases_with_it(house: House) -> None:
    house.versions(3.0, 2.0)
    house.promote(1)
    house.plane.models.step()
    house.promote(2)
    # Before the move is written, its version is gone.
    house.mlflow.delete_model_version("m", "2")
    house.plane.models.step()
    house.plane.models.step()
    assert house.ours()["champion"] == house.theirs()["champion"] == 1
    house.mlflow.delete_registered_model("m")
    house.plane.models.step()
    assert house.ours() == {}
    # A model of the same name is another one, also if it comes between two looks.
    house.versions(3.0, 2.0)
    house.promote(2)
    house.plane.models.step()
    house.mlflow.delete_registered_model("m")
    house.versions(5.0)
    assert house.plane.models.resolve("m") == ("m", 1)
    house.plane.models.step()
    assert house.ours() == house.theirs() == {}


def test_a_move_here_stays_when_mlflow_was_changed_before_it_was_written(house: House) -> None:
    house.versions(3.0, 2.0, 1.0)
    house.promote(1)
    house.plane.models.step()
    house.promote(2)
    house.mlflow.set_registered_model_alias("m", "champion", "3")
    house.plane.models.step()
    assert house.theirs() == house.ours() == {"champion": 2, "previous": 1}


def test_a_look_at_mlflow_from_before_a_move_undoes_nothing(house: House) -> None:
    house.versions(3.0, 2.0)
    house.promote(1)
    house.plane.models.step()

    def slow() -> list[Any]:
        found = house.plane.ingest.store.registry.models()
        house.promote(2)
        house.plane.models.step()
        return found

    assert house.aliases.read(slow)[0].aliases == {"champion": 2, "previous": 1}
    assert house.ours() == house.theirs() == {"champion": 2, "previous": 1}

    def slower() -> list[Any]:
        found = house.plane.ingest.store.registry.models()
        house.mlflow.set_registered_model_alias("m", "champion", "1")
        house.plane.models.step()
        return found

    house.aliases.read(slower)
    assert house.ours()["champion"] == 1


def test_versions_and_aliases_are_made_again_after_mlflows_database_was_lost(
    house: House, mlflow_database: Path
) -> None:
    house.versions(5.0, 4.0, 3.0, 2.0)
    house.versions(1.0, model="other")
    house.promote(2)
    house.promote(4)
    house.plane.models.step()
    house.plane.models._registry.store.set_version_tags("m", 4, {"note": "by hand"})
    # A number that is not used again.
    house.mlflow.delete_model_version("m", "1")
    house.mlflow.create_registered_model("plain")
    house.plane.models.step()
    before = {v.version: (v.run_uid, v.metrics, v.aliases) for v in house.plane.models.versions("m")}
    changes = house.aliases.changes("m")

    house.lose_mlflow(mlflow_database)

    # Before the runs are delivered again, nothing is forgotten, and an alias holds.
    house.plane.models.step()
    assert house.plane.models.resolve("m@champion") == ("m", 4)
    assert "m/2, m/3, m/4, other/1" in house.plane.models.notice
    with pytest.raises(Unavailable, match="registered again"):
        house.plane.models.versions("m")
    house.plane.ingest.drain()
    house.plane.models.step()
    house.plane.models.step()
    assert {v.version: (v.run_uid, v.metrics, v.aliases) for v in house.plane.models.versions("m")} == before
    assert house.ours() == house.theirs() == {"champion": 4, "previous": 2}
    assert house.plane.models._registry.store.version("m", 4).tags["note"] == "by hand"
    assert [v.version for v in house.plane.models.versions("other")] == [1]
    assert house.aliases.changes("m") == changes
    assert house.plane.models.notice == ""
    folder = house.plane.models.export("m", 4)
    # Its files have other ids than before, and are signed anew.
    key = own_key()
    assert house.plane.models.version("m", 4).signed_by == key.id
    strict = ServingSettings(trusted_keys=[public_text(key.public)], require_signature=True)
    assert check_signature(folder, read_manifest(folder), strict)


def test_a_version_that_is_made_again_without_a_key_is_unsigned_and_not_wrong(
    house: House, mlflow_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.versions(5.0)
    house.plane.models.step()
    assert house.plane.models.version("m", 1).signed_by
    house.lose_mlflow(mlflow_database)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/proc/none")
    house.plane.models.step()
    house.plane.ingest.drain()
    house.plane.models.step()
    house.plane.models.step()
    assert house.plane.models.version("m", 1).signature == "none"
    folder = house.plane.models.export("m", 1)
    assert check_signature(folder, read_manifest(folder), ServingSettings()) is None


def test_a_registration_with_an_alias_says_that_the_version_is_not_signed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.versions(5.0)
    run = house.plane.models.version("m", 1).run_uid
    monkeypatch.setenv("XDG_CONFIG_HOME", "/proc/none")
    made = house.plane.models.register("unsigned", RegisterRequest(run, alias="champion"))
    assert made.aliases == ["champion"] and made.signature == "none" and "/proc/none" in made.notice
    view = version_view(made, "registered", "mlops")
    assert made.notice in view.notes


def test_a_model_that_is_registered_anew_after_the_loss_is_another_one(house: House, mlflow_database: Path) -> None:
    house.versions(5.0)
    house.promote(1)
    house.plane.models.step()
    house.lose_mlflow(mlflow_database)
    # Its model comes from elsewhere, so it is not the one of the journals.
    house.mlflow.create_registered_model("m")
    house.mlflow.create_model_version("m", "file:///nowhere")
    house.plane.models.step()
    assert house.plane.models.notice == ""
    house.plane.models.step()
    assert house.ours() == house.theirs() == {}


def test_going_back_and_following_need_no_mlflow(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.versions(3.0, 2.0, 1.0)
    house.promote(1)
    house.promote(2)
    house.promote(3)
    house.plane.models.step()
    for version in (1, 2, 3):
        house.plane.models.export("m", version)
    house.plane.endpoints.deploy("e", DeployRequest("m@champion"))
    with monkeypatch.context() as patch:
        away(patch)
        back = house.plane.endpoints.rollback("e", RollbackRequest("slow"))
        assert (back.wanted_version, back.previous) == (2, 1)
        assert house.plane.models.resolve("m@champion") == ("m", 2)
        further = house.plane.models.rollback("m", "champion", "slower")
        assert (further.version, further.aliases) == (1, ["champion"])
        house.plane.endpoints.follow()
        endpoint = house.plane.endpoints.get("e")
        assert (endpoint.wanted_version, endpoint.previous) == (1, 0)
        with pytest.raises(Unavailable):
            house.plane.models.step()
        # A deployment that was made is not answered with an error, and gets its monitor later.
        assert house.plane.deploy("late", DeployRequest("m@champion")).wanted_version == 1
        with pytest.raises(NotFound, match="no monitor"):
            house.plane.monitors.report("late")
    house.plane.models.step()
    assert house.theirs() == house.ours() == {"champion": 1, "previous": 2}
    house.plane.monitors.step()
    assert house.plane.monitors.report("late").spec.metric == "mae"

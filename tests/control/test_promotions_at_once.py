"""Of promotions at the same time, none goes by a champion of before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from registered_models import House

from mlops_workbench.core.errors import GateFailed
from mlops_workbench.core.models import GateCheck
from mlops_workbench.core.workspace import FILE
from mlops_workbench.registry import Registry, champion_checks

pytestmark = pytest.mark.usefixtures("database_url")


def test_of_two_gated_promotions_at_once_the_better_one_wins(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.versions(2.0, 0.95, 0.90)
    house.promote(1)
    # Both gates are evaluated before either alias is moved.
    together, original, seen = threading.Barrier(2), Registry.evaluate_gate, threading.local()

    def evaluate(self: Registry, *args: Any, **options: Any) -> Any:
        result = original(self, *args, **options)
        if not getattr(seen, "waited", False):
            seen.waited = True
            together.wait(timeout=60)
        return result

    monkeypatch.setattr(Registry, "evaluate_gate", evaluate)
    outcomes: dict[int, object] = {}

    def promote(version: int) -> None:
        try:
            outcomes[version] = house.promote(version, gate=["mae < champion.mae"]).version
        except GateFailed as error:
            outcomes[version] = error.message

    run_together(lambda: promote(2), lambda: promote(3))
    assert house.ours()["champion"] == 3
    assert outcomes[3] == 3
    # Either it was the champion in between, or it failed against the better one.
    assert outcomes[2] == 2 or "0.95 >= 0.9" in str(outcomes[2])
    changes = [change for change in house.aliases.changes("m") if change.alias == "champion"]
    assert changes[0].gate is not None and changes[0].gate.passed
    assert [change.replaced for change in changes[:-1]] == [change.version for change in changes[1:]]


def run_together(*calls: Callable[[], object]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)


@pytest.mark.parametrize("holds", [True, False])
def test_a_version_is_compared_again_when_the_champion_changed_meanwhile(
    house: House, monkeypatch: pytest.MonkeyPatch, holds: bool
) -> None:
    """The comparison takes seconds, in which somebody promotes another version."""
    house.versions(3.0, 2.0, 1.0)
    house.promote(1)
    root: Path = house.plane.workspace.root
    (root / FILE).write_text('[gates.models.m.champion]\nmetric = "mae"\nmargin = 0.1\n')
    compared: list[int] = []

    def check(gate: Any, candidate: Any, champion: Any, *_: Any) -> list[GateCheck]:
        compared.append(champion.version)
        if len(compared) == 1:
            house.aliases.move(house.plane.models._registry.model("m"), "champion", 2)
            return [GateCheck("mae", True, "as good as version 1", "champion")]
        return [GateCheck("mae", holds, "beside version 2", "champion")]

    monkeypatch.setattr(champion_checks, "check_champion", check)
    if holds:
        assert house.promote(3).gate.checks[0].detail == "beside version 2"
    else:
        with pytest.raises(GateFailed, match="beside version 2"):
            house.promote(3)
    assert compared == [1, 2]
    assert house.ours()["champion"] == (3 if holds else 2)

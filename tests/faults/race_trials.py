"""Changes at the same time: gated promotions, and deployments of a new name."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from serving_trials import registered
from trials import Counts, new_workspace

from mlops_workbench.client.bodies import DeployRequest, PromoteRequest
from mlops_workbench.client.client import Client
from mlops_workbench.core.errors import GateFailed

GATE = ["mae < champion.mae"]


def races(promotions: int, deployments: int) -> Counts:
    """Promote two versions at once, again and again: the better one is the champion; `races_wrong` counts the rest."""
    counts = Counts()
    with new_workspace() as workspace, Client.connect(workspace) as client, ThreadPoolExecutor(8) as threads:
        registered(workspace, client, "m", 2.0, 0.95, 0.90)
        while counts["promotions_tried"] < promotions:
            client.promote("m", 1, PromoteRequest("champion"))
            outcomes = together(
                threads, [lambda v=v: client.promote("m", v, PromoteRequest(gate=GATE)) for v in (2, 3)]
            )
            counts["promotions_tried"] += 2
            counts["races_wrong"] += client.models()[0].aliases["champion"] != 3
            counts["races_wrong"] += any(isinstance(o, Exception) and not isinstance(o, GateFailed) for o in outcomes)
            counts["races_wrong"] += isinstance(outcomes[1], Exception)
        changes = [change for change in client.alias_changes("m") if change.alias == "champion"]
        counts["races_wrong"] += [c.replaced for c in changes[:-1]] != [c.version for c in changes[1:]]
        counts["races_wrong"] += sum(c.gate is not None and not c.gate.passed for c in changes)
        for number in range(deployments):
            deploy = lambda name=f"e{number}": client.deploy(name, DeployRequest("m@champion"), timeout=0)  # noqa: E731
            outcomes = together(threads, [deploy] * 7)
            counts["races_wrong"] += sum(isinstance(outcome, Exception) for outcome in outcomes)
            counts["races_wrong"] += len([e for e in client.endpoints() if e.name == f"e{number}"]) != 1
            client.remove_endpoint(f"e{number}")
    return counts


def together(threads: ThreadPoolExecutor, calls: list[Callable[[], Any]]) -> list[Any]:
    """Results or exceptions of calls at the same time."""

    def outcome(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:
            return error

    return list(threads.map(outcome, calls))

"""The way back to the version before."""

from __future__ import annotations

import click

from mlops_workbench.client.bodies import RollbackRequest
from mlops_workbench.commands.completion import endpoint_names
from mlops_workbench.commands.endpoints import endpoint_view, next_steps
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.releases import RollbackPlan


@click.command()
@click.argument("name", shell_complete=endpoint_names)
@click.option("--reason", default="", help="Why; it is kept with the release and in the audit trail.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds to wait until the endpoint is ready.")
@click.pass_obj
def rollback(frontend: FrontEnd, name: str, reason: str, timeout: float) -> View:
    """Return endpoint NAME, or the champion of model NAME, to the version before.

    An alias that the endpoint follows is moved back too. The version that is left is put in quarantine: no further
    rollback, promotion, pipeline or deployment brings it back without --release-quarantine.
    """
    with frontend.client() as client:
        has_endpoint = any(endpoint.name == name for endpoint in client.endpoints())
        is_model = not has_endpoint and any(model.name == name for model in client.models())
        plan = client.plan_rollback_model(name) if is_model else client.plan_rollback(name)
        frontend.progress(_announced(plan))
        request = RollbackRequest(reason.strip() or _asked(frontend, plan), plan.leaves)
        left = f"version {plan.leaves} is in quarantine: {request.reason}"
        if is_model:
            version = client.rollback_model(name, request)
            title = f"rolled back: the champion of {name} is version {version.version}"
            return View(title, notes=[left], data=version)
        returned = client.rollback(name, request, timeout=timeout)
        return endpoint_view(returned, "rolled back", [left, *next_steps(frontend, client, returned)])


def _announced(plan: RollbackPlan) -> str:
    followed = f" (alias '{plan.alias}' of {plan.model})" if plan.alias else f" ({plan.model})"
    passed = "".join(
        f"; version {one.version} is passed over, it is in quarantine: {one.reason}" for one in plan.passed_over
    )
    return f"rollback of {plan.name}: from version {plan.leaves} to version {plan.returns_to}{followed}{passed}"


def _asked(frontend: FrontEnd, plan: RollbackPlan) -> str:
    """The reason, which is asked for where somebody can answer."""
    if reason := frontend.ask(f"Why is version {plan.leaves} left"):
        return reason
    raise InvalidInput(
        f"say why version {plan.leaves} is left",
        where="--reason",
        hint=f"{frontend.prog} rollback {plan.name} --reason 'the answers for new customers are 0'",
    )


COMMANDS = (rollback,)

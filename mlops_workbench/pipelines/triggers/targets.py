"""What can start by itself: a pipeline with triggers, or a notebook of ``schedules.yaml``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from mlops_workbench.core.schedules import TargetKind
from mlops_workbench.pipelines.definition.nouns import PipelineSpec, StartLimits, TriggerKind, TriggerSpec

#: Settings that say how a trigger acts, not what it is: it stays the same trigger when they change.
_MANNER = ("catchup", "cooldown", "secret")


@dataclass(frozen=True)
class Target:
    """A pipeline or a notebook, with what starts it.

    Attributes
    ----------
    name : str
        Name of the pipeline, or of the entry in ``schedules.yaml``.
    folder : str
        Folder of the file; its paths are relative to it.
    notebook : str
        Of a notebook, its path relative to the workspace.
    params : dict
        Of a notebook, the values of its parameters.
    """

    kind: TargetKind
    name: str
    folder: str
    triggers: tuple[TriggerSpec, ...] = ()
    max_active: int = 1
    limits: StartLimits = field(default_factory=StartLimits)
    notebook: str = ""
    params: Mapping[str, object] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Kind and name."""
        return f"{self.kind}:{self.name}"


def target_of_spec(spec: PipelineSpec) -> Target:
    """The target that a spec describes."""
    return Target("pipeline", spec.name, str(spec.path.parent), spec.triggers, spec.max_active, spec.limits)


def trigger_id(target: str, trigger: TriggerSpec) -> str:
    """Identity of a trigger; another time, zone or path makes another one."""
    settings = {name: value for name, value in trigger.settings.items() if name not in _MANNER}
    text = json.dumps(settings, sort_keys=True, default=str)
    return f"{target} {trigger.kind} {hashlib.sha256(text.encode()).hexdigest()[:12]}"


def trigger_text(kind: TriggerKind, settings: Mapping[str, object], target: str = "NAME") -> str:
    """A trigger of a target in a few words."""
    get = settings.get
    match kind:
        case "schedule":
            return f"{get('cron')} {get('timezone')}"
        case "change":
            return ", ".join(map(str, _texts(get("paths"))))
        case "dataset":
            return ", ".join(map(str, _texts(get("names"))))
        case "pipeline":
            return f"{get('name')} {get('state')}"
        case "webhook":
            return f"POST /api/hooks/{quote(target)}, secret in ${get('secret')}"
        case "drift":
            windows = get("windows")
            return f"{get('monitor')}: {get('metric')} > {get('above')}" + (
                f", {windows} windows" if windows != 1 else ""
            )
        case "metric":
            return f"{get('monitor')}: {get('when')}"


def _texts(value: object) -> list[object]:
    return list(value) if isinstance(value, (list, tuple)) else []

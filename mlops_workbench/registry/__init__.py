"""Model versions, promotion and export."""

from __future__ import annotations

from mlops_workbench.registry.aliases import CHAMPION, check_alias
from mlops_workbench.registry.registry import Registry

__all__ = ["CHAMPION", "Registry", "check_alias"]

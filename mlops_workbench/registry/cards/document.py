"""The card as JSON."""

from __future__ import annotations

import msgspec

from mlops_workbench.core.model_card import ModelCard
from mlops_workbench.core.shown.plain_text import visible_json
from mlops_workbench.core.wire.json_numbers import json_value


def card_json(card: ModelCard) -> str:
    """Return a card as JSON."""
    plain = json_value(msgspec.to_builtins(card))
    return visible_json(msgspec.json.format(msgspec.json.encode(plain)).decode()) + "\n"

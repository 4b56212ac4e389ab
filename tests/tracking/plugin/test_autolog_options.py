"""Options of autologging when it is turned on."""

from __future__ import annotations

import importlib.util

import pytest

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.tracking.plugin import autolog


@pytest.mark.parametrize("models", [False, True])
def test_checkpoints_are_written_only_where_models_are_wanted(models: bool) -> None:
    told = {}

    def framework(log_models=True, checkpoint=True, silent=False):
        told.update(log_models=log_models, checkpoint=checkpoint, silent=silent)

    autolog._call(framework, models=models)
    assert told == {"log_models": models, "checkpoint": models, "silent": True}


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is not None, reason="tensorboard is installed")
def test_autologging_that_would_raise_in_a_fit_cannot_be_turned_on() -> None:
    with pytest.raises(InvalidInput, match="tensorboard"):
        autolog.switch_on(["tensorflow"])
    assert autolog.active() == []

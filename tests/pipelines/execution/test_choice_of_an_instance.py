"""An input from a stage with a matrix comes from the instance with the best metric, or the stage fails and says why."""

from __future__ import annotations

import math

import pytest

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.pipelines.execution.choice import choose
from mlops_workbench.pipelines.runs.requests import InputRequest

NAMES = ("train@lr=0.1", "train@lr=0.2", "train@lr=0.3")


def entry(rule: str) -> InputRequest:
    return InputRequest(
        "stage", "train.clf", choose=rule, candidates={name: (f"/{name}", f"clf = '/{name}'") for name in NAMES}
    )


def metrics(*values: float | None) -> dict[str, dict[str, float]]:
    return {
        name: {"loss": 1.0} | ({} if value is None else {"auc": value})
        for name, value in zip(NAMES, values, strict=True)
    }


@pytest.mark.parametrize(
    ("rule", "values", "chosen"),
    [
        ("max auc", (0.1, 0.3, 0.2), 1),
        ("min auc", (0.1, 0.3, 0.2), 0),
        ("max auc", (0.3, 0.3, 0.2), 0),
        ("max auc", (math.nan, None, 0.2), 2),
        ("min auc", (math.nan, 0.5, math.nan), 1),
        ("min auc", (-math.inf, 0.5, None), 0),
        ("max auc", (1, 2**70, 0.5), 1),
    ],
)
def test_the_best_instance_is_chosen_and_nan_never_wins(
    rule: str, values: tuple[float | None, ...], chosen: int
) -> None:
    choice = choose("clf", entry(rule), metrics(*values))
    assert choice.instance == NAMES[chosen]
    assert (choice.path, choice.source) == (f"/{NAMES[chosen]}", f"clf = '/{NAMES[chosen]}'")
    assert choice.reason.startswith(f"{rule}: ")


def test_without_a_metric_to_choose_by_the_error_names_the_instances_and_the_nearest_metric() -> None:
    with pytest.raises(InvalidInput, match=r"none of train@lr=0.1, .* has a metric 'los'") as error:
        choose("clf", entry("min los"), metrics(None, None, None))
    assert error.value.hint == "did you mean 'loss'?"


def test_a_metric_that_is_nan_everywhere_chooses_nothing() -> None:
    with pytest.raises(InvalidInput, match="'auc' is NaN in all of"):
        choose("clf", entry("max auc"), metrics(math.nan, math.nan, math.nan))

"""The statistics that compare two models say what the textbooks say, and err as often as they claim."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mlops_workbench.registry.statistics import accuracy_difference, auc_difference, loss_difference, mcnemar


def test_mcnemar_is_the_mid_p_value_of_a_published_table() -> None:
    # Fagerland, Lydersen and Laake 2013: airway hyper-responsiveness before and after stem cell transplantation.
    assert mcnemar(7, 1) == pytest.approx(0.0391, abs=5e-5)
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 5) == 1.0


def test_accuracies_of_the_same_rows_are_compared_by_their_disagreements() -> None:
    candidate = np.array([True] * 90 + [False] * 10)
    champion = np.array([True] * 80 + [False] * 15 + [True] * 5)
    found = accuracy_difference(candidate, champion, 0.95)
    assert (found.candidate, found.champion) == (0.9, 0.85)
    assert found.better == pytest.approx(0.05)
    assert found.low < 0.05 < found.high and found.p_value == pytest.approx(mcnemar(10, 5))


def test_areas_are_those_of_scikit_learn_and_their_variance_that_of_pairs() -> None:
    chance = np.random.default_rng(0)
    truth = chance.random(400) < 0.3
    first = truth + chance.normal(size=400)
    second = truth + chance.normal(size=400)
    found = auc_difference(truth, first, second, 0.95)
    assert found.candidate == pytest.approx(roc_auc_score(truth, first))
    assert found.champion == pytest.approx(roc_auc_score(truth, second))

    # DeLong's variance by its definition: the mean of each row's placements.
    def placements(scores):
        wins = (scores[truth][:, None] > scores[~truth][None, :]) + 0.5 * (
            scores[truth][:, None] == scores[~truth][None, :]
        )
        return wins.mean(axis=1), wins.mean(axis=0)

    (a1, b1), (a2, b2) = placements(first), placements(second)
    variance = np.var(a1 - a2, ddof=1) / len(a1) + np.var(b1 - b2, ddof=1) / len(b1)
    assert (found.high - found.low) / 2 == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-6)
    same = auc_difference(truth, first, first, 0.95)
    assert (same.better, same.low, same.high, same.p_value) == (0, 0, 0, None)


def test_equal_losses_have_no_difference() -> None:
    losses = np.arange(50.0)
    found = loss_difference(losses, losses, 0.95)
    assert (found.better, found.low, found.high) == (0, 0, 0)


def test_the_root_of_squared_errors_is_in_the_unit_of_the_target() -> None:
    chance = np.random.default_rng(1)
    errors = chance.normal(size=500)
    found = loss_difference(errors**2, (2 * errors) ** 2, 0.95, np.sqrt)
    assert found.champion == pytest.approx(2 * found.candidate)
    assert found.low < found.better < found.high and found.low > 0


@pytest.mark.parametrize("kind", ["accuracy", "auc", "loss"])
def test_intervals_hold_the_truth_as_often_as_they_claim(kind) -> None:
    """Of 400 comparisons of two equally good models, about one in twenty may exclude no difference."""
    chance = np.random.default_rng(2)
    missed = 0
    for _ in range(400):
        if kind == "accuracy":
            both = chance.random(200) < 0.8
            noise = chance.random((2, 200)) < 0.1
            found = accuracy_difference(both ^ noise[0], both ^ noise[1], 0.95)
        elif kind == "auc":
            truth = chance.random(150) < 0.4
            shared = truth + chance.normal(size=150)
            found = auc_difference(truth, shared + chance.normal(size=150), shared + chance.normal(size=150), 0.95)
        else:
            shared = chance.exponential(size=80)
            found = loss_difference(shared + chance.exponential(size=80), shared + chance.exponential(size=80), 0.95)
        missed += not found.low <= 0 <= found.high
    assert 6 <= missed <= 40, missed

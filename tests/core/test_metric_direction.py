"""What the name of a metric says about its values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.core.metrics import metric_direction

LOWER = (
    "mae loss val_loss valLoss RMSE test/rmse meanSquaredError max_error mean_absolute_percentage_error log_loss"
    " training_log_loss brier_score_loss brier_score hamming_loss mean_poisson_deviance nll negative_log_likelihood"
    " error_rate loss1 MAE5 perplexity wer davies_bouldin_score mean_fit_time"
)
HIGHER = (
    "auc AUC roc_auc val/roc_auc accuracy val_accuracy top_5_accuracy f1 r2 R2 r2_score training_score precision"
    " recall balanced_accuracy neg_mean_absolute_error neg_log_loss d2_log_loss_score explained_variance"
    " log_likelihood matthews_corrcoef average_precision hit@10 ndcg@5 avg/f1-score"
)


@pytest.mark.parametrize("name", LOWER.split())
def test_errors_and_losses_are_to_be_small(name: str) -> None:
    assert metric_direction(name) == "lower"


@pytest.mark.parametrize("name", HIGHER.split())
def test_scores_are_to_be_large(name: str) -> None:
    assert metric_direction(name) == "higher"


@pytest.mark.parametrize(
    "name", ["", "x", "depth", "cv_score_std", "accuracy std", "n_samples", "größe", "learning_rate"]
)
def test_a_name_that_does_not_tell_has_no_direction(name: str) -> None:
    assert metric_direction(name) == ""


@given(st.text())
def test_any_name_can_be_asked(name: str) -> None:
    assert metric_direction(name) in ("lower", "higher", "")

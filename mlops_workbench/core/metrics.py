"""What the name of a metric says: whether lower or higher is better, and whether it is the use of resources."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, TypeVar

#: Which values are better; empty when unknown.
Direction = Literal["lower", "higher", ""]
Value = TypeVar("Value")

#: Begins the names of the metrics that the workbench measures of a run: its use of resources.
SYSTEM_PREFIX = "system/"

_LOWER_WORDS = """
loss losses error errors err mae mse rmse mape smape wape wmape mase msle rmsle mdae medae mad rmspe logloss nll
deviance brier crps pinball perplexity ppl wer cer ter fid aic bic inertia bouldin ece fpr fnr fdr hamming
misclassification distance regret latency time seconds duration cost
"""
_HIGHER_WORDS = """
score accuracy acc auc auroc auprc roc ap map f1 f2 fbeta precision recall r2 d2 sensitivity specificity tpr tnr ppv npv
jaccard iou dice kappa mcc matthews corrcoef correlation spearman pearson silhouette calinski harabasz homogeneity
completeness ndcg dcg mrr hit hits top bleu rouge meteor likelihood elbo gain lift gini ks explained psnr ssim reward
return throughput concordance
"""
#: Neither direction is better for spreads and counts.
_NEITHER_WORDS = "std stdev variance sd count support n rows steps step epoch lr samples rank"

_LOWER = frozenset(_LOWER_WORDS.split())
_HIGHER = frozenset(_HIGHER_WORDS.split())
_NEITHER = frozenset(_NEITHER_WORDS.split())
_WORDS = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+")


def metric_direction(name: str) -> Direction:
    """Return whether lower or higher values of a metric are better, derived from its name.

    The conventions are those of scikit-learn (lower ``*_error``, ``*_loss`` and ``*_deviance`` are better, higher
    ``*_score`` and ``neg_*``) and of MLflow's autologging (``training_log_loss``, ``val_accuracy``).

    Parameters
    ----------
    name : str
        ``mae``, ``val/roc_auc``, ``test meanSquaredError``.

    Returns
    -------
    {"lower", "higher", ""}
        Empty when the name has no known word.
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    # "loss1" counts as "loss", but "f1" and "r2" are words in the lists.
    words += [word.rstrip("0123456789") for word in words]
    if "neg" in words or "negative" in words or "d2" in words:
        # "negative log likelihood" is a loss, but scikit-learn's "neg_" marks a negated loss.
        return "lower" if "likelihood" in words else "higher"
    if "explained" not in words and _NEITHER & set(words):
        return ""
    if any(word in _LOWER or word.endswith(("loss", "error")) for word in words):
        return "lower"
    if any(word in _HIGHER or word.endswith(("auc", "accuracy", "score")) for word in words):
        return "higher"
    return ""


def first_directed(names: Iterable[str]) -> tuple[str, Direction]:
    """Return the first metric whose name gives a direction, with it; empty texts without one.

    Resources of the run (``system/...``) are left out.
    """
    for name in names:
        if not name.startswith(SYSTEM_PREFIX) and (direction := metric_direction(name)):
            return name, direction
    return "", ""


def own_metrics(metrics: Mapping[str, Value]) -> dict[str, Value]:
    """Return the metrics of the user, without the use of resources."""
    return {name: value for name, value in metrics.items() if not name.startswith(SYSTEM_PREFIX)}


def named_metric(text: str) -> tuple[str, Direction]:
    """Return metric and direction of a setting: ``mae``, ``max profit`` or ``min mmd``.

    The direction is empty when neither the prefix nor the name gives it.
    """
    prefix, _, name = text.strip().partition(" ")
    if name.strip() and prefix in ("min", "max"):
        return name.strip(), "lower" if prefix == "min" else "higher"
    return text.strip(), metric_direction(text)

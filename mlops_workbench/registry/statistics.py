"""Comparison of two models on the same rows: how much better one is, and how certain that is.

Pure functions of arrays. Sources: McNemar's test with the mid-p correction (Fagerland, Lydersen and Laake, BMC Medical
Research Methodology 13:91, 2013); the interval for paired proportions of Agresti and Min (Statistics in Medicine
24:729, 2005); DeLong, DeLong and Clarke-Pearson (Biometrics 44:837, 1988) in the form of Sun and Xu (2014); the
bias-corrected and accelerated bootstrap of Efron (1987).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

Array = np.ndarray[Any, Any]

_RESAMPLES, _SEED = 2000, 20_260_303
#: Rows whose resamples are drawn at once.
_BLOCK = 4_000_000


@dataclass(frozen=True)
class Difference:
    """How much better the candidate is than the champion; positive is better.

    Attributes
    ----------
    candidate, champion : float
        Values of the metric.
    better : float
        The difference, positive if the candidate is better.
    low, high : float
        Its two-sided confidence interval.
    p_value : float or None
        Of the hypothesis that there is no difference; None where only the interval is computed.
    method : str
        Name of the method.
    """

    candidate: float
    champion: float
    better: float
    low: float
    high: float
    p_value: float | None
    method: str


def accuracy_difference(candidate: Array, champion: Array, confidence: float) -> Difference:
    """Compare the shares of right answers.

    Parameters
    ----------
    candidate, champion : ndarray of bool of shape (rows,)
        Whether each answer is right.
    confidence : float
        Level of the interval, such as 0.95.
    """
    rows = len(candidate)
    gained, lost = int((candidate & ~champion).sum()), int((~candidate & champion).sum())
    # Agresti and Min: half a row is added to each of the four cells.
    total, more, fewer = rows + 2, gained + 0.5, lost + 0.5
    center = (more - fewer) / total
    half = float(stats.norm.ppf(0.5 + confidence / 2)) * np.sqrt((more + fewer) / total**2 - center**2 / total)
    return Difference(
        float(candidate.mean()), float(champion.mean()), (gained - lost) / rows,
        max(center - half, -1.0), min(center + half, 1.0), mcnemar(gained, lost), "McNemar, mid-p",
    )  # fmt: skip


def mcnemar(gained: int, lost: int) -> float:
    """Return the mid-p value of McNemar's exact test for the numbers of rows that only one of two models has right."""
    discordant = gained + lost
    if not discordant:
        return 1.0
    least = min(gained, lost)
    binomial = stats.binom(discordant, 0.5)
    return min(1.0, float(2 * binomial.cdf(least) - binomial.pmf(least)))


def auc_difference(truth: Array, candidate: Array, champion: Array, confidence: float) -> Difference:
    """Compare areas under the ROC curve by the method of DeLong.

    Parameters
    ----------
    truth : ndarray of bool of shape (rows,)
        Whether each row is of the positive class; there are at least two rows of each.
    candidate, champion : ndarray of float of shape (rows,)
        Scores, higher for the positive class.
    """
    scores = np.stack([candidate, champion])
    positive, negative = scores[:, truth], scores[:, ~truth]
    m, n = positive.shape[1], negative.shape[1]
    ranks = np.stack([stats.rankdata(row) for row in np.concatenate([positive, negative], axis=1)])
    among = np.stack([stats.rankdata(row) for row in positive])
    among_negative = np.stack([stats.rankdata(row) for row in negative])
    areas = (ranks[:, :m].sum(axis=1) - m * (m + 1) / 2) / (m * n)
    by_positive = (ranks[:, :m] - among) / n
    by_negative = 1 - (ranks[:, m:] - among_negative) / m
    covariance = np.cov(by_positive) / m + np.cov(by_negative) / n
    better = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    deviation = np.sqrt(max(variance, 0.0))
    half = float(stats.norm.ppf(0.5 + confidence / 2)) * deviation
    p_value = float(2 * stats.norm.sf(abs(better) / deviation)) if deviation > 0 else None
    return Difference(float(areas[0]), float(areas[1]), better, better - half, better + half, p_value, "DeLong")


def loss_difference(
    candidate: Array, champion: Array, confidence: float, value: Callable[[Array], Array] = lambda mean: mean
) -> Difference:
    """Compare the mean losses of two models by a paired bootstrap (BCa).

    Parameters
    ----------
    candidate, champion : ndarray of float of shape (rows,)
        Loss in each row.
    confidence : float
        Level of the interval.
    value : callable
        From a mean loss to the metric, such as the root for squared errors; increasing.
    """
    rows = len(candidate)
    found = value(np.array([candidate.mean(), champion.mean()]))
    better = float(found[1] - found[0])
    draws = _resampled(candidate, champion, value)
    # Each row left out once.
    left = np.stack([(losses.sum() - losses) / (rows - 1) for losses in (candidate, champion)])
    jackknife = value(left[1]) - value(left[0])
    low, high = _bca(better, draws, jackknife, confidence)
    return Difference(float(found[0]), float(found[1]), better, low, high, None, "paired bootstrap, BCa")


def _resampled(candidate: Array, champion: Array, value: Callable[[Array], Array]) -> Array:
    random = np.random.default_rng(_SEED)
    rows = len(candidate)
    both = np.stack([candidate, champion], axis=1)
    block = max(1, _BLOCK // rows)
    means = np.concatenate(
        [
            both[random.integers(rows, size=(min(block, _RESAMPLES - start), rows))].mean(axis=1)
            for start in range(0, _RESAMPLES, block)
        ]
    )
    return value(means[:, 1]) - value(means[:, 0])


def _bca(observed: float, draws: Array, jackknife: Array, confidence: float) -> tuple[float, float]:
    below = (float((draws < observed).sum()) + 0.5 * float((draws == observed).sum())) / len(draws)
    if not 0 < below < 1:
        # All resamples are on one side: the difference is the same in every row.
        return float(draws.min()), float(draws.max())
    bias = stats.norm.ppf(below)
    spread = jackknife.mean() - jackknife
    scale = float((spread**2).sum()) ** 1.5
    acceleration = float((spread**3).sum()) / (6 * scale) if scale > 0 else 0.0
    limits = []
    for level in (0.5 - confidence / 2, 0.5 + confidence / 2):
        shifted = bias + stats.norm.ppf(level)
        limits.append(float(stats.norm.cdf(bias + shifted / (1 - acceleration * shifted))))
    low, high = np.quantile(draws, limits)
    return float(low), float(high)

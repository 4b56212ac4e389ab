"""Drift: test whether a window of live data has the distribution of the reference.

A column drifts when the difference is both *significant* and *large enough to matter*. Significant: the p-value of a
permutation test at this window size survives the Benjamini-Hochberg correction over all columns. Large
enough: the effect reaches a floor. Thresholds on the effect alone (a Wasserstein distance of 0.1, a population
stability index of 0.1) give false alarms on most columns of a window of 100 rows; p-values alone report unimportant
differences in a window of 50,000.

Notes
-----
Numbers: the 1-Wasserstein distance divided by the standard deviation of the reference. Text, booleans and
labels: the total variation distance over the 50 most frequent categories of both sides together and the rest.
The share of missing values has its own test, with a floor of two percentage points; a column drifts when
one of its tests rejects. Numbers that are not finite count as missing.

The permutation test counts values in cells: the distinct values where there are few, else quantile cells of the
pooled sample. A random split of the pooled rows is equivalent to drawing the cells' counts from the
multivariate hypergeometric distribution, so no rows are permuted. The cells depend on the pooled sample only and
not on the side of a row, hence the test on cell counts is exact for any number of cells; cells only
reduce the power slightly. The reported effect is computed from the values themselves.

References
----------
.. [1] L. N. Vaserstein, "Markov processes over denumerable products of spaces", 1969; the distance between two
   samples in one dimension is the area between their distribution functions (Vallender, 1974).
.. [2] B. Phipson, G. K. Smyth, "Permutation P-values should never be zero", Stat. Appl. Genet. Mol. Biol. 9, 2010.
.. [3] J. Besag, P. Clifford, "Sequential Monte Carlo p-values", Biometrika 78, 1991.
.. [4] Y. Benjamini, Y. Hochberg, "Controlling the false discovery rate", J. R. Stat. Soc. B 57, 1995.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, hypergeom, wasserstein_distance

from mlops_workbench.core.monitors import FeatureDrift
from mlops_workbench.core.settings import MonitoringSettings
from mlops_workbench.data.compare.columns import ColumnValues, pair_columns

#: Number of categories that are distinguished; the rest counts as one.
TOP_CATEGORIES = 50

#: Smallest change of the share of missing values that counts.
MISSING_FLOOR = 0.02

_CELLS = 128
_MOST_PERMUTATIONS = 20_000
_BATCH = 2_000


def find_drift(
    reference: pa.Table,
    window: pa.Table,
    settings: MonitoringSettings,
    *,
    categorical: Collection[str] = (),
    seed: int = 0,
) -> list[FeatureDrift]:
    """Compare the columns that a window and its reference share.

    Parameters
    ----------
    reference, window : pyarrow.Table
        Columns of the same name are compared; others are left out.
    settings : MonitoringSettings
        `max_rows`, `permutations`, `alpha` and the floors.
    categorical : collection of str
        Columns whose numbers are labels, not quantities.
    seed : int
        The same seed gives the same result.

    Returns
    -------
    list of FeatureDrift
        In the order of the reference's columns. A column without values on one side, and without a
        significant change of missing values, has effect 0 and p-value 1.
    """
    # Each side is sampled with its own generator, so that equal positions do not select related rows.
    reference = _sample(reference, settings.max_rows, np.random.default_rng([seed, 1]))
    window = _sample(window, settings.max_rows, np.random.default_rng([seed, 2]))
    tests: list[_Test] = []
    for name in reference.column_names:
        if name not in window.column_names:
            continue
        left, right = pair_columns(reference[name], window[name], categorical=name in categorical)
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        tests += [_values_test(name, left, right, settings, rng), _missing_test(name, left, right)]
    # A hypothesis that cannot be rejected (no value on one side, none missing) is left out of the correction.
    real = [test for test in tests if test.possible]
    for test in real:
        test.p_value = test.sample(settings.permutations)
    _refine(real, settings)
    adjusted = false_discovery_control([test.p_value for test in real], method="bh") if real else []
    for test, value in zip(real, adjusted, strict=True):
        test.drifted = bool(value <= settings.alpha) and test.effect >= test.floor
    return [_feature(values, missing) for values, missing in zip(tests[::2], tests[1::2], strict=True)]


@dataclass
class _Test:
    """A hypothesis about a column; `sample` returns its p-value from a number of permutations."""

    name: str
    kind: Literal["numeric", "categorical"]
    effect: float
    floor: float
    signed: float
    possible: bool
    sample: Callable[[int], float]
    p_value: float = 1.0
    drifted: bool = False


def _feature(values: _Test, missing: _Test) -> FeatureDrift:
    decisive = missing if missing.drifted and not values.drifted else values
    return FeatureDrift(
        values.name,
        values.kind,
        effect=values.effect,
        floor=values.floor,
        p_value=decisive.p_value,
        missing_change=missing.signed,
        drifted=values.drifted or missing.drifted,
    )


def _refine(tests: list[_Test], settings: MonitoringSettings) -> None:
    # With 500 permutations no p-value is below 1/501, which for more than 25 columns exceeds the limit that the
    # correction sets for the smallest. Tests without an exceedance get more permutations, as in [3]; their p-value
    # stays valid because sampling stops early only after an exceedance.
    permutations = min(_MOST_PERMUTATIONS, int(2 * len(tests) / settings.alpha))
    smallest = 1 / (settings.permutations + 1)
    if permutations <= settings.permutations:
        return
    for test in tests:
        if test.effect >= test.floor and test.p_value <= smallest:
            test.p_value = test.sample(permutations)


def _values_test(
    name: str, left: ColumnValues, right: ColumnValues, settings: MonitoringSettings, rng: np.random.Generator
) -> _Test:
    floor = settings.numeric_effect if left.kind == "numeric" else settings.categorical_effect
    n_left, n_right = len(left.values), len(right.values)
    if not n_left or not n_right:
        return _Test(name, left.kind, 0.0, floor, 0.0, False, lambda _: 1.0)
    pooled = np.concatenate([left.values, right.values])
    if left.kind == "numeric":
        cells, positions = _numeric_cells(pooled)
        gaps = np.diff(positions)
        effect = _shift(left.values, right.values)

        def statistic(counts: NDArray[Any], totals: NDArray[Any]) -> NDArray[np.float64]:
            first = np.cumsum(totals - counts, axis=-1)[..., :-1] / n_left
            second = np.cumsum(counts, axis=-1)[..., :-1] / n_right
            area: NDArray[np.float64] = np.abs(first - second) @ gaps
            return area
    else:
        cells = _categorical_cells(pooled)

        def statistic(counts: NDArray[Any], totals: NDArray[Any]) -> NDArray[np.float64]:
            shares: NDArray[np.float64] = np.abs((totals - counts) / n_left - counts / n_right).sum(axis=-1)
            return shares / 2

    totals = np.bincount(cells)
    observed_counts = np.bincount(cells[n_left:], minlength=len(totals))
    observed = float(statistic(observed_counts[None, :], totals)[0])
    if left.kind == "categorical":
        effect = observed

    def sample(permutations: int) -> float:
        reached = 0
        for start in range(0, permutations, _BATCH):
            size = min(_BATCH, permutations - start)
            counts = rng.multivariate_hypergeometric(totals, n_right, size=size, method="marginals")
            # The tolerance counts permutations that equal the data in spite of rounding.
            reached += int(np.count_nonzero(statistic(counts, totals) >= observed * (1 - 1e-12)))
        return (reached + 1) / (permutations + 1)

    return _Test(name, left.kind, effect, floor, effect, len(totals) > 1, sample)


def _missing_test(name: str, left: ColumnValues, right: ColumnValues) -> _Test:
    change = right.missing / max(right.rows, 1) - left.missing / max(left.rows, 1)

    def sample(_: int) -> float:
        # Exact over all permutations: the number of missing values on one side is hypergeometric.
        total, missing, drawn = left.rows + right.rows, left.missing + right.missing, right.rows
        low = float(hypergeom.cdf(right.missing, total, missing, drawn))
        high = float(hypergeom.sf(right.missing - 1, total, missing, drawn))
        return min(1.0, 2 * min(low, high))

    possible = left.missing + right.missing > 0 and left.rows > 0 and right.rows > 0
    return _Test(name, left.kind, abs(change), MISSING_FLOOR, change, possible, sample)


def _shift(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    distance = float(wasserstein_distance(left, right))
    scale = float(np.std(left))
    largest = float(np.abs(left).max())
    if scale <= 1e-9 * largest or scale == 0.0:
        # The reference is constant up to rounding: use the standard deviation of both sides together.
        if distance <= 1e-9 * largest:
            return 0.0
        scale = float(np.std(np.concatenate([left, right])))
    return distance / scale if scale > 0 else 0.0


def _numeric_cells(pooled: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    distinct, cells = np.unique(pooled, return_inverse=True)
    if len(distinct) <= _CELLS:
        return cells, distinct
    edges = np.unique(np.quantile(pooled, np.linspace(0, 1, _CELLS + 1)[1:-1]))
    cells = np.searchsorted(edges, pooled, side="left")
    _, cells = np.unique(cells, return_inverse=True)
    return cells, np.bincount(cells, weights=pooled) / np.bincount(cells)


def _categorical_cells(pooled: NDArray[Any]) -> NDArray[np.int64]:
    distinct, cells, counts = np.unique(pooled, return_inverse=True, return_counts=True)
    if len(distinct) <= TOP_CATEGORIES + 1:
        return cells
    place = np.full(len(distinct), TOP_CATEGORIES)
    place[np.argsort(-counts, kind="stable")[:TOP_CATEGORIES]] = np.arange(TOP_CATEGORIES)
    return place[cells]


def _sample(table: pa.Table, rows: int, rng: np.random.Generator) -> pa.Table:
    if table.num_rows <= rows:
        return table
    return table.take(pa.array(np.sort(rng.choice(table.num_rows, rows, replace=False))))

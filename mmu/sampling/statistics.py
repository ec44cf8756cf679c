"""Estimates from a stratified sample of units, with confidence intervals of 95 %.

    mean = sum of W_h mean_h,   variance = sum of W_h^2 (1 - f_h) s_h^2 / n_h

over strata h, of which n_h of N_h units were measured, f_h = n_h / N_h, W_h = N_h / N (Cochran,
Sampling Techniques, 3rd ed., 5.3); a ratio of two sums is the combined ratio estimator (6.11),
whose variance is that of y - R x. The interval is Student's, with Satterthwaite's degrees of
freedom (5.4). A sample of every k-th unit is taken as one by chance, as SMARTS does. What
regression leaves of a unit is enlarged by its leverage, as the jackknife does (HC3: MacKinnon and
White, Journal of Econometrics 29, 1985).
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95

#: Of what is known of units, the part of the largest that is nothing but rounding.
TINY = 1e-6

#: Of a unit in a regression, from which on what it leaves tells nothing: a choice.
MOST_LEVERAGE = 0.8


class Estimate(NamedTuple):
    """A number of the whole trace. low, high: ends of its confidence interval; None where a stratum
    had one unit of several measured. cv: coefficient of variation of the units that it is from."""

    value: float
    low: float | None
    high: float | None
    cv: float

    @property
    def margin(self) -> float | None:
        """Half of the interval, of which the lower end is not below 0 where counts are not."""
        return None if self.high is None else self.high - self.value


class Sample:
    """What was measured. stratum: of each unit. sizes: units of each stratum in all. known: of each
    unit, float64[unit, n], numbers whose means over all units of the trace are 0; estimates are
    corrected by what they tell of units."""

    def __init__(self, stratum: np.ndarray, sizes: np.ndarray, known: np.ndarray) -> None:
        self._stratum = stratum
        self._known = known
        self._measured = np.bincount(stratum, minlength=len(sizes))
        self._weights = sizes / sizes.sum()
        self._left = 1 - self._measured / sizes
        # Least squares, each unit with the weight that it has in the mean.
        weights = np.sqrt(self._weights / self._measured)[stratum]
        centred = known - (weights[:, None] ** 2 * known).sum(axis=0)
        self._solve = np.linalg.pinv(weights[:, None] * centred, rcond=TINY) * weights
        # A unit that a slope goes by leaves less than others of its kind would.
        leverage = np.minimum((centred * self._solve.T).sum(axis=1), MOST_LEVERAGE)
        self._more = leverage / (1 - leverage)

    def mean(self, values: np.ndarray) -> float:
        """Of all units, from those of the measured, float64[unit]."""
        return self._mean(self._corrected(values))

    def _mean(self, values: np.ndarray) -> float:
        sums = np.bincount(self._stratum, values, len(self._weights))
        return float((self._weights * sums / self._measured).sum())

    def _corrected(self, values: np.ndarray) -> np.ndarray:
        """Values less what is known to make units differ: the mean of that is 0 over all units."""
        slopes = self._solve @ (values - self._mean(values))
        return np.asarray(values - self._known @ slopes)

    def ratio(self, above: np.ndarray, below: np.ndarray, scale: float = 1.0) -> Estimate:
        """Of two sums over all units, times `scale`."""
        whole = self.mean(below)
        if not whole:
            return Estimate(0.0, 0.0, 0.0, 0.0)
        value = self.mean(above) / whole
        left = above - value * below
        margin = self._margin(left) / abs(whole)
        cv = math.sqrt(self._mean(left**2)) / abs(value * whole) if value else 0.0
        if math.isnan(margin):
            return Estimate(scale * value, None, None, cv)
        low = value - margin if (above < 0).any() else max(0.0, value - margin)
        return Estimate(scale * value, scale * low, scale * (value + margin), cv)

    def _margin(self, values: np.ndarray) -> float:
        error, freedom = self._error(values)
        return student(freedom) * error if error else error

    def _error(self, values: np.ndarray) -> tuple[float, float]:
        """(standard error of the mean, degrees of freedom). NaN where a stratum does not tell."""
        values = self._corrected(values)
        values = values + self._more * (values - self._mean(values))
        parts, below = 0.0, 0.0
        for stratum, (measured, weight, left) in enumerate(
            zip(self._measured, self._weights, self._left, strict=True)
        ):
            if left == 0:
                continue
            if measured < 2:
                return math.nan, 1.0
            part = weight**2 * left * values[self._stratum == stratum].var(ddof=1) / measured
            parts += part
            below += part**2 / (measured - 1)
        return math.sqrt(parts), parts**2 / below if below else 1.0


def student(freedom: float) -> float:
    """The quantile of Student's distribution that CONFIDENCE of it lies within, on both sides of 0.
    freedom: degrees, at least 1; to two digits."""
    return _quantile(round(freedom, 2))


@cache
def _quantile(freedom: float) -> float:
    low, high = 1.9, 12.8  # 1.960 in the end, 12.706 at 1 degree of freedom
    while high - low > 1e-7:
        middle = (low + high) / 2
        outside = _incomplete_beta(freedom / (freedom + middle * middle), freedom / 2, 0.5)
        low, high = (middle, high) if outside > 1 - CONFIDENCE else (low, middle)
    return low


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """Regularised, by its continued fraction (DLMF 8.17.22) where that converges soon."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(1 - x, b, a)
    front = math.exp(
        a * math.log(x) + b * math.log1p(-x)
        + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    ) / a  # fmt: skip
    fraction = 1.0
    for m in range(60, 0, -1):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m - 1) * (a + b + m - 1) * x / ((a + 2 * m - 2) * (a + 2 * m - 1))
        fraction = 1 + odd / (1 + even / fraction)
    return front / fraction

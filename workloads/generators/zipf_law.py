"""Zipf's law: a key's frequency is its rank to the power of -theta."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.kernels.compiling import inlined


def apart(theta: float) -> float:
    """The skew, or one a millionth above 1 where it is nearer to 1 than that.

    At 1 the formulas below have the limit log(n); near it they lose digits.
    """
    return 1.0 + 1e-6 if abs(theta - 1.0) < 1e-6 else theta


def zeta_of(keys: int, theta: float) -> float:
    """The sum of rank**-theta over ranks 1 to keys.

    Beyond the first ranks by the Euler-Maclaurin formula (Knuth, TAOCP vol. 1, 1.2.11.2)
    up to the first derivative; the next term is below 1e-15 of the sum. A skew too near 1
    for the formulas is to be made `apart` first.
    """
    head = min(keys, 10_000)
    total = float(np.sum(np.arange(1, head + 1, dtype=np.float64) ** -theta))
    if keys > head:
        low, high = float(head), float(keys)
        total += (high ** (1 - theta) - low ** (1 - theta)) / (1 - theta)
        total += (high**-theta - low**-theta) / 2
        total -= theta * (high ** (-theta - 1) - low ** (-theta - 1)) / 12
    return total


@inlined
def rank_of(drawn, keys, theta, zeta):
    """A rank from 0 by Zipf's law for a number drawn from [0, 1), in constant time.

    Gray et al., Quickly generating billion-record synthetic databases, SIGMOD 1994,
    figure 3; YCSB's ZipfianGenerator. Ranks 0 and 1 are exact, others approximate. Gray et
    al. give it for a skew below 1; the inversion of the power law holds above 1 as well.
    """
    second = 1.0 + 0.5**theta
    if drawn * zeta < 1.0:
        return np.int64(0)
    if drawn * zeta < second:
        return np.int64(1)
    eta = (1.0 - (2.0 / keys) ** (1.0 - theta)) / (1.0 - second / zeta)
    return min(np.int64(keys * (eta * drawn - eta + 1.0) ** (1.0 / (1.0 - theta))), keys - 1)

"""Random numbers of the generators: splitmix64, a hash of (seed, position).

Stateless, so that access n is the same whatever the chunks are. Constants and shifts
are those of Steele, Lea and Flood, Fast splittable pseudorandom number generators,
OOPSLA 2014, as published by S. Vigna (prng.di.unimi.it/splitmix64.c).
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.kernels.compiling import inlined

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_S32 = np.uint64(32)


@inlined
def hashed(seed, position):
    """64 random bits as uint64."""
    z = np.uint64(seed) * _FIRST + (np.uint64(position) + np.uint64(1)) * _GAMMA
    z = (z ^ (z >> _S30)) * _FIRST
    z = (z ^ (z >> _S27)) * _SECOND
    return z ^ (z >> _S31)


@inlined
def below(seed, position, bound):
    """A number in [0, bound), bound < 2**53: the top bits scaled (bias below bound / 2**53)."""
    return np.int64(np.float64(hashed(seed, position) >> _S11) * (bound * 2.0**-53))


@inlined
def unit(seed, position):
    """A float in [0, 1)."""
    return np.float64(hashed(seed, position) >> _S11) * 2.0**-53

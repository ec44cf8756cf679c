"""The random numbers of the generators, a second time in plain Python."""

from __future__ import annotations


def splitmix64(seed: int, position: int) -> int:
    """The generators' hash, written a second time."""
    mask = (1 << 64) - 1
    z = (seed * 0xBF58476D1CE4E5B9 + (position + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def unit(seed: int, position: int) -> float:
    return (splitmix64(seed, position) >> 11) / 2**53


def below(seed: int, position: int, bound: int) -> int:
    return int((splitmix64(seed, position) >> 11) * (bound / 2**53))

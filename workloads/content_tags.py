"""Tags of what pages hold, for CONTENT events: equal pages have equal tags.

0                     zeros
1 .. 2**62 - 1        anything else
2**62 .. 2**63 - 1    a page of a file, which a guest can drop and read again
"""

from __future__ import annotations

import hashlib

import numpy as np

ZERO = 0
FILE = 1 << 62
_MASK = np.uint64(FILE - 1)


def _mixed(name: str, numbers: np.ndarray) -> np.ndarray:
    """62 bits for each number, by splitmix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    start = np.frombuffer(hashlib.blake2b(name.encode(), digest_size=8).digest(), np.uint64)[0]
    with np.errstate(over="ignore"):
        z = start + (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z & _MASK).astype(np.int64)


def file_pages(name: str, numbers: np.ndarray) -> np.ndarray:
    """Tags of pages of a file, by its name and their numbers: int64."""
    tags: np.ndarray = _mixed("file " + name, numbers) | FILE
    return tags


def unique_pages(owner: str, numbers: np.ndarray) -> np.ndarray:
    """Tags of pages that nobody but the owner has, equal for equal numbers: int64."""
    tags: np.ndarray = np.maximum(_mixed("unique " + owner, numbers), 1)
    return tags

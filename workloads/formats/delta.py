"""The columnar file's DELTA encoding: differences within a kind, as byte planes."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.trace import FETCH


def delta_encoded(address: np.ndarray, kind: np.ndarray) -> bytes:
    """A column of addresses, each as its difference to the one before it of the same kind."""
    delta = np.empty_like(address)
    for which in range(FETCH + 1):
        mine = kind == which
        delta[mine] = np.diff(address[mine], prepend=np.int64(0))
    folded = (delta << 1) ^ (delta >> 63)  # small differences of either sign: small numbers
    return np.ascontiguousarray(folded.view(np.uint8).reshape(-1, 8).T).tobytes()


def delta_decoded(data: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """The addresses again."""
    planes = data.reshape(8, -1)
    folded = np.ascontiguousarray(planes.T).view(np.int64).reshape(-1)
    delta = ((folded >> 1) & np.int64((1 << 63) - 1)) ^ -(folded & 1)
    address = np.empty(len(delta), np.int64)
    for which in range(FETCH + 1):
        mine = kind == which
        address[mine] = np.cumsum(delta[mine])
    return address

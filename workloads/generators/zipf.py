"""A key-value store whose keys are drawn from a Zipf distribution, as in YCSB."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmu.jit import entry
from mmu.trace import LOAD, STORE, Chunk
from workloads.generators.parameters import (
    ACCESSES,
    ARENA,
    HEAP,
    WORD,
    Parameter,
    mapped,
    stream,
)
from workloads.generators.randoms import hashed, unit

SUMMARY = (
    "GETs and PUTs of a hash table, keys by Zipf's law, hot keys scattered "
    "(YCSB, Cooper et al., SoCC 2010)"
)
PARAMETERS = {
    "keys": Parameter(1_000_000, "keys in the store", least=2, most=1 << 32),
    "value": Parameter(1000, "bytes of a value", "bytes", WORD, 1 << 20),
    "theta": Parameter(0.99, "skew; YCSB's constant is 0.99", "fraction", 0.01, 0.999),
    "read": Parameter(0.95, "fraction of GETs; YCSB workload B", "fraction", 0, 1),
    "accesses": ACCESSES,
}

_LINE = 64


@entry
def _zeta(keys, theta):
    total = 0.0
    for rank in range(1, keys + 1):
        total += rank**-theta
    return total


@entry
def _fill(first, address, kind, seed, keys, value, theta, read, zeta):
    """An operation is a load of the key's bucket, then each line of the value.

    The rank is drawn in constant time (Gray et al., Quickly generating billion-record
    synthetic databases, SIGMOD 1994, figure 3), which is YCSB's ZipfianGenerator; hashing
    it scatters hot keys over the store, as its ScrambledZipfianGenerator does.
    """
    lines = 1 + (value - 1) // _LINE
    steps = 1 + lines
    alpha = 1.0 / (1.0 - theta)
    second = 1.0 + 0.5**theta
    eta = (1.0 - (2.0 / keys) ** (1.0 - theta)) / (1.0 - second / zeta)
    for position in range(address.size):
        operation, step = divmod(first + position, steps)
        drawn = unit(seed, 2 * operation)
        if drawn * zeta < 1.0:
            rank = 0
        elif drawn * zeta < second:
            rank = 1
        else:
            rank = np.int64(keys * (eta * drawn - eta + 1.0) ** alpha)
        key = np.int64(hashed(0, min(rank, keys - 1)) % np.uint64(keys))
        is_read = unit(seed, 2 * operation + 1) < read
        if step == 0:
            address[position] = HEAP + key * WORD
            kind[position] = LOAD
        else:
            address[position] = ARENA + key * value + (step - 1) * _LINE
            kind[position] = LOAD if is_read else STORE


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    keys, value = int(parameters["keys"]), int(parameters["value"])
    value = -(-value // WORD) * WORD  # so that every access is aligned and inside
    theta, read = float(parameters["theta"]), float(parameters["read"])
    zeta = _zeta(keys, theta)
    return stream(
        int(parameters["accesses"]),
        mapped((HEAP, keys * WORD), (ARENA, keys * value)),
        lambda first, address, kind: _fill(
            first, address, kind, seed, keys, value, theta, read, zeta
        ),
    )

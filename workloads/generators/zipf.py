"""A key-value store whose keys are drawn from a Zipf distribution, as in YCSB."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.trace import INDEPENDENT, LOAD, STORE, Chunk
from mmulab.workloads.generators.origins import Depends, repeated
from mmulab.workloads.generators.parameters import (
    ACCESSES,
    ARENA,
    HEAP,
    LARGEST_ARENA,
    WORD,
    Parameter,
    mapped,
    stream,
)
from mmulab.workloads.generators.randoms import hashed, unit
from mmulab.workloads.generators.zipf_law import rank_of, zeta_of

SUMMARY = (
    "GETs and PUTs of a hash table, keys by Zipf's law, hot keys scattered "
    "(YCSB, Cooper et al., SoCC 2010)"
)
PARAMETERS = {
    "keys": Parameter(1_000_000, "keys in the store", least=2, most=1 << 32),
    "value": Parameter(
        1000, "bytes of a value; YCSB has ten fields of 100", "bytes", WORD, 1 << 20
    ),
    "theta": Parameter(0.99, "skew; YCSB's constant is 0.99", "fraction", 0.01, 0.999),
    "read": Parameter(0.95, "fraction of GETs; YCSB workload B", "fraction", 0, 1),
    "accesses": ACCESSES,
}

_LINE = 64


@entry
def _fill(first, address, kind, seed, keys, value, theta, read, zeta):
    """An operation is a load of the key's bucket, then each line of the value.

    Hashing the rank scatters hot keys over the store, and lets some keys share a place, as
    YCSB's ScrambledZipfianGenerator does. It draws ranks from 10**10 keys however many the
    store has; here the law is that of the store's own keys. The hash is splitmix64, not FNV.
    """
    steps = 2 + (value - 1) // _LINE
    position = 0
    while position < address.size:
        operation, step = divmod(first + position, steps)
        rank = rank_of(unit(seed, 2 * operation), keys, theta, zeta)
        key = np.int64(hashed(0, rank) % np.uint64(keys))
        what = LOAD if unit(seed, 2 * operation + 1) < read else STORE
        if step == 0:
            address[position] = HEAP + key * WORD
            kind[position] = LOAD
            position += 1
            step = 1
        for line in range(step - 1, min(steps - 1, step - 1 + address.size - position)):
            address[position] = ARENA + key * value + line * _LINE
            kind[position] = what
            position += 1


def _stored(parameters: dict[str, int | float]) -> int:
    """Bytes from one value to the next: whole words, so that accesses are aligned."""
    return -(-int(parameters["value"]) // WORD) * WORD


def check(parameters: dict[str, int | float]) -> None:
    keys, most = int(parameters["keys"]), LARGEST_ARENA // _stored(parameters)
    if keys > most:
        raise InputError(
            f"zipf: keys={keys}: expected at most {most} for values of "
            f"{int(parameters['value'])} bytes"
        )


def depends(parameters: dict[str, int | float]) -> Depends:
    """The key's hash makes the bucket's address; what the bucket holds, that of each line."""
    lines = 1 + (_stored(parameters) - 1) // _LINE
    return repeated([INDEPENDENT, *range(1, lines + 1)])


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    keys, value = int(parameters["keys"]), _stored(parameters)
    theta, read = float(parameters["theta"]), float(parameters["read"])
    zeta = zeta_of(keys, theta)
    return stream(
        int(parameters["accesses"]),
        mapped((HEAP, keys * WORD), (ARENA, keys * value)),
        lambda first, address, kind: _fill(
            first, address, kind, seed, keys, value, theta, read, zeta
        ),
    )

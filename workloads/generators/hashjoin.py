"""Hash join of two relations: a table built from one, probed by the other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.trace import INDEPENDENT, LOAD, STORE, Chunk
from mmulab.workloads.generators.origins import Depends, numbered
from mmulab.workloads.generators.parameters import ACCESSES, ARENA, HEAP, Parameter, mapped, stream
from mmulab.workloads.generators.permutation import permuted, shape
from mmulab.workloads.generators.randoms import below

SUMMARY = (
    "no-partitioning hash join: build, then probe (Blanas, Li and Patel, SIGMOD 2011; "
    "Balkesen et al., ICDE 2013, whose tuples and buckets these are)"
)
PARAMETERS = {
    "build": Parameter(1 << 20, "tuples of the relation that the table is built from", least=2,
                       most=1 << 34),
    "probe": Parameter(1 << 24, "tuples of the relation that probes it", least=1, most=1 << 34),
    "accesses": ACCESSES,
}  # fmt: skip

_TUPLE = 16  # bytes: key and payload
_BUCKET = 48  # a header of 16 bytes and two tuples
_BUILD, _PROBE = 4, 3  # accesses of a tuple


@entry
def _fill(first, address, kind, seed, build, probe, rows, columns, inputs):
    """The keys of the build side are a permutation, so that hashing modulo the buckets,
    half as many, fills each bucket's two tuples. Build: load the tuple, load and store the
    bucket's header, store the tuple. Probe, keys uniform: load the tuple, the header, the match.
    """
    buckets = (build + 1) >> 1
    built = build * _BUILD
    at = first % (built + probe * _PROBE)
    position = 0
    while position < address.size:
        building = at < built
        if building:
            tuple_, step = divmod(at, _BUILD)
            steps, read, key = _BUILD, tuple_, permuted(seed, tuple_, build, rows, columns)
        else:
            tuple_, step = divmod(at - built, _PROBE)
            steps, read, key = _PROBE, build + tuple_, below(seed, tuple_, build)
        bucket = HEAP + key % buckets * _BUCKET
        while step < steps and position < address.size:
            if step == 0:
                where = inputs + read * _TUPLE
            elif step < steps - 1:
                where = bucket
            else:
                where = bucket + _TUPLE * (1 + key // buckets)
            address[position] = where
            kind[position] = STORE if building and step >= 2 else LOAD
            position += 1
            step += 1
            at += 1
        if at == built + probe * _PROBE:
            at = 0


def depends(parameters: dict[str, int | float]) -> Depends:
    """A counter makes the tuple's address, the tuple's key those of the bucket, and the count in
    the bucket's header that of the place that build stores to. Probe finds the match by
    comparing keys, which makes no address."""
    end = int(parameters["build"]) * _BUILD
    total = end + int(parameters["probe"]) * _PROBE
    build, probe = np.array([INDEPENDENT, 1, 2, 2]), np.array([INDEPENDENT, 1, 2])

    def value(number: np.ndarray) -> np.ndarray:
        at = number % total
        return np.where(at < end, build[at % _BUILD], probe[(at - end) % _PROBE])

    return numbered(value)


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    build, probe = int(parameters["build"]), int(parameters["probe"])
    rows, columns = shape(build)
    return stream(
        int(parameters["accesses"]),
        mapped((HEAP, (build + 1) // 2 * _BUCKET), (ARENA, (build + probe) * _TUPLE)),
        lambda first, address, kind: _fill(
            first, address, kind, seed, build, probe, rows, columns, ARENA
        ),
    )

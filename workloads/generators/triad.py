"""STREAM's kernels: long vectors, each element used once."""

from __future__ import annotations

from collections.abc import Iterator

from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.trace import LOAD, STORE, Chunk
from mmulab.workloads.generators.origins import Depends, independent
from mmulab.workloads.generators.parameters import (
    ACCESSES,
    HEAP,
    WORD,
    choice,
    mapped,
    size,
    stream,
)

SUMMARY = "STREAM's copy, scale, add and triad over vectors (McCalpin, IEEE TCCA Newsletter 1995)"
PARAMETERS = {
    "size": size(64 << 20, "bytes of each of the three vectors a, b and c"),
    "kernel": choice("what is computed", "triad", "add", "copy", "scale"),
    "accesses": ACCESSES,
}

# Vectors by number, in the order of an iteration's accesses; the last is stored to.
# triad a = b + s c; add c = a + b; copy c = a; scale b = s c
_ORDERS = ((1, 2, 0), (0, 1, 2), (0, 2), (2, 1))


@entry
def _fill(first, address, kind, order, words, length):
    steps = order.size
    for position in range(address.size):
        element, step = divmod(first + position, steps)
        address[position] = HEAP + order[step] * length + element % words * WORD
        kind[position] = STORE if step == steps - 1 else LOAD


def depends(parameters: dict[str, int | float]) -> Depends:
    """Counters make all addresses."""
    return independent


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    import numpy as np

    length = -(-int(parameters["size"]) // 4096) * 4096
    words = int(parameters["size"]) // WORD
    order = np.array(_ORDERS[int(parameters["kernel"])])
    return stream(
        int(parameters["accesses"]),
        mapped((HEAP, 3 * length)),
        lambda first, address, kind: _fill(first, address, kind, order, words, length),
    )

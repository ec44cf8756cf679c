"""GUPS: read-modify-write of random words of a table, the TLB's worst case.

The table need not be a power of two. The words are drawn by splitmix64, not by HPC
Challenge's shift register, in which the next word's number is this one's times two, plus
a bit: HPC Challenge hides that by running many registers side by side.
"""

from __future__ import annotations

from collections.abc import Iterator

from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.trace import LOAD, STORE, Chunk
from mmulab.workloads.generators.origins import Depends, independent
from mmulab.workloads.generators.parameters import (
    ACCESSES,
    HEAP,
    WORD,
    Parameter,
    mapped,
    size,
    stream,
)
from mmulab.workloads.generators.randoms import below

SUMMARY = (
    "random updates of a table, each a load and a store "
    "(HPC Challenge RandomAccess, Luszczek et al. 2005)"
)
PARAMETERS = {
    "size": size(256 << 20, "bytes of the table"),
    "accesses": ACCESSES,
    "init": Parameter(1, "1: first a store to each page in order, part of accesses, as HPC "
                      "Challenge fills its table; 0: none", least=0, most=1),
}  # fmt: skip

_PAGE = 4096


@entry
def _fill(first, address, kind, seed, words, initial):
    for position in range(address.size):
        at = first + position
        if at < initial:
            # Filling the table word by word would only add 511 hits to each of these stores.
            address[position] = HEAP + at * _PAGE
            kind[position] = STORE
        else:
            update = at - initial
            address[position] = HEAP + WORD * below(seed, update >> 1, words)
            kind[position] = STORE if update & 1 else LOAD


def depends(parameters: dict[str, int | float]) -> Depends:
    """The words are drawn by a generator of random numbers: no load makes an address, not even
    the load of an update that of its store, which is the same register."""
    return independent


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    length = int(parameters["size"])
    initial = (length - WORD) // _PAGE + 1 if parameters["init"] else 0
    return stream(
        int(parameters["accesses"]),
        mapped((HEAP, length)),
        lambda first, address, kind: _fill(first, address, kind, seed, length // WORD, initial),
    )

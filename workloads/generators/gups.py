"""GUPS: read-modify-write of random words of a table, the TLB's worst case."""

from __future__ import annotations

from collections.abc import Iterator

from mmu.jit import entry
from mmu.trace import LOAD, STORE, Chunk
from workloads.generators.parameters import ACCESSES, HEAP, WORD, Parameter, mapped, size, stream
from workloads.generators.randoms import below

SUMMARY = (
    "random updates of a table, each a load and a store "
    "(HPC Challenge RandomAccess, Luszczek et al. 2005)"
)
PARAMETERS = {
    "size": size(256 << 20, "bytes of the table"),
    "accesses": ACCESSES,
    "init": Parameter(1, "1: the table is written once, in order, before (as HPCC does)", least=0,
                      most=1),
}  # fmt: skip

_PAGE = 4096


@entry
def _fill(first, address, kind, seed, words, initial):
    for position in range(address.size):
        at = first + position
        if at < initial:
            # The table's first touch: a store a page is all that translation sees of it.
            address[position] = HEAP + at * _PAGE
            kind[position] = STORE
        else:
            update = at - initial
            address[position] = HEAP + WORD * below(seed, update >> 1, words)
            kind[position] = STORE if update & 1 else LOAD


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    length = int(parameters["size"])
    initial = length // _PAGE if parameters["init"] else 0
    return stream(
        int(parameters["accesses"]),
        mapped((HEAP, length)),
        lambda first, address, kind: _fill(first, address, kind, seed, length // WORD, initial),
    )

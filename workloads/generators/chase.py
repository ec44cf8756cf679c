"""Pointer chase: each load's address is the value of the one before."""

from __future__ import annotations

from collections.abc import Iterator

from mmu.jit import entry
from mmu.trace import LOAD, Chunk
from workloads.generators.parameters import ACCESSES, HEAP, Parameter, mapped, size, stream

SUMMARY = (
    "a linked list in random order, walked for ever "
    "(lmbench lat_mem_rd, McVoy and Staelin, USENIX ATC 1996)"
)
PARAMETERS = {
    "size": size(256 << 20, "bytes of the list, rounded down to a power of two of nodes"),
    "node": Parameter(64, "bytes of a node", "bytes", 8, 1 << 30),
    "accesses": ACCESSES,
}

# The list's order is x -> a x + c modulo a power of two, a permutation with one cycle where
# c is odd and a mod 8 is 5 (Knuth, TAOCP vol. 2, 3.2.1.2, theorem A), so that a list of any
# size needs no memory. Its low bits alternate regularly; the bits are reversed, so that
# pages, not the bytes in one, are what is irregular.
_A = 0x5851F42D4C957F2D  # Knuth's MMIX multiplier, 6364136223846793005; 5 modulo 8


@entry
def _walk(state, address, kind, bits, node, increment):
    mask = (1 << bits) - 1
    for position in range(address.size):
        state = (state * _A + increment) & mask
        shown = 0
        rest = state
        for _ in range(bits):
            shown = (shown << 1) | (rest & 1)
            rest >>= 1
        address[position] = HEAP + shown * node
        kind[position] = LOAD
    return state


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    length, node = int(parameters["size"]), int(parameters["node"])
    bits = max(0, (length // node).bit_length() - 1)
    state = 0

    def fill(first, address, kind):
        nonlocal state
        state = _walk(state, address, kind, bits, node, 2 * seed + 1)

    return stream(int(parameters["accesses"]), mapped((HEAP, length)), fill)

"""Sequential and strided scans of an array."""

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

SUMMARY = "an array read (or written) again and again, in order or with a stride"
PARAMETERS = {
    "size": size(256 << 20, "bytes of the array"),
    "stride": Parameter(64, "bytes from one access to the next", "bytes", WORD, 1 << 40),
    "write": Parameter(0, "1: stores, 0: loads", least=0, most=1),
    "accesses": ACCESSES,
}


@entry
def _fill(first, address, kind, steps, stride, what):
    at = first % steps
    for position in range(address.size):
        address[position] = HEAP + at * stride
        kind[position] = what
        at += 1
        if at == steps:
            at = 0


def depends(parameters: dict[str, int | float]) -> Depends:
    """Counters make all addresses."""
    return independent


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    length, stride = int(parameters["size"]), int(parameters["stride"])
    steps = max(1, (length - WORD) // stride + 1)
    what = STORE if parameters["write"] else LOAD
    return stream(
        int(parameters["accesses"]),
        mapped((HEAP, length)),
        lambda first, address, kind: _fill(first, address, kind, steps, stride, what),
    )

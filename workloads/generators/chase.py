"""Pointer chase: each load's address is the value of the one before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.trace import INDEPENDENT, LOAD, Chunk
from mmulab.workloads.generators.origins import Depends, numbered
from mmulab.workloads.generators.parameters import ACCESSES, HEAP, Parameter, mapped, size, stream
from mmulab.workloads.generators.permutation import permuted_from, shape

SUMMARY = (
    "a linked list in random order, walked for ever "
    "(lmbench lat_mem_rd, McVoy and Staelin, USENIX ATC 1996)"
)
PARAMETERS = {
    "size": size(256 << 20, "bytes of the list"),
    "node": Parameter(64, "bytes of a node", "bytes", 8, 1 << 30),
    "accesses": ACCESSES,
}


@entry
def _fill(first, address, kind, seed, nodes, rows, columns, node):
    """The list visits permuted(0), permuted(1), ...: one cycle through all nodes."""
    index = first % nodes
    kind[:] = LOAD
    position = 0
    while position < address.size:
        made = permuted_from(seed, index, nodes, rows, columns, address[position:])
        for each in range(position, position + made):
            address[each] = HEAP + address[each] * node
        position += made
        index += made
        if index == nodes:
            index = 0


def check(parameters: dict[str, int | float]) -> None:
    if parameters["node"] > parameters["size"]:
        raise InputError(
            f"chase: node={parameters['node']}: expected at most size={parameters['size']}"
        )


def depends(parameters: dict[str, int | float]) -> Depends:
    """Each address but the first is the value of the load before."""
    return numbered(lambda number: np.where(number == 0, INDEPENDENT, 1))


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    length, node = int(parameters["size"]), int(parameters["node"])
    nodes = length // node
    rows, columns = shape(nodes)
    return stream(
        int(parameters["accesses"]),
        mapped((HEAP, length)),
        lambda first, address, kind: _fill(first, address, kind, seed, nodes, rows, columns, node),
    )

"""Pointer chase: each load's address is the value of the one before."""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt

from mmu.errors import InputError
from mmu.jit import entry, inlined
from mmu.trace import LOAD, Chunk
from workloads.generators.parameters import ACCESSES, HEAP, Parameter, mapped, size, stream
from workloads.generators.randoms import below

SUMMARY = (
    "a linked list in random order, walked for ever "
    "(lmbench lat_mem_rd, McVoy and Staelin, USENIX ATC 1996)"
)
PARAMETERS = {
    "size": size(256 << 20, "bytes of the list"),
    "node": Parameter(64, "bytes of a node", "bytes", 8, 1 << 30),
    "accesses": ACCESSES,
}

_ROUNDS = 4


@inlined
def _permuted(seed, index, rows, columns):
    """Where a random permutation of rows * columns numbers takes one of them.

    A Feistel network on (row, column), which needs no table: four rounds of random
    functions are as good as a random permutation (Luby and Rackoff, SIAM J. Computing 17,
    1988), modular sums in place of XOR take it to any product of two numbers (Black and
    Rogaway, Ciphers with arbitrary finite domains, CT-RSA 2002, generalized Feistel).
    """
    row = index // columns
    column = index - row * columns
    for number in range(0, _ROUNDS, 2):
        row += below(seed, column * _ROUNDS + number, rows)
        if row >= rows:
            row -= rows
        column += below(seed, row * _ROUNDS + number + 1, columns)
        if column >= columns:
            column -= columns
    return row * columns + column


@entry
def _fill(first, address, kind, seed, nodes, rows, columns, node):
    """The list visits permuted(0), permuted(1), ...: one cycle through all nodes."""
    index = first % nodes
    for position in range(address.size):
        # Cycle walking (Black and Rogaway): again, until the number is that of a node.
        at = _permuted(seed, index, rows, columns)
        while at >= nodes:
            at = _permuted(seed, at, rows, columns)
        address[position] = HEAP + at * node
        kind[position] = LOAD
        index += 1
        if index == nodes:
            index = 0


def check(parameters: dict[str, int | float]) -> None:
    if parameters["node"] > parameters["size"]:
        raise InputError(
            f"chase: node={parameters['node']}: expected at most size={parameters['size']}"
        )


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    length, node = int(parameters["size"]), int(parameters["node"])
    nodes = length // node
    columns = isqrt(nodes - 1) + 1
    rows = -(-nodes // columns)
    return stream(
        int(parameters["accesses"]),
        mapped((HEAP, length)),
        lambda first, address, kind: _fill(first, address, kind, seed, nodes, rows, columns, node),
    )

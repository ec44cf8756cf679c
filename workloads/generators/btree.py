"""Look-ups in a B+-tree whose nodes are laid out level by level."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.compiling import entry, inlined
from mmulab.mmu.trace import INDEPENDENT, LOAD, Chunk
from mmulab.workloads.generators.origins import Depends, Last
from mmulab.workloads.generators.parameters import (
    ACCESSES,
    HEAP,
    LARGEST,
    SPARE,
    WORD,
    Parameter,
    mapped,
    resumed,
)
from mmulab.workloads.generators.permutation import permuted, shape
from mmulab.workloads.generators.randoms import below, unit
from mmulab.workloads.generators.zipf_law import rank_of, zeta_of

SUMMARY = (
    "look-ups in a full B+-tree, binary search in each node "
    "(Comer, The ubiquitous B-tree, ACM Computing Surveys 1979)"
)
PARAMETERS = {
    "keys": Parameter(4_000_000, "keys in the leaves", least=2, most=1 << 40),
    "node": Parameter(4096, "bytes of a node: half keys, half pointers (in a leaf, values)",
                      "bytes", 64, 1 << 20),
    "theta": Parameter(0, "skew of the keys that are looked up, by Zipf's law, hot keys "
                       "scattered; 0: uniform", "fraction", 0, 0.999),
    "accesses": ACCESSES,
}  # fmt: skip

_LINE = 64


class Tree(NamedTuple):
    """A B+-tree with all its nodes full, but for the last of each level.

    spans: int64, keys below an entry of each level, the root's first
    bases: int64, where each level begins; fanout: entries of a node of `node` bytes
    """

    spans: np.ndarray
    bases: np.ndarray
    fanout: int
    node: int

    @property
    def accesses(self) -> int:
        """The most that one look-up makes."""
        return len(self.spans) * ((self.fanout - 1).bit_length() + 1)


def plant(keys: int, node: int, at: int) -> tuple[Tree, int]:
    """(the tree of keys 0, ..., keys - 1 from address `at` on, its bytes)"""
    node = node // _LINE * _LINE
    fanout = node // (2 * WORD)
    spans = [1]
    while spans[0] * fanout < keys:
        spans.insert(0, spans[0] * fanout)
    sizes = [-(-keys // (span * fanout)) * node for span in spans]
    bases = at + np.concatenate([[0], np.cumsum(sizes[:-1])]).astype(np.int64)
    return Tree(np.array(spans), bases, fanout, node), sum(sizes)


@inlined
def entry_of(tree, key):
    """Where a key's value lies, in its leaf."""
    leaf, place = divmod(key, tree.fanout)
    return tree.bases[tree.bases.size - 1] + leaf * tree.node + tree.node // 2 + place * WORD


@inlined
def descend(address, kind, count, tree, key):
    """Looks a key up: in each node a binary search, then the pointer. Returns the accesses."""
    for level in range(tree.spans.size):
        child = key // tree.spans[level]
        number = child // tree.fanout
        wanted = child - number * tree.fanout
        base = tree.bases[level] + number * tree.node
        low, entries = 0, tree.fanout
        while entries > 1:
            half = entries >> 1
            address[count] = base + (low + half) * WORD
            kind[count] = LOAD
            count += 1
            if wanted >= low + half:
                low += half
                entries -= half
            else:
                entries = half
        address[count] = base + tree.node // 2 + wanted * WORD
        kind[count] = LOAD
        count += 1
    return count


@entry
def _fill(address, kind, state, seed, keys, tree, theta, zeta, rows, columns):
    limit = address.size - SPARE
    count = 0
    while count < limit:
        if theta > 0.0:
            rank = rank_of(unit(seed, state[0]), keys, theta, zeta)
            key = permuted(seed, rank, keys, rows, columns)
        else:
            key = below(seed, state[0], keys)
        state[0] += 1
        count = descend(address, kind, count, tree, key)
    return count


def check(parameters: dict[str, int | float]) -> None:
    keys = int(parameters["keys"])
    if plant(keys, int(parameters["node"]), HEAP)[1] > LARGEST:
        raise InputError(f"btree: keys={keys}: a tree of more than {LARGEST:,} bytes")


def depends(parameters: dict[str, int | float]) -> Depends:
    """The pointer to a node makes all addresses in it; the root's are known. The keys that are
    compared decide where the search goes on, and make no address."""
    tree, _ = plant(int(parameters["keys"]), int(parameters["node"]), HEAP)
    pointer = Last()

    def column(chunk: Chunk) -> np.ndarray:
        place = chunk.address - HEAP
        back = pointer.back(place % tree.node >= tree.node // 2)
        return np.where(place < tree.node, INDEPENDENT, back).astype(np.uint16)

    return column


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    keys, theta = int(parameters["keys"]), float(parameters["theta"])
    tree, length = plant(keys, int(parameters["node"]), HEAP)
    rows, columns = shape(keys)
    zeta = zeta_of(keys, theta)
    state = np.zeros(1, np.int64)
    return resumed(
        int(parameters["accesses"]),
        mapped((HEAP, length)),
        lambda address, kind: _fill(
            address, kind, state, seed, keys, tree, theta, zeta, rows, columns
        ),
    )

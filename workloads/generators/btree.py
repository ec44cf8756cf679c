"""Look-ups in a B+-tree whose nodes are laid out level by level."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmu.errors import InputError
from mmu.jit import entry
from mmu.trace import LOAD, Chunk
from workloads.generators.parameters import (
    ACCESSES,
    HEAP,
    LARGEST,
    WORD,
    Parameter,
    mapped,
    stream,
)
from workloads.generators.randoms import below

SUMMARY = (
    "look-ups of uniform keys in a full B+-tree, binary search in each node "
    "(Comer, The ubiquitous B-tree, ACM Computing Surveys 1979)"
)
PARAMETERS = {
    "keys": Parameter(4_000_000, "keys in the leaves", least=2, most=1 << 40),
    "node": Parameter(4096, "bytes of a node: half keys, half pointers", "bytes", 64, 1 << 20),
    "accesses": ACCESSES,
}


@entry
def _fill(first, address, kind, seed, keys, spans, bases, fanout, steps, node):
    """A look-up goes down a level at a time: a binary search of always so many loads among
    the node's keys, then a load of the pointer (of the value, in a leaf)."""
    levels = spans.size
    each = steps + 1
    for position in range(address.size):
        rest, step = divmod(first + position, each)
        lookup, level = divmod(rest, levels)
        key = below(seed, lookup, keys)
        child = key // spans[level]
        number, wanted = divmod(child, fanout)
        base = bases[level] + number * node
        kind[position] = LOAD
        if step == steps:
            address[position] = base + node // 2 + wanted * WORD
            continue
        low, count = 0, fanout
        probe = 0
        for _ in range(step + 1):
            half = count >> 1
            probe = low + half if half else low
            if half and wanted >= low + half:
                low += half
                count -= half
            elif half:
                count = half
        address[position] = base + probe * WORD


def _levels(keys: int, fanout: int) -> list[int]:
    """Keys below an entry of each level, the root's first."""
    spans = [1]
    while spans[0] * fanout < keys:
        spans.insert(0, spans[0] * fanout)
    return spans


def _layout(parameters: dict[str, int | float]) -> tuple[list[int], list[int], int, int]:
    """(spans, bases of levels, fanout, bytes in all)"""
    keys, node = int(parameters["keys"]), int(parameters["node"]) // 64 * 64
    fanout = node // (2 * WORD)
    spans = _levels(keys, fanout)
    bases, at = [], HEAP
    for span in spans:
        bases.append(at)
        at += -(-keys // (span * fanout)) * node
    return spans, bases, fanout, at - HEAP


def check(parameters: dict[str, int | float]) -> None:
    if _layout(parameters)[3] > LARGEST:
        raise InputError(
            f"btree: keys={int(parameters['keys'])}: a tree of more than {LARGEST:,} bytes"
        )


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    spans, bases, fanout, length = _layout(parameters)
    keys, node = int(parameters["keys"]), int(parameters["node"]) // 64 * 64
    steps = (fanout - 1).bit_length()
    span_array, base_array = np.array(spans), np.array(bases)
    return stream(
        int(parameters["accesses"]),
        mapped((HEAP, length)),
        lambda first, address, kind: _fill(
            first, address, kind, seed, keys, span_array, base_array, fanout, steps, node
        ),
    )

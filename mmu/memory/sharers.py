"""Who shares a host frame: a chain of guest frames for each, whatever shares it.

    frame[hfn].reverse --> node --> node --> 0      each (VM number, gfn), doubly linked
    VM.sharer[gfn] ------------------^              so that one leaves in O(1)

Nodes come from a pool of the host. Only frames of kind MERGED_PAGE have chains. Linux's
KSM keeps the same for the same reason, that whoever moves or unmaps a shared frame must
find all that map it (mm/ksm.c: struct ksm_rmap_item, rmap_walk_ksm()).
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.state import SHARER, SHARERS_RECORD, Sharers

#: Sharers that there is room for, for each frame of the host, and in all: 1 TiB of shared
#: guest memory. Assumptions; the operating system backs the array only where it is touched.
SHARERS_PER_FRAME = 8
MAX_SHARERS = 1 << 28


def make_sharers(frames: int, sites: int = 0) -> Sharers:
    """An empty pool for a host of so many frames; for 0, one that nothing can be shared with.
    sites: guest frames that may share at once, where more than `SHARERS_PER_FRAME` may."""
    count = min(max(SHARERS_PER_FRAME * frames, sites), MAX_SHARERS)
    return Sharers(record=np.zeros(1, SHARERS_RECORD), node=np.zeros(1 + count, SHARER))


@kernel
def has_room(host):
    """True where `add` will find a node; else the refusal is counted."""
    record = host.sharers.record[0]
    if record.free or record.used + 1 < host.sharers.node.size:
        return True
    record.refused += 1
    return False


@kernel
def add(host, frame, vm, gfn):
    """A guest frame of a VM shares a frame from now on; it shares none yet, and `has_room`."""
    record = host.sharers.record[0]
    node = record.free
    if node:
        record.free = host.sharers.node[node].next
    else:
        record.used += 1
        node = record.used
    first = host.frames.frame[frame].reverse
    this = host.sharers.node[node]
    this.vm = vm.record[0].id
    this.gfn = gfn
    this.next = first
    this.previous = 0
    if first:
        host.sharers.node[first].previous = node
    host.frames.frame[frame].reverse = node
    vm.sharer[gfn] = node


@kernel
def remove(host, frame, vm, gfn):
    """A guest frame of a VM shares the frame no more."""
    node = vm.sharer[gfn]
    this = host.sharers.node[node]
    if this.previous:
        host.sharers.node[this.previous].next = this.next
    else:
        host.frames.frame[frame].reverse = this.next
    if this.next:
        host.sharers.node[this.next].previous = this.previous
    record = host.sharers.record[0]
    this.vm = 0
    this.next = record.free
    record.free = node
    vm.sharer[gfn] = 0


@inlined
def following(host, frame, node):
    """The node after one of a frame's chain: the first after 0, and 0 after the last."""
    return host.sharers.node[node].next if node else host.frames.frame[frame].reverse

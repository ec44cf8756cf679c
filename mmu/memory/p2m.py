"""The p2m of a VM: what became of each guest frame. `VM.p2m[gfn]` is

    0                        nothing backs it: never touched, or given back
    (hfn + 1) << 2 | size    it lies in a host frame, within a page of that size
    -((block + 1) << 2 | where)   it is elsewhere: a block of one of the disks below

A guest frame that is backed may share its host frame with others, read-only: the
frame's kind is MERGED_PAGE then.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.state import MERGED_PAGE
from mmulab.mmu.memory.status import NIL

#: Where a page is that no host frame holds: on the host's swap device; dropped, as a block of the
#: guest's own disk has the same; in a saved image of the VM; still in the memory of the host that
#: the VM has come from.
ON_SWAP, ON_GUEST_DISK, IN_IMAGE, ON_OTHER_HOST = 0, 1, 2, 3


@inlined
def is_backed(machine, gfn):
    return machine.vm.p2m[gfn] > 0


@inlined
def is_paged_out(machine, gfn):
    return machine.vm.p2m[gfn] < 0


@inlined
def paged_out_to(block, where):
    """The p2m entry of a page that lies in a block of a disk."""
    return -(((block + 1) << 2) | where)


@inlined
def block_of(machine, gfn):
    """Block that a page was paged out to."""
    return (-machine.vm.p2m[gfn] >> 2) - 1


@inlined
def where_of(machine, gfn):
    """On which of the disks that block is."""
    return -machine.vm.p2m[gfn] & 3


def elsewhere(p2m: np.ndarray) -> tuple[Any, Any, Any]:
    """The gfns of a p2m that are on a disk, on which, and the block: int64[n] each."""
    gfns = np.flatnonzero(p2m < 0)
    entries = -p2m[gfns]
    return gfns, entries & 3, (entries >> 2) - 1


@inlined
def hfn_of(machine, gfn):
    """Host frame of a guest frame, NIL where none backs it. On bare metal they are one."""
    vm = machine.vm
    if vm.record[0].identity:
        return gfn
    entry = vm.p2m[gfn]
    return (entry >> 2) - 1 if entry > 0 else NIL


@inlined
def gfn_of(machine, hfn):
    """Guest frame that a host frame backs, which no other shares: Xen's M2P."""
    return machine.host.frames.frame[hfn].reverse - 1


@inlined
def host_size_of(machine, gfn):
    """Page size of the host page that backs a guest frame."""
    return machine.vm.p2m[gfn] & 3


@inlined
def is_merged(machine, gfn):
    """True where a guest frame is backed by a frame that may be shared."""
    hfn = hfn_of(machine, gfn)
    return hfn != NIL and machine.host.frames.frame[hfn].kind == MERGED_PAGE

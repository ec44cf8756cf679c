"""The p2m of a VM: what became of each guest frame. `VM.p2m[gfn]` is

    0                        nothing backs it: never touched, or given back
    (hfn + 1) << 2 | size    it lies in a host frame, within a page of that size
    -(block + 1) << 1        the host has paged it out to a block of its swap device
    ... | 1                  dropped: that block of the guest's own disk has the same

A guest frame that is backed may share its host frame with others, read-only: the
frame's kind is MERGED_PAGE then.
"""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.state import MERGED_PAGE
from mmulab.mmu.memory.status import NIL


@inlined
def is_backed(machine, gfn):
    return machine.vm.p2m[gfn] > 0


@inlined
def is_paged_out(machine, gfn):
    return machine.vm.p2m[gfn] < 0


@inlined
def paged_out_to(block, on_guest_disk):
    """The p2m entry of a page that the host has paged out."""
    return -(((block + 1) << 1) | on_guest_disk)


@inlined
def block_of(machine, gfn):
    """Block that a page was paged out to."""
    return (-machine.vm.p2m[gfn] >> 1) - 1


@inlined
def is_on_guest_disk(machine, gfn):
    return -machine.vm.p2m[gfn] & 1


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

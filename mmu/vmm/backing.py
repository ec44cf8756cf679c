"""The p2m of a VM: which host frame backs which guest frame."""

from __future__ import annotations

from mmu import frames
from mmu.bits import INDEX_BITS, pages_in
from mmu.hardware import core as hardware
from mmu.hardware import tlb, walk_caches
from mmu.jit import inlined, kernel
from mmu.state import GUEST_PAGE, NATIVE, NIL, OK, OUT_OF_HOST_FRAMES


@inlined
def hfn_of(machine, gfn):
    """Host frame of a guest frame, NIL where none backs it. On bare metal they are one."""
    vm = machine.vm
    if vm.record[0].technique == NATIVE:
        return gfn
    return (vm.p2m[gfn] >> 2) - 1


@inlined
def host_size_of(machine, gfn):
    """Page size of the host leaf that backs a guest frame."""
    return machine.vm.p2m[gfn] & 3


@inlined
def gfn_of(machine, hfn):
    """Guest frame that a host frame backs: the reverse map."""
    return machine.host.frames.frame[hfn].reverse - 1


@kernel
def back(machine, gfn):
    """Backs a guest frame with host memory of the VM's host page size.

    A page of that size is used where the whole aligned range lies inside the guest's
    memory, none of it is backed yet and the host has a free block; else a smaller one.
    Returns OK or OUT_OF_HOST_FRAMES.
    """
    vm = machine.vm
    if vm.p2m[gfn]:
        return OK
    size = vm.record[0].host_size
    while True:
        count = pages_in(size)
        first = gfn & ~(count - 1)
        fits = first + count <= vm.p2m.size
        if fits and size:
            for other in range(first, first + count):
                if vm.p2m[other]:
                    fits = False
                    break
        if fits:
            hfn = frames.allocate(
                machine.host.frames, INDEX_BITS * size, GUEST_PAGE, vm.record[0].id, first
            )
            if hfn != NIL:
                for offset in range(count):
                    vm.p2m[first + offset] = (hfn + offset + 1) << 2 | size
                    machine.host.frames.frame[hfn + offset].reverse = first + offset + 1
                return OK
        if size == 0:
            return OUT_OF_HOST_FRAMES
        size -= 1


@kernel
def unback(machine, gfn):
    """Takes the host page that backs gfn away and frees it; returns the first gfn it backed.

    The caller has removed it from the technique's tables before.
    """
    vm = machine.vm
    count = pages_in(host_size_of(machine, gfn))
    first = gfn & ~(count - 1)
    hfn = hfn_of(machine, first)
    vm.p2m[first : first + count] = 0
    for frame in range(hfn, hfn + count):
        machine.host.frames.frame[frame].reverse = 0
    frames.release(machine.host.frames, hfn)
    return first


@kernel
def vm_exit(machine, reason):
    """Counts a VM exit. Without VPIDs the entry after it drops the VM's linear and
    combined translations (Intel SDM vol. 3C, 29.4.3.1)."""
    machine.core.stats[0].exits[reason] += 1
    if not machine.vm.record[0].has_vpid:
        tlb.flush(machine.core, True)
        walk_caches.drop_linear(machine.core)


@kernel
def flush_vm(machine):
    """Drops all translations after a p2m change (INVEPT, or INVVPID under shadow)."""
    hardware.flush_all(machine.core)

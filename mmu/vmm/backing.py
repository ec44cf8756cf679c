"""Host memory behind guest frames: given, taken, shared, paged out and brought back.

What a technique has mapped is the technique's to drop first (`techniques.seam`);
`host.reclaim` does both in the right order.
"""

from __future__ import annotations

from mmulab.mmu.hardware import contents
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import disk, frames, sharers
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import INDEX_BITS, pages_in
from mmulab.mmu.memory.guest_tables import is_table
from mmulab.mmu.memory.p2m import (
    IN_IMAGE,
    ON_GUEST_DISK,
    ON_SWAP,
    block_of,
    hfn_of,
    host_size_of,
    is_backed,
    is_merged,
    is_paged_out,
    paged_out_to,
    where_of,
)
from mmulab.mmu.memory.state import GUEST_PAGE
from mmulab.mmu.memory.status import NIL, OK, OUT_OF_DISK, OUT_OF_HOST_FRAMES, OUT_OF_TABLES
from mmulab.mmu.memory.watermarks import room_below_limit

# --- Giving -----------------------------------------------------------------------


@kernel
def place(machine, gfn, size):
    """Backs the aligned page of gfn with a host page of a size: False where none is free."""
    vm = machine.vm
    count = pages_in(size)
    first = gfn & ~(count - 1)
    hfn = frames.allocate(
        machine.host.frames, INDEX_BITS * size, GUEST_PAGE, vm.record[0].id, first
    )
    if hfn == NIL:
        return False
    for offset in range(count):
        vm.p2m[first + offset] = (hfn + offset + 1) << 2 | size
        machine.host.frames.frame[hfn + offset].reverse = first + offset + 1
    machine.host.memory.owner[hfn : hfn + count] = vm.record[0].id
    vm.record[0].held += count
    if vm.record[0].tracked:
        machine.host.memory.contents[hfn : hfn + count] = 0
        machine.host.memory.written[hfn : hfn + count] = 0
    return True


@kernel
def _is_full(machine):
    """True where the host has no frame, or the VM is at its limit."""
    return frames.available(machine.host.frames) == 0 or room_below_limit(machine) <= 0


@kernel
def _room_for(machine, gfn, size):
    """True where a large host page may back gfn: the whole aligned range lies inside the
    guest's memory, none of it is backed or paged out, and neither the host is short of frames
    nor the VM at its limit."""
    vm = machine.vm
    count = pages_in(size)
    first = gfn & ~(count - 1)
    host = machine.host.frames
    if first + count > vm.p2m.size or room_below_limit(machine) < count:
        return False
    if frames.available(host) < host.counts[frames.MIN] + count:
        return False
    for other in range(first, first + count):
        if vm.p2m[other]:
            return False
    return True


@kernel
def back(machine, gfn):
    """Backs a guest frame: with zeros of the VM's host page size, or what was paged out.

    Returns OK or OUT_OF_HOST_FRAMES.
    """
    if is_backed(machine, gfn):
        return OK
    if is_paged_out(machine, gfn):
        return _page_in(machine, gfn)
    size = 0 if machine.vm.record[0].logging else machine.vm.record[0].host_size
    while size:
        if _room_for(machine, gfn, size) and place(machine, gfn, size):
            return OK
        size -= 1
    if _is_full(machine):
        return OUT_OF_HOST_FRAMES
    return OK if place(machine, gfn, 0) else OUT_OF_HOST_FRAMES


@kernel
def _disk_of(machine, gfn):
    """The disk that a page which no frame holds lies on."""
    where = where_of(machine, gfn)
    if where == ON_SWAP:
        return machine.host.swap
    if where == ON_GUEST_DISK:
        return machine.vm.disk
    if where == IN_IMAGE:
        return machine.host.images
    return machine.host.remote


@kernel
def _forget_block(machine, gfn):
    """The block that a paged-out page lies in is no longer needed."""
    disk.release(_disk_of(machine, gfn), block_of(machine, gfn))
    machine.vm.p2m[gfn] = 0
    machine.vm.record[0].paged_out -= 1


@kernel
def _read_back(machine, gfn):
    """Reads a paged-out page; returns its tag."""
    where = where_of(machine, gfn)
    machine.vcpu.stats[0].host_refetches += int(where == ON_GUEST_DISK)
    machine.vcpu.stats[0].host_swap_ins += int(where == ON_SWAP)
    return disk.read(_disk_of(machine, gfn), block_of(machine, gfn))


@kernel
def _page_in(machine, gfn):
    if _is_full(machine):
        return OUT_OF_HOST_FRAMES
    tag = _read_back(machine, gfn)
    _forget_block(machine, gfn)
    place(machine, gfn, 0)
    machine.host.memory.contents[hfn_of(machine, gfn)] = tag
    return OK


@kernel
def overwrite(machine, gfn, by_device):
    """Backs a guest frame that is about to be overwritten whole, by a device or the guest.

    What it held does not matter, but a VMM does not know that: it reads a paged-out page
    back only to see it overwritten, stale or false swap reads in the words of Amit et al.
    (VSwapper, ASPLOS 2014), unless it knows the disk's blocks or emulates the writes.
    """
    record = machine.vm.record[0]
    stats = machine.vcpu.stats[0]
    if is_merged(machine, gfn):
        stats.host_copies += 1
        release(machine, gfn)
    elif is_paged_out(machine, gfn):
        if _is_full(machine):
            return OUT_OF_HOST_FRAMES
        if by_device and not record.map_disk:
            stats.stale_swap_reads += 1
            _read_back(machine, gfn)
        elif not by_device and not record.emulate_writes:
            stats.false_swap_reads += 1
            _read_back(machine, gfn)
        _forget_block(machine, gfn)
    return back(machine, gfn)


# --- Sharing ----------------------------------------------------------------------


@kernel
def let_go(machine, hfn):
    """Drops one reference to a block; with the last, the table that a frame may hold goes."""
    if frames.release(machine.host.frames, hfn) == 0:
        memory.close_table(machine.host.memory, hfn)


@kernel
def own(machine, gfn):
    """A store to a merged page: the guest frame gets a copy, of a gPT page with its entries.
    Returns a status."""
    old = hfn_of(machine, gfn)
    if _is_full(machine):
        return OUT_OF_HOST_FRAMES
    sharers.remove(machine.host, old, machine.vm, gfn)
    place(machine, gfn, 0)
    fresh = hfn_of(machine, gfn)
    machine.host.memory.contents[fresh] = machine.host.memory.contents[old]
    status = OK
    if is_table(machine, gfn):
        machine.vm.record[0].shared_tables -= 1
        if not memory.copy_table(machine.host.memory, old, fresh):
            status = OUT_OF_TABLES
    let_go(machine, old)
    machine.vm.record[0].held -= 1
    machine.vm.record[0].merged -= 1
    machine.vcpu.stats[0].host_copies += 1
    return status


# --- Taking -----------------------------------------------------------------------


@kernel
def release(machine, gfn):
    """Gives back whatever stands behind gfn, for a large host page behind all of it; what
    it held is lost. Returns the first gfn."""
    vm = machine.vm
    if is_paged_out(machine, gfn):
        _forget_block(machine, gfn)
        return gfn
    count = pages_in(host_size_of(machine, gfn))
    first = gfn & ~(count - 1)
    hfn = hfn_of(machine, first)
    vm.record[0].held -= count
    if is_merged(machine, gfn):
        vm.record[0].merged -= 1
        vm.record[0].shared_tables -= int(is_table(machine, gfn))
        sharers.remove(machine.host, hfn, vm, gfn)
    else:
        for frame in range(hfn, hfn + count):
            machine.host.frames.frame[frame].reverse = 0
            machine.host.memory.owner[frame] = 0
            memory.close_table(machine.host.memory, frame)
    vm.p2m[first : first + count] = 0
    let_go(machine, hfn)
    return first


@kernel
def split(machine, gfn):
    """Cuts the large host page behind gfn into pages of 4 KiB."""
    vm = machine.vm
    count = pages_in(host_size_of(machine, gfn))
    first = gfn & ~(count - 1)
    hfn = hfn_of(machine, first)
    frames.split(machine.host.frames, hfn, 0)
    for offset in range(count):
        vm.p2m[first + offset] &= ~3
        machine.host.frames.frame[hfn + offset].reverse = first + offset + 1


@kernel
def _same_on_disk(machine, gfn):
    """Block of the guest's disk that holds what a page does, or NIL."""
    tag = contents.look(machine, gfn)
    block = machine.vm.block[gfn] - 1
    return block if block != NIL and machine.vm.disk.contents[block] == tag else NIL


@kernel
def has_place(machine, gfn):
    """True where a page can be paged out: the swap device has a block for it, or it needs none."""
    swap = machine.host.swap
    if swap.record[0].used < swap.references.size:
        return True
    return machine.vm.record[0].map_disk != 0 and _same_on_disk(machine, gfn) != NIL


@kernel
def page_out(machine, gfn):
    """Pages a guest frame out: to the swap device, or, where the VMM knows that the guest's
    disk holds the same (VSwapper's mapper), nowhere. Returns OK or OUT_OF_DISK."""
    vm = machine.vm
    stats = machine.vcpu.stats[0]
    block = _same_on_disk(machine, gfn)
    unchanged = block != NIL
    if unchanged and vm.record[0].map_disk:
        stats.host_drops += 1
        vm.disk.references[block] += 1
        release(machine, gfn)
        vm.p2m[gfn] = paged_out_to(block, ON_GUEST_DISK)
        vm.record[0].paged_out += 1
        return OK
    slot = disk.allocate(machine.host.swap)
    if slot == NIL:
        return OUT_OF_DISK
    stats.silent_swap_writes += int(unchanged)
    stats.host_swap_outs += 1
    disk.write(machine.host.swap, slot, machine.host.memory.contents[hfn_of(machine, gfn)])
    release(machine, gfn)
    vm.p2m[gfn] = paged_out_to(slot, ON_SWAP)
    vm.record[0].paged_out += 1
    return OK

"""Reservations: the guest gives eight neighbouring pages eight neighbouring frames.

Where processes fault in turn, a buddy allocator hands neighbouring frames to different processes,
and the eight host entries for the pages of one line of gPTEs lie in up to eight lines. With a
reservation the first fault of an aligned group of eight pages takes an aligned block of eight
frames; later faults of the group take theirs from it. Host entries are found by guest frame, so
that they lie in one line. What is reserved and not used is given back when its pages are unmapped,
the process ends, or the guest's memory is short.

Source: Margaritov, Ustiugov, Shahab and Grot, PTEMagnet: Fine-grained Physical Memory Reservation
for Faster Page Walks in Public Clouds, ASPLOS 2021, read in summaries. There the pages are kept in
a radix tree a process (PaRT); here a table hashed by process and group. Copies on write and pages
of 2 MiB are allocated as ever.
"""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.entries import PAGE_SHIFT
from mmulab.mmu.memory.state import GUEST_PAGE
from mmulab.mmu.memory.status import NIL

ORDER = 3  # pages of a group, and PTEs of a line: 2**ORDER
_GROUP_SHIFT = PAGE_SHIFT + ORDER
_ALL = (1 << (1 << ORDER)) - 1
_FEW = 1 << 12  # groups that are looked for one by one: an assumption; more, all there are are seen


@inlined
def _bucket(vm, process, group):
    # Groups of a process are neighbours; the factor takes processes apart (TAOCP vol. 3, 6.4).
    return (group ^ (process * 0x9E3779B1)) & (vm.reservation.size - 1)


@kernel
def _find(vm, process, group):
    """The reservation of a group of pages: the number of its block of frames, NIL where none."""
    block = vm.reservation[_bucket(vm, process, group)].bucket - 1
    while block != NIL:
        this = vm.reservation[block]
        if this.group == group and this.process == process + 1:
            return block
        block = this.chain - 1
    return NIL


@kernel
def _add(vm, process, group, block):
    """A new reservation of all pages of a group."""
    this = vm.reservation[block]
    this.process = process + 1
    this.group = group
    this.unused = _ALL
    head = vm.reservation[_bucket(vm, process, group)]
    this.chain = head.bucket
    head.bucket = block + 1
    first = vm.record[0].reservations
    this.next = first
    this.previous = 0
    if first:
        vm.reservation[first - 1].previous = block + 1
    vm.record[0].reservations = block + 1


@kernel
def _forget(vm, block):
    """A reservation of which nothing is left."""
    this = vm.reservation[block]
    head = vm.reservation[_bucket(vm, this.process - 1, this.group)]
    if head.bucket == block + 1:
        head.bucket = this.chain
    else:
        other = head.bucket - 1
        while vm.reservation[other].chain != block + 1:
            other = vm.reservation[other].chain - 1
        vm.reservation[other].chain = this.chain
    if this.previous:
        vm.reservation[this.previous - 1].next = this.next
    else:
        vm.record[0].reservations = this.next
    if this.next:
        vm.reservation[this.next - 1].previous = this.previous
    this.process = 0
    this.unused = 0


@kernel
def _give_back(vm, block, pages):
    """Frees frames of a reservation that are not in use. pages: a bit for each."""
    this = vm.reservation[block]
    pages &= this.unused
    for page in range(1 << ORDER):
        if pages >> page & 1:
            frames.release(vm.frames, (block << ORDER) + page)
    this.unused &= ~pages
    if this.unused == 0:
        _forget(vm, block)


@kernel
def take(machine, process, gva):
    """The frame for the first touch of a page of 4 KiB, which is in use from now on; NIL where no
    block of frames is free, its page has had its frame, or the guest reserves nothing."""
    vm = machine.vm
    if not vm.record[0].reserves or gva < 0:
        return NIL
    group = gva >> _GROUP_SHIFT
    block = _find(vm, process, group)
    if block == NIL:
        first = frames.allocate(vm.frames, ORDER, GUEST_PAGE, vm.record[0].id, NIL)
        if first == NIL:
            return NIL
        frames.split(vm.frames, first, 0)
        for frame in range(first, first + (1 << ORDER)):
            vm.frames.frame[frame].reverse = 0
        block = first >> ORDER
        _add(vm, process, group, block)
    page = (gva >> PAGE_SHIFT) & ((1 << ORDER) - 1)
    this = vm.reservation[block]
    if not this.unused >> page & 1:
        return NIL
    this.unused &= ~(1 << page)
    if this.unused == 0:
        _forget(vm, block)
    return (block << ORDER) + page


@kernel
def _cut(vm, block, start, end):
    """Gives back what a reservation has for pages of [start, end)."""
    base = vm.reservation[block].group << _GROUP_SHIFT
    pages = 0
    for page in range(1 << ORDER):
        gva = base + (page << PAGE_SHIFT)
        if start <= gva and gva < end:
            pages |= 1 << page
    _give_back(vm, block, pages)


@kernel
def release(machine, process, start, end):
    """Gives back what is reserved for pages of [start, end) of a process and not in use."""
    vm = machine.vm
    if vm.record[0].reservations == 0:
        return
    if (end - start) >> _GROUP_SHIFT < _FEW:
        for group in range(start >> _GROUP_SHIFT, ((end - 1) >> _GROUP_SHIFT) + 1):
            block = _find(vm, process, group)
            if block != NIL:
                _cut(vm, block, start, end)
        return
    block = vm.record[0].reservations - 1
    while block != NIL:
        after = vm.reservation[block].next - 1
        if vm.reservation[block].process == process + 1:
            _cut(vm, block, start, end)
        block = after


@kernel
def release_all(machine):
    """Gives back all that is reserved and not in use. True where there was any."""
    vm = machine.vm
    if vm.record[0].reservations == 0:
        return False
    while vm.record[0].reservations:
        _give_back(vm, vm.record[0].reservations - 1, _ALL)
    return True

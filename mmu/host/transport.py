"""Pages that go from one host to another: their contents, and those of gPT pages."""

from __future__ import annotations

from mmulab.mmu.hardware import contents
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.host.reclaim import isolate
from mmulab.mmu.kernels.compiling import entry, kernel
from mmulab.mmu.memory import disk
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import ENTRIES
from mmulab.mmu.memory.guest_tables import is_table
from mmulab.mmu.memory.p2m import (
    IN_IMAGE,
    ON_GUEST_DISK,
    ON_OTHER_HOST,
    ON_SWAP,
    block_of,
    hfn_of,
    is_backed,
    is_paged_out,
    paged_out_to,
    where_of,
)
from mmulab.mmu.memory.status import NIL, OK, OUT_OF_DISK, OUT_OF_HOST_FRAMES, OUT_OF_TABLES
from mmulab.mmu.vmm import backing


@kernel
def _drop(machine, gfn):
    """What an earlier round brought goes."""
    if machine.vm.p2m[gfn]:
        if is_backed(machine, gfn):
            isolate(machine, gfn)
        backing.release(machine, gfn)


@kernel
def _refer(machine, other, gfn):
    """The guest's disk is reached from both hosts: a page that it holds is not sent."""
    _drop(other, gfn)
    other.vm.p2m[gfn] = machine.vm.p2m[gfn]
    other.vm.record[0].paged_out += 1


@kernel
def _tag_of(machine, gfn):
    """What a page holds; one that the host has paged out is read."""
    if is_backed(machine, gfn):
        return contents.look(machine, gfn)
    if where_of(machine, gfn) == ON_SWAP:
        return disk.read(machine.host.swap, block_of(machine, gfn))
    if where_of(machine, gfn) == IN_IMAGE:
        return disk.read(machine.host.images, block_of(machine, gfn))
    return disk.read(machine.host.remote, block_of(machine, gfn))


@kernel
def _receive_table(machine, other, gfn):
    """A gPT page arrives. False where the other host has no room for its contents."""
    source = machine.host.memory
    target = other.host.memory
    there = hfn_of(other, gfn)
    if target.table[there] == 0 and not memory.open_table(target, there):
        return False
    old = source.table[hfn_of(machine, gfn)] * ENTRIES
    new = target.table[there] * ENTRIES
    for index in range(ENTRIES):
        target.entry[new + index] = source.entry[old + index]
    return True


@kernel
def _send_page(machine, other, gfn, zeros):
    """(status, pages sent, pages of zeros that were told of)."""
    if not machine.vm.p2m[gfn]:
        _drop(other, gfn)
        return OK, 0, 0
    if is_paged_out(machine, gfn) and where_of(machine, gfn) == ON_GUEST_DISK:
        _refer(machine, other, gfn)
        return OK, 0, 0
    if is_paged_out(other, gfn):
        _drop(other, gfn)
    table = is_table(machine, gfn)
    tag = _tag_of(machine, gfn)
    if tag == 0 and zeros and not table:
        _drop(other, gfn)
        return OK, 0, 1
    status = backing.back(other, gfn)
    if status != OK:
        return status, 0, 0
    memory_of = other.host.memory
    memory_of.contents[hfn_of(other, gfn)] = tag
    memory_of.written[hfn_of(other, gfn)] = 0
    if not table:
        memory.close_table(memory_of, hfn_of(other, gfn))
    elif not _receive_table(machine, other, gfn):
        return OUT_OF_TABLES, 0, 0
    return OK, 1, 0


@entry
def send(machine: Machine, other: Machine, gfns, first, zeros):
    """Pages of a VM, from gfns[first] on, go to one that is to be the same, and has not begun.
    zeros: pages of zeros are told of, not sent.

    Returns (status, where it goes on, pages sent, pages of zeros): OUT_OF_HOST_FRAMES where the
    other host must make room first.
    """
    sent = 0
    told = 0
    status = OK
    at = first
    while at < gfns.size:
        status, more, zero = _send_page(machine, other, gfns[at], zeros)
        if status != OK:
            break
        sent += more
        told += zero
        at += 1
    return status, at, sent, told


@entry
def look_at_all(machine: Machine):
    """Tells what each page holds by now: a store that was not sent shows."""
    for gfn in range(machine.vm.p2m.size):
        if is_backed(machine, gfn):
            contents.look(machine, gfn)


@entry
def forget_tables(machine: Machine):
    """Pages that came as gPT pages, and are none any more, hold no entries."""
    for gfn in range(machine.vm.p2m.size):
        if is_backed(machine, gfn) and not is_table(machine, gfn):
            memory.close_table(machine.host.memory, hfn_of(machine, gfn))


@entry
def leave_behind(machine: Machine, other: Machine, lacking, zeros):
    """gPT pages go to the other host; every other page is there on demand, and lies in a block of
    what it calls remote. lacking: by page, whether it is not there yet as it is here. Returns
    (status, pages sent, pages left, pages of zeros)."""
    sent = 0
    left = 0
    told = 0
    for gfn in range(machine.vm.p2m.size):
        if not lacking[gfn]:
            continue
        if not machine.vm.p2m[gfn]:
            _drop(other, gfn)
            continue
        behind = not is_table(machine, gfn)
        if is_paged_out(machine, gfn) and where_of(machine, gfn) == ON_GUEST_DISK:
            behind = False
        tag = _tag_of(machine, gfn) if behind else 0
        if not behind or (tag == 0 and zeros):
            status, more, zero = _send_page(machine, other, gfn, zeros)
            if status != OK:
                return status, sent, left, told
            sent += more
            told += zero
            continue
        _drop(other, gfn)
        block = disk.allocate(other.host.remote)
        if block == NIL:
            return OUT_OF_DISK, sent, left, told
        other.host.remote.contents[block] = tag
        other.vm.p2m[gfn] = paged_out_to(block, ON_OTHER_HOST)
        other.vm.record[0].paged_out += 1
        left += 1
    return OK, sent, left, told


@entry
def fetch(machine: Machine, first, most):
    """Brings up to so many pages from the other host, from gfn `first` on: (status, where it goes
    on, pages)."""
    got = 0
    gfn = first
    size = machine.vm.p2m.size
    while gfn < size and got < most:
        if is_paged_out(machine, gfn) and where_of(machine, gfn) == ON_OTHER_HOST:
            if backing.back(machine, gfn) == OUT_OF_HOST_FRAMES:
                return OUT_OF_HOST_FRAMES, gfn, got
            got += 1
        gfn += 1
    return OK, gfn, got

"""Copies of VMs, page by page: shared until they are written to, or saved to storage.

A page that two VMs share lies in one frame that both map read-only, as merged pages do
(`host.sharing`), and so do gPT pages: whoever writes first gets a copy (`backing.own`). A large
host page is cut to 4 KiB first: an assumption; Linux shares it whole, and cuts it at the first
store (mm/huge_memory.c, do_huge_pmd_wp_page()).
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.guest import process as processes
from mmulab.mmu.hardware import contents
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.host.reclaim import isolate
from mmulab.mmu.kernels.compiling import entry, kernel
from mmulab.mmu.memory import disk, frames, sharers
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import ENTRIES
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
from mmulab.mmu.memory.state import MERGED_PAGE
from mmulab.mmu.memory.status import NIL, OK, OUT_OF_DISK, OUT_OF_STATE, OUT_OF_TABLES
from mmulab.mmu.memory.vm import EVERYWHERE, VM
from mmulab.mmu.techniques import seam
from mmulab.mmu.vmm import backing, exits

#: Of `VM.record`, what is the guest's, and goes where it goes.
GUEST_FIELDS = (
    "current", "tables", "guest_need", "ballooned", "hand_process", "hand_gva", "kernel_half",
    "free_vma", "vmas_used", "processes_used",
)  # fmt: skip
#: Of a disk's record, what is not traffic.
DISK_FIELDS = ("used", "hand", "last")


def copy_guest(source: VM, target: VM) -> None:
    """The guest's own state: its allocator, processes, mappings, disk. Not what backs it."""
    for name in GUEST_FIELDS:
        target.record[0][name] = source.record[0][name]
    for name in DISK_FIELDS:
        target.disk.record[0][name] = source.disk.record[0][name]
    for old, new in (
        *((getattr(source.frames, name), getattr(target.frames, name)) for name in _FRAMES),
        *((getattr(source.disk, name), getattr(target.disk, name)) for name in _DISK),
        *((getattr(source, name), getattr(target, name)) for name in _ARRAYS),
    ):
        np.copyto(new, old)
    for name, used in (("process", "processes_used"), ("vma", "vmas_used")):
        count = int(source.record[0][used])  # the rest was never touched
        np.copyto(getattr(target, name)[:count], getattr(source, name)[:count])


_FRAMES = ("frame", "free", "counts")
_DISK = ("contents", "references")
_ARRAYS = ("contents", "block", "balloon", "used", "huge", "region", "promotable")


@kernel
def _begin_sharing(machine, gfn):
    """A page that a VM has alone lies in a frame that others can share from now on."""
    contents.look(machine, gfn)
    if host_size_of(machine, gfn):
        isolate(machine, gfn)
    else:
        seam.protect(machine, gfn)
    vm = machine.vm
    hfn = hfn_of(machine, gfn)
    frames.change_kind(machine.host.frames, hfn, MERGED_PAGE)
    shared = machine.host.frames.frame[hfn]
    shared.owner = 0
    shared.reverse = 0
    vm.record[0].merged += 1
    vm.record[0].shared_tables += int(is_table(machine, gfn))
    sharers.add(machine.host, hfn, vm, gfn)


@kernel
def _share_block(machine, gfn, vm):
    """A page that no frame holds: both refer to its block. A guest's disk has been copied, with
    its references."""
    where = where_of(machine, gfn)
    if where != ON_GUEST_DISK:
        device = machine.host.swap if where == ON_SWAP else machine.host.images
        device.references[block_of(machine, gfn)] += 1
    vm.p2m[gfn] = machine.vm.p2m[gfn]
    vm.record[0].paged_out += 1


@entry
def share_all(machine: Machine, vm: VM):
    """All that stands behind a machine's VM stands behind another, too, which has nothing yet.
    Returns OK, or OUT_OF_STATE where so many pages cannot be shared."""
    status = OK
    for gfn in range(machine.vm.p2m.size):
        if is_paged_out(machine, gfn):
            _share_block(machine, gfn, vm)
        elif is_backed(machine, gfn):
            if not sharers.has_room(machine.host):
                status = OUT_OF_STATE
                break
            if not is_merged(machine, gfn):
                _begin_sharing(machine, gfn)
            if not sharers.has_room(machine.host):
                status = OUT_OF_STATE
                break
            hfn = hfn_of(machine, gfn)
            machine.host.frames.frame[hfn].references += 1
            vm.p2m[gfn] = machine.vm.p2m[gfn]
            vm.record[0].held += 1
            vm.record[0].merged += 1
            vm.record[0].shared_tables += int(is_table(machine, gfn))
            sharers.add(machine.host, hfn, vm, gfn)
    exits.flush_vm(machine)
    return status


@entry
def save(machine: Machine, vm: VM, tables, entries):
    """Writes what stands behind a machine's VM to the store of images, where another VM, which
    has nothing yet, refers to it. Pages of zeros are holes of the file; what lies on other disks
    stays there. tables: gfns of the gPT pages, whose contents go to `entries`.

    Returns (status, blocks written): OUT_OF_DISK where the store is full.
    """
    written = 0
    status = OK
    for gfn in range(machine.vm.p2m.size):
        if is_paged_out(machine, gfn):
            _share_block(machine, gfn, vm)
        elif is_backed(machine, gfn):
            tag = contents.look(machine, gfn)
            if tag == 0 and not is_table(machine, gfn):
                continue
            block = disk.allocate(machine.host.images)
            if block == NIL:
                status = OUT_OF_DISK
                break
            disk.write(machine.host.images, block, tag)
            vm.p2m[gfn] = paged_out_to(block, IN_IMAGE)
            vm.record[0].paged_out += 1
            written += 1
    for number in range(tables.size):
        table = machine.host.memory.table[hfn_of(machine, tables[number])] * ENTRIES
        for index in range(ENTRIES):
            entries[number, index] = machine.host.memory.entry[table + index]
    exits.flush_vm(machine)
    return status, written


@entry
def load_tables(machine: Machine, tables, entries):
    """Brings gPT pages back from an image, with their contents. Returns a status; it can be
    called again."""
    for number in range(tables.size):
        gfn = tables[number]
        if is_backed(machine, gfn):
            continue
        status = backing.back(machine, gfn)
        if status != OK:
            return status
        hfn = hfn_of(machine, gfn)
        if not memory.open_table(machine.host.memory, hfn):
            return OUT_OF_TABLES
        table = machine.host.memory.table[hfn] * ENTRIES
        for index in range(ENTRIES):
            machine.host.memory.entry[table + index] = entries[number, index]
    return OK


@entry
def load(machine: Machine, gfns):
    """Gives pages frames of their own: those that are shared, or in an image. Returns a status;
    it can be called again."""
    for gfn in gfns:
        status = OK
        if is_paged_out(machine, gfn) and where_of(machine, gfn) == IN_IMAGE:
            status = backing.back(machine, gfn)
        elif is_merged(machine, gfn):
            seam.drop_mapping(machine, gfn)
            status = backing.own(machine, gfn)
        if status != OK:
            exits.flush_vm(machine)
            return status
    exits.flush_vm(machine)
    return OK


@entry
def wake(machine: Machine):
    """A VM that was made from a copy begins to run where that was: the VMM's tables begin empty,
    and the vCPU loads CR3. Returns a status."""
    status = seam.start(machine)
    for process in range(machine.vm.record[0].processes_used):
        machine.vm.process[process].stale = EVERYWHERE
    if status == OK:
        status = processes.switch(machine, machine.vm.record[0].current)
    return status


@entry
def give_back(machine: Machine):
    """Gives back what stands behind a VM that never ran: a snapshot."""
    for gfn in range(machine.vm.p2m.size):
        if machine.vm.p2m[gfn]:
            backing.release(machine, gfn)

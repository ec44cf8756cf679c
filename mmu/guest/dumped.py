"""The guest kernel's tables are those of a dump: see machine.dumps."""

from __future__ import annotations

from mmulab.mmu.guest import paging
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.kernels.compiling import entry, kernel
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.entries import COW, PAGE_SHIFT, RW, D, P, index_of
from mmulab.mmu.memory.guest_tables import load_entry
from mmulab.mmu.memory.state import GPT_PAGE, GUEST_PAGE
from mmulab.mmu.memory.status import NIL, OK
from mmulab.mmu.techniques import seam
from mmulab.mmu.trace import PROT_EXEC, PROT_WRITE

_TAKEN = -1  # a frame is in use: no status


@kernel
def _table(machine, gfn, level, gva):
    """A gPT page in a frame that is named. Returns a status, or _TAKEN."""
    vm = machine.vm
    if not frames.take(vm.frames, gfn, 0, GPT_PAGE, vm.record[0].id, NIL):
        return _TAKEN
    return paging.make_table(machine, gfn, level, gva)


@kernel
def _take_root(machine, process, gfn):
    """The top-level table of a process, which maps nothing yet, lies in a named frame."""
    vm = machine.vm
    old = vm.process[process].cr3
    if gfn == old:
        return OK
    status = _table(machine, gfn, vm.record[0].levels, 0)
    if status != OK:
        return status
    vm.process[process].cr3 = gfn
    status = seam.new_root(machine, process, gfn)
    if status == OK:
        status = seam.load_cr3(machine, process, 0)
    paging.free_table(machine, old)
    return status


@kernel
def _page(machine, table, gva, gfn, shared):
    """Maps a page to a named frame, copied on write where it is shared. Returns a status, or
    _TAKEN."""
    vm = machine.vm
    flags = paging.leaf_flags(gva, PROT_WRITE | PROT_EXEC)
    if not frames.take(vm.frames, gfn, 0, GUEST_PAGE, vm.record[0].id, NIL):
        if vm.frames.frame[gfn].kind != GUEST_PAGE:
            return _TAKEN
        vm.frames.frame[gfn].references += 1
    flags = flags & ~RW | COW if shared else flags | D
    return paging.set_entry(machine, table, index_of(gva, 1), gfn << PAGE_SHIFT | flags)


@entry
def map_lines(machine: Machine, page, frame, shared):
    """Maps pages as the lines of a dump have it. page: int64[lines]. frame: int64[lines, 5].
    shared: whether others have its page, too.
    Returns (status, NIL), or (OK, the line that names a frame that is in use)."""
    process = machine.vm.record[0].current
    levels = machine.vm.record[0].levels
    status = _take_root(machine, process, frame[0, 0])
    for row in range(page.size):
        gva = page[row] << PAGE_SHIFT
        table = machine.vm.process[process].cr3
        for level in range(levels, 1, -1):
            below = frame[row, levels - level + 1]
            if status == OK and not load_entry(machine, table, index_of(gva, level)) & P:
                status = _table(machine, below, level - 1, gva)
                if status == OK:
                    entry_ = below << PAGE_SHIFT | paging.TABLE_FLAGS
                    status = paging.set_entry(machine, table, index_of(gva, level), entry_)
            table = below
        if status == OK:
            status = _page(machine, table, gva, frame[row, levels], shared[row])
        if status == _TAKEN:
            return OK, row
        if status != OK:
            return status, NIL
    return OK, NIL

"""EPT01, EPT12 and EPT02: L0's table of L1's memory, L1's of L2's, and what L0 composes of both
for the hardware.

L1's memory is all of the host's, frame by frame: EPT01 maps each to itself. It has an entry for
what L1 uses, of the page size that L2's memory has.
"""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import guest_tables
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import (
    EPT_A,
    EPT_D,
    EPT_LARGE,
    EPT_R,
    EPT_RWX,
    EPT_W,
    EPT_WB,
    EPT_X,
    pages_in,
)
from mmulab.mmu.memory.p2m import hfn_of, host_size_of, is_merged
from mmulab.mmu.memory.status import EPT_VIOLATION, OK
from mmulab.mmu.techniques import nested
from mmulab.mmu.techniques.nested_on_nested.state import (
    COMPOSE,
    EPT01_VIOLATION,
    EPT12_ENTRIES,
    EPT12_WRITE,
    INVEPT,
    L2_EXIT,
    VMRESUME,
    exit_to_l0,
    record_of,
)
from mmulab.mmu.techniques.shadow.hooks import BACKING
from mmulab.mmu.techniques.unshare import provide, unshare
from mmulab.mmu.trace import LOAD, STORE
from mmulab.mmu.vmm.calls import overwrite
from mmulab.mmu.vmm.exits import trap


@kernel
def _map(machine, root, frame, to, size, rights):
    """Maps a page of a table to another frame, as large as a size: (status, entries written).
    Where a table is left from smaller pages, only the piece around the frame."""
    written = 0
    hpa, level = nested.leaf_below(machine, root, frame)
    while level > size + 1:
        status, hfn = nested.new_table(machine)
        if status != OK:
            return status, written
        memory.store(machine.host.memory, hpa, (hfn << 12) | EPT_RWX)
        written += 1
        hpa, level = nested.leaf_below(machine, root, frame)
    first = to - (frame & (pages_in(level - 1) - 1))
    large = EPT_LARGE if level > 1 else 0
    memory.store(machine.host.memory, hpa, (first << 12) | rights | EPT_WB | large)
    return OK, written + 1


@kernel
def take(machine, frame):
    """L1 uses a frame: EPT01 has it, which is an exit to L0 where that backs L1 at its first use.
    Returns a status."""
    record = record_of(machine)
    hpa, _ = nested.leaf_below(machine, record.ept01, frame)
    if memory.load(machine.host.memory, hpa) & EPT_RWX:
        return OK
    if record.fresh:
        exit_to_l0(machine, EPT01_VIOLATION)
    size = machine.vm.record[0].host_size
    status, _ = _map(machine, record.ept01, frame, frame, size, EPT_RWX)
    return status


@kernel
def _map_12(machine, gfn):
    """L1 maps a page that it has backed: each entry that it writes exits where EPT12 is
    write-protected. Returns a status."""
    status = take(machine, hfn_of(machine, gfn))
    if status != OK:
        return status
    record = record_of(machine)
    rights = EPT_R | EPT_X if is_merged(machine, gfn) else EPT_RWX
    size = host_size_of(machine, gfn)
    status, written = _map(machine, record.ept12, gfn, hfn_of(machine, gfn), size, rights)
    machine.vcpu.own[EPT12_ENTRIES] += written
    if record.protect:
        for _ in range(written):
            exit_to_l0(machine, EPT12_WRITE)
    return status


@kernel
def _map_02(machine, gfn):
    """L0 composes an entry of EPT12 with EPT01. Returns a status."""
    record = record_of(machine)
    hpa, level = nested.leaf_below(machine, record.ept12, gfn)
    entry = memory.load(machine.host.memory, hpa)
    frame = hfn_of(machine, gfn)
    _, level_01 = nested.leaf_below(machine, record.ept01, frame)
    size = min(level, level_01) - 1
    root = machine.vcpu.regs[0].root
    status, _ = _map(machine, root, gfn, frame, size, entry & EPT_RWX)
    return status


@kernel
def _give(machine, gfn, kind, whole):
    """L1's handler: a page of its own for L2. whole: L2's kernel overwrites it."""
    if not whole:
        return provide(machine, gfn, kind)
    unshare(machine, gfn)
    return overwrite(machine, gfn, False)


@kernel
def violate(machine, gfn, kind, whole):
    """An EPT violation of L2. Where EPT12 lacks the page, L0 reflects it to L1, which maps the page
    and resumes L2; L2 comes to L0 again, which now finds in EPT12 what EPT02 lacks. Returns a
    status."""
    record = record_of(machine)
    hpa, _ = nested.leaf_below(machine, record.ept12, gfn)
    need = EPT_W if kind == STORE else EPT_R
    if not memory.load(machine.host.memory, hpa) & need:
        exit_to_l0(machine, L2_EXIT)
        trap(machine, BACKING)
        status = _give(machine, gfn, kind, whole)
        if status == OK:
            status = _map_12(machine, gfn)
        if status != OK:
            return status
        exit_to_l0(machine, VMRESUME)
    exit_to_l0(machine, COMPOSE)
    return _map_02(machine, gfn)


@kernel
def touch(machine, gfn):
    """L2's kernel overwrites a page."""
    hpa, _ = nested.leaf_address(machine, gfn)
    if not memory.load(machine.host.memory, hpa) & EPT_W:
        status = violate(machine, gfn, STORE, True)
        if status != OK:
            return status
    if machine.vcpu.regs[0].root_ad:
        hpa, _ = nested.leaf_address(machine, gfn)
        entry = memory.load(machine.host.memory, hpa)
        memory.store(machine.host.memory, hpa, entry | EPT_A | EPT_D)
    return OK


@kernel
def read(machine, gfn):
    """L2's kernel reads a page."""
    hpa, _ = nested.leaf_address(machine, gfn)
    if memory.load(machine.host.memory, hpa) & EPT_RWX:
        return OK
    return violate(machine, gfn, LOAD, False)


@kernel
def store(machine, table, index, entry):
    guest_tables.store_entry(machine, table, index, entry)
    return touch(machine, table)


@kernel
def fault(machine, status, kind):
    if status != EPT_VIOLATION:
        return status
    return violate(machine, machine.vcpu.regs[0].fault_gpa >> 12, kind, False)


@kernel
def _clear(machine, root, gfn):
    """Clears the leaf of a gfn: (whether there was one, pages that it mapped)."""
    hpa, level = nested.leaf_below(machine, root, gfn)
    present = memory.load(machine.host.memory, hpa) & EPT_RWX != 0
    memory.store(machine.host.memory, hpa, 0)
    return present, pages_in(level - 1)


@kernel
def drop_mapping(machine, gfn):
    """L1 takes a page of L2's away: it clears the entries of EPT12, each with an exit where that is
    write-protected, and executes INVEPT, at which L0 has EPT02 follow."""
    record = record_of(machine)
    count = pages_in(host_size_of(machine, gfn))
    first = gfn & ~(count - 1)
    cleared = 0
    other = first
    while other < first + count:
        present, pages = _clear(machine, record.ept12, other)
        cleared += int(present)
        other += pages
    other = first
    while other < first + count:
        _, pages = _clear(machine, machine.vcpu.regs[0].root, other)
        other += pages
    machine.vcpu.own[EPT12_ENTRIES] += cleared
    if record.protect:
        for _ in range(cleared):
            exit_to_l0(machine, EPT12_WRITE)
    if cleared:
        exit_to_l0(machine, INVEPT)
    return OK

"""What cuckoo walk tables say of regions, and that caches of them are told of changes."""

from __future__ import annotations

from mmulab.mmu.hardware import contexts
from mmulab.mmu.hardware.state import ROUTE_EPT_PSC, ROUTE_PSC
from mmulab.mmu.hardware.walks.cuckoo_walk_caches import PMD, PTE, PUD, drop_region
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import INDEX_BITS, PAGE_SHIFT, level_shift
from mmulab.mmu.memory.hashed_lines import PER_LINE, PER_LINE_SHIFT
from mmulab.mmu.techniques.elastic_cuckoo.state import HOST, KERNEL, PROCESSES

_TOP = 57  # bits of an address


@inlined
def first_address(tag, size):
    """The first address of a line, with the sign that it has."""
    address = tag << (PAGE_SHIFT + PER_LINE_SHIFT + INDEX_BITS * size)
    return address - (1 << _TOP) if address >> (_TOP - 1) & 1 else address


@kernel
def region_changed(machine, owner, level, address):
    """The walk table's entry of a region is another from now on."""
    regs = machine.vcpu.regs[0]
    row = ROUTE_PSC
    if owner == HOST:
        row, context = ROUTE_EPT_PSC, regs.physical_context
    elif owner == KERNEL:
        context = regs.global_context
    elif owner == PROCESSES + machine.vm.record[0].current:
        context = regs.context
    else:
        pcid = machine.vm.process[owner - PROCESSES].asid
        context = contexts.number_of(machine.core, regs.vpid, pcid, regs.root)
    drop_region(machine.core, context, row, level, address)


@kernel
def line_changed(machine, owner, size, tag):
    """A line has come, gone, or moved to another way, or an entry of it has changed."""
    address = first_address(tag, size)
    if size > 0:
        for page in range(PER_LINE):
            region_changed(machine, owner, size + 1, address + (page << level_shift(size + 1)))
    if owner == HOST:
        if size == 0:
            region_changed(machine, owner, PTE, address)
            region_changed(machine, owner, PMD, address)
        if size < 2:
            region_changed(machine, owner, PUD, address)


@kernel
def count_line(machine, owner, size, tag, number):
    """A line more, or less: the host's walk table counts them."""
    state = machine.vcpu.hashing[0]
    if owner != HOST or size == 2:
        return
    first = state.walk_table << PAGE_SHIFT
    address = first_address(tag, size)
    gigabytes = (state.regions + 511) >> INDEX_BITS
    at = first + ((state.regions + (address >> level_shift(3)) + size * gigabytes) << 3)
    memory.store(machine.host.memory, at, memory.load(machine.host.memory, at) + number)
    if size == 0:
        at = first + (address >> level_shift(2) << 3)
        memory.store(machine.host.memory, at, memory.load(machine.host.memory, at) + number)

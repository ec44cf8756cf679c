"""What a VMM does for a table of guest-physical memory, whatever the table's shape.

The hardware stops with an EPT violation where the table lacks a page; the VMM backs the page and
maps it. The guest's own tables, CR3 and TLB are the guest's.
"""

from __future__ import annotations

from typing import Any

from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import guest_tables
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import EPT_A, EPT_D, EPT_RWX, EPT_W, pages_in
from mmulab.mmu.memory.p2m import host_size_of
from mmulab.mmu.memory.status import EPT_VIOLATION, OK
from mmulab.mmu.techniques.costs import HOST_ALLOCATION
from mmulab.mmu.techniques.technique import Exit
from mmulab.mmu.techniques.unshare import provide, unshare
from mmulab.mmu.vmm.calls import back, overwrite
from mmulab.mmu.vmm.exits import vm_exit

EPT_VIOLATIONS = 0  # index of the exit reason

EXITS = (Exit("ept_violation", "EPT violations", HOST_ALLOCATION),)


@kernel
def _clear(machine, gfn, hpa, level):
    memory.store(machine.host.memory, hpa, 0)


def hooks_for(leaf_address: Any, map_page: Any, clear: Any = _clear) -> dict[str, Any]:
    """The hooks of a technique with such a table, by name, but for `start` and `stop`.

    leaf_address(machine, gfn) -> (HPA of the EPT entry that ends the walk of a gfn, level: the
    page that such an entry may map). map_page(machine, gfn) -> status: maps the host page that
    backs gfn, a merged one read-only. clear(machine, gfn, hpa, level): empties the entry there, of
    that level, that `leaf_address` gives for gfn.
    """

    @kernel
    def touch(machine, gfn):
        """The guest kernel overwrites a page: an EPT violation where it may not yet."""
        hpa, level = leaf_address(machine, gfn)
        if not memory.load(machine.host.memory, hpa) & EPT_W:
            vm_exit(machine, EPT_VIOLATIONS)
            unshare(machine, gfn)
            status = overwrite(machine, gfn, False)
            if status == OK:
                status = map_page(machine, gfn)
            if status != OK:
                return status
        if machine.vcpu.regs[0].root_ad:
            hpa, level = leaf_address(machine, gfn)
            entry = memory.load(machine.host.memory, hpa)
            memory.store(machine.host.memory, hpa, entry | EPT_A | EPT_D)
        return OK

    @kernel
    def read(machine, gfn):
        """The guest kernel reads a page: an EPT violation where it is not mapped."""
        hpa, level = leaf_address(machine, gfn)
        if memory.load(machine.host.memory, hpa) & EPT_RWX:
            return OK
        vm_exit(machine, EPT_VIOLATIONS)
        status = back(machine, gfn)
        return status if status != OK else map_page(machine, gfn)

    @kernel
    def fault(machine, status, gva, kind, user):
        """EPT violation: backs the page, for a store with one of its own, and maps it."""
        if status != EPT_VIOLATION:
            return status
        gfn = machine.vcpu.regs[0].fault_gpa >> 12
        vm_exit(machine, EPT_VIOLATIONS)
        status = provide(machine, gfn, kind)
        return status if status != OK else map_page(machine, gfn)

    @kernel
    def store(machine, table, index, entry):
        guest_tables.store_entry(machine, table, index, entry)
        return touch(machine, table)

    @kernel
    def drop_mapping(machine, gfn):
        """The host page behind gfn is about to change: its leaves go. The caller flushes."""
        count = pages_in(host_size_of(machine, gfn))
        first = gfn & ~(count - 1)
        other = first
        while other < first + count:
            hpa, level = leaf_address(machine, other)
            clear(machine, other, hpa, level)
            other += pages_in(level - 1)
        return OK

    @kernel
    def is_mapped(machine, gfn):
        """1 where the guest has reached the page since it was last dropped."""
        hpa, _ = leaf_address(machine, gfn)
        return int(memory.load(machine.host.memory, hpa) & EPT_RWX != 0)

    @kernel
    def was_accessed(machine, gfn):
        """Whether the host page was used since this was last asked, any part of it. Without EPT A
        bits the leaf goes, and its return tells (Linux KVM, Documentation/virt/kvm/x86/mmu.rst)."""
        count = pages_in(host_size_of(machine, gfn))
        other = gfn & ~(count - 1)
        end = other + count
        has_bits = machine.vcpu.regs[0].root_ad != 0
        used = False
        while other < end:
            hpa, level = leaf_address(machine, other)
            entry = memory.load(machine.host.memory, hpa)
            used |= entry & (EPT_A if has_bits else EPT_RWX) != 0
            if has_bits:
                memory.store(machine.host.memory, hpa, entry & ~EPT_A)
            else:
                clear(machine, other, hpa, level)
            other = (other & ~(pages_in(level - 1) - 1)) + pages_in(level - 1)
        return int(used)

    return {
        "touch": touch,
        "read": read,
        "fault": fault,
        "store": store,
        "drop_mapping": drop_mapping,
        "is_mapped": is_mapped,
        "was_accessed": was_accessed,
    }

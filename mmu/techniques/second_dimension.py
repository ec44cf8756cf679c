"""What a VMM does for a table of guest-physical memory, whatever the table's shape.

The hardware stops with an EPT violation where the table lacks a page; the VMM backs the page and
maps it. The guest's own tables, CR3 and TLB are the guest's.
"""

from __future__ import annotations

from typing import Any

from mmulab.mmu.hardware.pml import log_store
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import guest_tables
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import EPT_A, EPT_D, EPT_RWX, EPT_W, PAGE_SHIFT, pages_in
from mmulab.mmu.memory.guest_tables import is_table
from mmulab.mmu.memory.p2m import host_size_of, is_merged
from mmulab.mmu.memory.status import EPT_VIOLATION, OK, PML_FULL
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.techniques.costs import HOST_ALLOCATION
from mmulab.mmu.techniques.technique import Exit
from mmulab.mmu.techniques.unshare import own_table, provide, unshare
from mmulab.mmu.trace import STORE
from mmulab.mmu.vmm import dirty_log
from mmulab.mmu.vmm.calls import back, overwrite
from mmulab.mmu.vmm.exits import vm_exit

EPT_VIOLATIONS, PML_FULLS = 0, 1  # index of the exit reason

EXITS = (Exit("ept_violation", "EPT violations", HOST_ALLOCATION),)
WITH_PML = (
    *EXITS,
    Exit(
        "pml_full",
        "full logs of stores",
        Cited(
            5000,
            "assumption: 512 addresses are read and marked in a bitmap, at 10 cycles each (Linux "
            "KVM, vmx_flush_pml_buffer()). From 2 cycles each, where the bitmap is in L1, to 40",
            1000,
            20000,
        ),
    ),
)


@kernel
def _clear(machine, gfn, hpa, level):
    memory.store(machine.host.memory, hpa, 0)


def hooks_for(leaf_address: Any, map_page: Any, clear: Any = _clear) -> dict[str, Any]:
    """The hooks of a technique with such a table, by name, but for `start` and `stop`.

    leaf_address(machine, gfn) -> (HPA of the EPT entry that ends the walk of a gfn, level: the
    page that such an entry may map). map_page(machine, gfn) -> status: maps the host page that
    backs gfn, a merged one read-only. clear(machine, gfn, hpa, level): empties the entry there, of
    that level, that `leaf_address` gives for gfn. A technique that has no exits `WITH_PML` is not
    logged so.
    """

    @kernel
    def _set_dirty(machine, gfn):
        """A and D of a page that the guest kernel has stored to, as its processor sets them."""
        hpa, level = leaf_address(machine, gfn)
        entry = memory.load(machine.host.memory, hpa)
        if not entry & EPT_D and not log_store(machine.vcpu, gfn << PAGE_SHIFT):
            vm_exit(machine, PML_FULLS)
            dirty_log.empty_pml(machine)
            log_store(machine.vcpu, gfn << PAGE_SHIFT)
        memory.store(machine.host.memory, hpa, entry | EPT_A | EPT_D)

    @kernel
    def touch(machine, gfn):
        """The guest kernel overwrites a page: an EPT violation where it may not yet."""
        hpa, level = leaf_address(machine, gfn)
        if not memory.load(machine.host.memory, hpa) & EPT_W:
            vm_exit(machine, EPT_VIOLATIONS)
            unshare(machine, gfn)
            status = overwrite(machine, gfn, False)
            dirty_log.note(machine, gfn)
            if status == OK:
                status = map_page(machine, gfn)
            if status != OK:
                return status
        if machine.vcpu.regs[0].root_ad:
            _set_dirty(machine, gfn)
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
        """EPT violation: backs the page, for a store with one of its own, and maps it. A walk
        stores to gPT pages: it sets their A and D bits."""
        if status == PML_FULL:
            vm_exit(machine, PML_FULLS)
            dirty_log.empty_pml(machine)
            return OK
        if status != EPT_VIOLATION:
            return status
        gfn = machine.vcpu.regs[0].fault_gpa >> 12
        vm_exit(machine, EPT_VIOLATIONS)
        dirty_log.empty_pml(machine)  # KVM does at every exit (vmx.c, vmx_handle_exit())
        if is_table(machine, gfn):
            kind = STORE
        status = provide(machine, gfn, kind)
        if kind == STORE:
            dirty_log.note(machine, gfn)
        return status if status != OK else map_page(machine, gfn)

    @kernel
    def store(machine, table, index, entry):
        if is_merged(machine, table):
            vm_exit(machine, EPT_VIOLATIONS)
            status = own_table(machine, table)
            dirty_log.note(machine, table)
            if status == OK:
                status = map_page(machine, table)
            if status != OK:
                return status
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
    def protect(machine, gfn):
        """The next store to the page exits. Without EPT A/D bits a walker's writes to a gPT page
        do not ask for the right to: that is not mapped at all. The caller flushes."""
        hpa, level = leaf_address(machine, gfn)
        entry = memory.load(machine.host.memory, hpa)
        if entry & EPT_RWX:
            hidden = is_table(machine, gfn) and not machine.vcpu.regs[0].root_ad
            memory.store(machine.host.memory, hpa, 0 if hidden else entry & ~EPT_W)
        return OK

    @kernel
    def test_dirty(machine, gfn):
        """The D bit of the page's leaf, which is cleared. The caller flushes."""
        hpa, level = leaf_address(machine, gfn)
        entry = memory.load(machine.host.memory, hpa)
        memory.store(machine.host.memory, hpa, entry & ~EPT_D)
        return int(entry & EPT_D != 0)

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
        "protect": protect,
        "test_dirty": test_dirty,
        "is_mapped": is_mapped,
        "was_accessed": was_accessed,
    }

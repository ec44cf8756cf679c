"""Paravirtual direct paging, as Xen has it for PV guests (Barham et al., SOSP 2003).

    hooks        what Linux does on Xen, and when
    multicalls   its buffer of hypercalls
    types        what Xen allows a frame to be used as
    memory       the guest's memory
    state        what all of that is kept in
    reference    the same, slowly, to check against

The paper was not at hand; Xen's and Linux's code was read: xen/arch/x86/mm.c (first comment,
do_mmu_update()), xen/arch/x86/pv/mm.h, tools/libs/guest/xg_dom_x86.c; arch/x86/xen/mmu_pv.c,
arch/x86/xen/multicalls.c.
"""

from __future__ import annotations

from mmulab.mmu.hardware.walks.one_dimensional import WALK
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.techniques.costs import HOST_ALLOCATION
from mmulab.mmu.techniques.parameters import Parameter
from mmulab.mmu.techniques.paravirt import hooks
from mmulab.mmu.techniques.paravirt.reference import ParavirtReference
from mmulab.mmu.techniques.paravirt.state import WRITES, make_state
from mmulab.mmu.techniques.technique import Counter, Exit, Technique

_TRAP = (
    "assumption: SYSCALL and SYSRET, registers and stacks switched. Low: without mitigations "
    "of speculative-execution attacks. High: Xen's page tables switched at both ends (XPTI)"
)
_HYPERCALL = Cited(400, _TRAP, 200, 1200)

TECHNIQUE = Technique(
    name="paravirt",
    summary="Xen PV direct paging: the guest's tables hold machine frames, written by hypercall",
    source="Xen, xen/arch/x86/mm.c; Linux, arch/x86/xen/mmu_pv.c and multicalls.c; Barham et al., "
    "SOSP 2003",
    module=__name__,
    walk=WALK,
    reference=ParavirtReference,
    hooks={
        name: getattr(hooks, name)
        for name in (
            "start",
            "touch",
            "read",
            "table_allocated",
            "table_freed",
            "new_root",
            "pin",
            "store",
            "invlpg",
            "load_cr3",
            "flush_range",
            "kernel_enter",
            "kernel_leave",
            "batch_begin",
            "batch_end",
            "mapping_removed",
            "is_mapped",
        )
    },
    parameters=(
        Parameter(
            "writes",
            "of gPTEs outside a batch: by mmu_update; by update_va_mapping, which flushes the "
            "page, too; emulated: plain stores to the lowest tables trap, in batches as well",
            WRITES,
        ),
    ),
    exits=(
        Exit(
            "mmu_update",
            "mmu_update hypercalls",
            _HYPERCALL,
            category="exit_pte",
            by_hardware=False,
        ),
        Exit(
            "update_va_mapping",
            "update_va_mapping hypercalls",
            _HYPERCALL,
            category="exit_pte",
            by_hardware=False,
        ),
        Exit(
            "emulated_write",
            "PTE writes emulated",
            Cited(
                2500,
                "assumption: a page fault, about 500 cycles, then fetch, decode and emulation of "
                "the instruction, as a PTE write under shadow paging. From half to twice",
                1250,
                5000,
            ),
            category="exit_pte",
            by_hardware=False,
        ),
        Exit(
            "table",
            "hypercalls that pin or unpin tables",
            _HYPERCALL,
            category="exit_pte",
            by_hardware=False,
        ),
        Exit(
            "tlb_flush",
            "hypercalls that flush the TLB",
            _HYPERCALL,
            category="exit_flush",
            by_hardware=False,
        ),
        Exit(
            "cr3_load",
            "CR3 loads",
            Cited(
                700,
                f"{_TRAP}; and the load of CR3 itself, 300 cycles. Half to twice",
                350,
                1400,
            ),
            category="exit_flush",
            instead_of="cr3_loads",
            by_hardware=False,
        ),
        Exit(
            "kernel_entry",
            "entries to the guest kernel by way of Xen",
            Cited(
                400,
                f"{_TRAP}; a frame is made on the guest kernel's stack",
                200,
                1200,
            ),
            by_hardware=False,
        ),
        Exit("iret", "returns to the user by way of Xen", _HYPERCALL, by_hardware=False),
        Exit(
            "memory_op",
            "memory_op hypercalls",
            HOST_ALLOCATION,
            by_hardware=False,
        ),
    ),
    counters=(
        Counter(
            "validated_entries",
            "gPTEs that Xen checked",
            Cited(
                30,
                "assumption: the entry read, the counts of one frame changed atomically. Low: an "
                "empty entry. High: the frame's record misses the caches",
                3,
                100,
            ),
            category="exit_pte",
        ),
        Counter("flushed_by_writes", "INVLPGs that update_va_mapping had done"),
        Counter("exchanged_pages", "pages moved so that a large page lies together"),
    ),
    state=make_state,
    assumptions=(
        "plain read-modify-writes of gPTEs (ptep_get_and_clear, ptep_set_wrprotect), which trap in "
        "Linux on Xen and are emulated, join the batch here; writes=emulated traps them all",
        "the root of the user's half, a page of its own in 64-bit guests, is not kept; nor are "
        "user pages global, which in Xen outlive the way into the guest kernel and back",
        "EXEC empties a process's tables while they are pinned; Linux would make new ones",
        "large pages are there, where machine memory lies together; Linux on Xen has none",
        "memory_op populates a page when it is first used after a balloon gave it back",
        "PCIDs are hidden from the guest",
    ),
    guest_pcid=False,
    machine_frames=True,
    fixed="the guest's tables hold machine frames, which Xen neither pages out nor shares of a "
    "PV guest",
)

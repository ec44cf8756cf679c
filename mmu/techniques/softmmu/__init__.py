"""An emulator: QEMU's software MMU. The guest's MMU is a program; hardware knows nothing of it.

    walk        the load that every access begins with
    tlb         the software TLB, as in accel/tcg/cputlb.c
    hooks       its slow path, flushes, and the host's questions
    state       what all of that is kept in
    reference   what entries should hold, to check against

Read: QEMU, accel/tcg/cputlb.c and accel/tcg/tlb-bounds.h, as of 2025 to 2026. How target/i386
sets A and D, and that each load of CR3 flushes, was not read there: as the manuals have it.
"""

from __future__ import annotations

from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.techniques.costs import HOST_ALLOCATION
from mmulab.mmu.techniques.parameters import HOST_PAGE_SIZE, Parameter
from mmulab.mmu.techniques.softmmu import hooks
from mmulab.mmu.techniques.softmmu.reference import SoftmmuReference
from mmulab.mmu.techniques.softmmu.state import make_state
from mmulab.mmu.techniques.softmmu.walk import WALK
from mmulab.mmu.techniques.technique import Counter, Exit, Technique

TECHNIQUE = Technique(
    name="softmmu",
    summary="an emulator's software TLB, direct-mapped and resized as QEMU's",
    source="QEMU, accel/tcg/cputlb.c and tlb-bounds.h",
    module=__name__,
    walk=WALK,
    reference=SoftmmuReference,
    hooks={
        name: getattr(hooks, name)
        for name in (
            "start",
            "stop",
            "touch",
            "read",
            "invlpg",
            "load_cr3",
            "fault",
            "drop_mapping",
            "is_mapped",
            "was_accessed",
        )
    },
    parameters=(
        Parameter(
            "most",
            "log2 of a TLB's entries at most (CPU_TLB_DYN_MAX_BITS; 22 on 64-bit hosts in older "
            "versions)",
            low=6,
            high=22,
            default=20,
        ),
        Parameter(
            "window",
            "accesses in the window of 100 ms after which a TLB may shrink; an emulator is taken "
            "to make 100 million a second",
            low=1,
            high=1 << 40,
            default=10_000_000,
        ),
        HOST_PAGE_SIZE,
    ),
    exits=(
        Exit(
            "tlb_fill",
            "TLB fills",
            Cited(
                400,
                "assumption: a call out of translated code, the walk's instructions and the "
                "entry's making, some 1,000 instructions; the walk's references are apart. From "
                "half to thrice",
                200,
                1200,
            ),
            by_hardware=False,
        ),
        Exit(
            "exception",
            "page faults raised",
            Cited(
                1000,
                "assumption: the guest's state restored from the translated code's position, a "
                "long jump to the main loop, the way through the guest's IDT. From half to thrice",
                500,
                3000,
            ),
            by_hardware=False,
        ),
        Exit("host_fault", "host page faults", HOST_ALLOCATION, by_hardware=False),
        Exit(
            "cr3_load",
            "CR3 loads",
            Cited(
                1500,
                "assumption: a helper, and the jump cache of 4,096 blocks emptied at 32 bytes a "
                "cycle; entries of the TLB are apart. Half, to thrice, where it lies in no cache",
                750,
                4500,
            ),
            category="exit_flush",
            instead_of="cr3_loads",
            by_hardware=False,
        ),
        Exit(
            "invlpg",
            "INVLPG",
            Cited(
                200,
                "assumption: a helper; one entry and eight victims of each mode looked at. Half, "
                "to thrice",
                100,
                600,
            ),
            category="exit_flush",
            instead_of="invlpgs",
            by_hardware=False,
        ),
    ),
    counters=(
        Counter(
            "lookups",
            "accesses, each with a look-up in the software TLB",
            Cited(
                3,
                "assumption: eight instructions of translated code (shift, mask, add, load, "
                "compare, branch, load, add), in the shadow of other work but for a load that "
                "hits the L1 cache. From 1, hidden, to 8, of which none is",
                1,
                8,
            ),
            category="l2_tlb",
            of="accesses",
        ),
        Counter(
            "victim_hits",
            "entries found in the victim TLB",
            Cited(
                60,
                "assumption: a call out of translated code, eight entries compared, two swapped. "
                "Half, to thrice",
                30,
                180,
            ),
            category="exit_fault",
        ),
        Counter(
            "wiped_entries",
            "entries written over by flushes",
            Cited(
                1,
                "assumption: 32 bytes a cycle, as memset() does in the L1 cache. High: memory's "
                "bandwidth, 8 bytes a cycle",
                1,
                4,
            ),
            category="exit_flush",
        ),
        Counter("grown", "times that a TLB grew"),
        Counter("shrunk", "times that a TLB shrank"),
        Counter("large_flushes", "INVLPGs in the region of large pages, that flushed all of a TLB"),
    ),
    state=make_state,
    assumptions=(
        "the processor's TLB stands for the software TLB's entries that lie in its L1 cache: what "
        "it holds, the software TLB does; a hit pays for a look-up and no more, a miss loads the "
        "entry, which the caches price",
        "the emulator's own addresses cost nothing to translate: no host walk",
        "translated code is as fast as the program, but for its accesses to memory",
        "a page of the emulator that the host takes or shares loses its entries, which in QEMU "
        "stay: they hold the emulator's addresses, not the host's",
        "there are two modes, of user and kernel addresses; global pages are flushed with the rest",
        "time is counted in accesses, as the parameter window says",
        "PCIDs are hidden from the guest",
    ),
    guest_pcid=False,
)

"""Direct Memory Translation: leaves lie where an addition finds them (Zhang et al., ASPLOS 2024).

    areas        the guest kernel's: translation entry areas (TEAs), and how they grow
    adopted      areas of tables that were dumped from a machine
    host         the host's: its own area, and the guest's in one piece (pvDMT)
    state        what is kept for both
    reference    the same, slowly, to check against

The walk is `hardware.walks.dmt`: 3 references, 2 with pvDMT, 1 on bare metal. The paper was read in
its abstract alone; of the artifact (xlab-uiuc/dmt) the kernel's mm/hyperlane.c, the simulator and
the formulas of its data processor.
"""

from __future__ import annotations

from mmulab.mmu.hardware.walks.dmt import WALK
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.techniques.dmt import adopted, areas, host
from mmulab.mmu.techniques.dmt.reference import DmtReference
from mmulab.mmu.techniques.dmt.state import make_state
from mmulab.mmu.techniques.parameters import HOST_PAGE_SIZE, Parameter
from mmulab.mmu.techniques.second_dimension import EXITS
from mmulab.mmu.techniques.technique import Counter, Exit, Technique

TECHNIQUE = Technique(
    name="dmt",
    summary="direct memory translation: last-level tables in one piece, leaves found by addition",
    source="Zhang et al., Direct Memory Translation for Virtualized Clouds, ASPLOS 2024 (abstract; "
    "artifact xlab-uiuc/dmt)",
    module=__name__,
    walk=WALK,
    reference=DmtReference,
    hooks={
        **host.HOOKS,
        "store": areas.store,
        "load_cr3": areas.load_cr3,
        "place_table": areas.place_table,
        "table_freed": areas.table_freed,
        "adopted": adopted.adopted,
    },
    parameters=(
        Parameter("mode", "of a VM; native: of bare metal", ("vm", "native")),
        Parameter(
            "pv", "yes: pvDMT, whose host backs the guest's areas by one piece", ("no", "yes")
        ),
        Parameter(
            "least",
            "MiB of the smallest mapping that gets an area; the artifact's code has 64, its "
            "comment 4",
            low=0,
            high=1 << 20,
            default=4,
        ),
        HOST_PAGE_SIZE,
    ),
    exits=(
        *EXITS,
        Exit(
            "alloc_tea",
            "hypercalls for areas in one piece",
            Cited(
                20_000,
                "assumption: alloc_contig_pages() looks for free frames zone by zone, some "
                "thousand cycles; EPT entries for a hundred pages, 100 each. Low: few pages, "
                "found at once. High: movable pages must be moved out of the way",
                2_000,
                1_000_000,
            ),
        ),
    ),
    counters=(
        Counter(
            "teas",
            "areas made",
            Cited(
                5_000,
                "assumption: alloc_contig_pages() where the first range is free. High: movable "
                "pages must be moved out of the way",
                1_000,
                1_000_000,
            ),
            category="guest_kernel",
        ),
        Counter(
            "tea_pages",
            "4 KiB set aside for tables in areas",
            Cited(
                50,
                "assumption: a frame taken from the free list and counted, as in Linux's bulk "
                "allocation. Low: a block of many at once. High: one by one, with its lock",
                5,
                200,
            ),
            category="guest_kernel",
        ),
        Counter(
            "migrated",
            "tables moved to a larger area",
            Cited(
                1_500,
                "assumption: 64 lines read and written at 10 cycles each, the entry above, its "
                "lock. Low: lines in L1. High: from memory, and a flush of its own",
                500,
                15_000,
            ),
            category="guest_kernel",
        ),
        Counter("fallbacks", "tables that found no place in an area"),
    ),
    state=make_state,
    assumptions=(
        "16 registers, the number of segments in the artifact's kernel; the host has its own for "
        "all of the VM's memory, in one piece from the start",
        "the last level's tables of 2 MiB leaves have areas, too; the kernel read has them for "
        "4 KiB leaves alone",
        "an area that the host has in one piece grows by moving",
        "memory that the trace tells no mapping of is taken in pieces of 32 tables",
        "bare metal is a VM whose memory lies in one segment that costs nothing, whatever pv says",
        "a register's entry that is not present costs nothing before the walk of the tables",
    ),
    dumps=True,
)

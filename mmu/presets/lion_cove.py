"""Intel Lion Cove, as in the Core Ultra 7 258V (2024), a client processor."""

from __future__ import annotations

from mmulab.mmu.presets.cited import Cited, Stated
from mmulab.mmu.presets.common import (
    INTEL_PREFETCHERS,
    INTEL_PSC,
    NTLB,
    PAGE_WALKERS,
    PERFMON_TMA,
    SOFTWARE,
    WALKS_ENTER_L1D,
    cycles,
    guest_physical,
)
from mmulab.mmu.presets.preset import TLB, Cache, Preset

ROARS = "Chips and Cheese, Lion Cove: Intel's P-Core Roars, 27 September 2024"
CLOCK = Cited(
    4.8,
    "highest of one core of a Core Ultra 7 258V, 2.2 to 4.8 GHz: Intel, product specifications",
    2.2,
    4.8,
)

TLBS = (
    TLB("itlb-4k", 1, "I", ("4k",), 32, 8, f"256 entries, 8-way: {ROARS}"),
    TLB("itlb-2m", 1, "I", ("2m",), 4, 8, f"32 entries, 8-way: {ROARS}"),
    TLB("dtlb-4k", 1, "D", ("4k",), 16, 8, f"128 entries, 8-way: {ROARS}"),
    TLB("dtlb-2m", 1, "D", ("2m",), 4, 8, f"32 entries, 8-way: {ROARS}"),
    TLB("dtlb-1g", 1, "D", ("1g",), 1, 8, "assumption: 8 entries, as Golden Cove"),
    TLB(
        "stlb",
        2,
        "ID",
        ("4k", "2m", "1g"),
        128,
        16,
        "2,048 entries, two halves of 128 sets and 8 ways, one for 4 KiB and 2 MiB, one for 4 KiB "
        f"and 1 GiB: {ROARS}; see notes",
    ),
)

CACHES = (
    Cache(
        "L1D",
        48 * 1024,
        12,
        Cited(4, f"4 cycles: {ROARS}. High: a cycle more, where the address is not simple", 4, 5),
        f"48 KiB, which Intel calls L0: {ROARS}; assumption: 12-way, as Golden Cove",
    ),
    Cache(
        "L1.5",
        192 * 1024,
        12,
        Cited(
            9,
            f"8.97 cycles: {ROARS}. High: assumption: with what waits in its queues",
            9,
            12,
        ),
        f"192 KiB, which Intel calls L1: {ROARS}; assumption: 12-way, neither inclusive nor "
        "exclusive",
    ),
    Cache(
        "L2",
        2560 * 1024,
        10,
        Cited(
            17,
            f"17 cycles: {ROARS}. High: assumption: with what waits in its queues",
            17,
            22,
        ),
        f"2.5 MiB: {ROARS}; assumption: 10-way, neither inclusive nor exclusive",
    ),
    Cache(
        "L3",
        3072 * 1024,
        12,
        Cited(
            51,
            "51 cycles: Wikipedia, Lion Cove, 2024, from Chips and Cheese. A tenth less to a half "
            "more: assumption: near and far slices, other cores' traffic",
            46,
            77,
        ),
        f"12 MiB in four slices, one to each core: {ROARS}; assumption: 12-way, neither inclusive "
        "nor exclusive",
    ),
)

PRESET = Preset(
    name="lion-cove",
    title="Intel Lion Cove (Core Ultra 7 258V, Lunar Lake)",
    year=2024,
    tlbs=TLBS,
    walk_caches=(*INTEL_PSC, *guest_physical(INTEL_PSC), NTLB),
    caches=CACHES,
    memory_latency=Cited(
        cycles(131.4, CLOCK),
        f"131.4 ns with LPDDR5X; low: 112.4 ns, while other cores keep the memory awake: {ROARS}. "
        "High: assumption: 160 ns, with other cores' traffic",
        cycles(112.4, CLOCK),
        cycles(160, CLOCK),
    ),
    costs={
        **SOFTWARE,
        "l2_tlb_hit": Cited(
            7,
            f"about 7 cycles: {ROARS}; 7: {PERFMON_TMA}. A cycle to either side: assumption, by "
            "what is replayed",
            6,
            8,
        ),
    },
    clock_ghz=CLOCK,
    walkers=Cited(4, f"4: {PAGE_WALKERS}"),
    miss_registers=Cited(
        16, "assumption: 16 fill buffers of L1D, as Golden Cove; no number is published", 16, 32
    ),
    window=Cited(576, f"576 entries of the reorder buffer: {ROARS}"),
    llc_size=Cited(12 << 20, f"12 MiB: {ROARS}"),
    llc_slices=Cited(4, f"four slices, one to each core of this kind: {ROARS}"),
    walks_enter=Stated(
        WALKS_ENTER_L1D.names, f"assumption: as Haswell, where {WALKS_ENTER_L1D.source}"
    ),
    prefetchers=INTEL_PREFETCHERS,
    notes=(
        "The data TLBs are those of loads; the 16-entry TLB of stores, which holds all page "
        "sizes, is not modelled: stores use the loads' TLBs.",
        "STLB: 2 MiB and 1 GiB pages can use all 16 ways here, only the 8 ways of one half "
        "each in the processor.",
        "The 8 MiB of memory-side cache, some 30 ns away, is not modelled.",
    ),
)

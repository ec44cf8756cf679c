"""Intel Golden Cove, as in Sapphire Rapids, the fourth Xeon Scalable (2023)."""

from __future__ import annotations

from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.presets.common import (
    INTEL_PSC,
    NTLB,
    PAGE_TABLE_SHARE,
    PERFMON_TMA,
    SOFTWARE,
    guest_physical,
)
from mmulab.mmu.presets.preset import TLB, Cache, Preset, WalkCache

MANUAL = (
    "Intel 64 and IA-32 Architectures Optimization Reference Manual, volume 1, "
    "Golden Cove microarchitecture"
)
LEAF_18 = "CPUID leaf 18H as a Core i7-12700K reports it"
SAPPHIRE = "Chips and Cheese, Sapphire Rapids: Golden Cove Hits Servers, 12 March 2023"
MEASURED = "Chen, Intel Golden Cove microarchitecture review, jia.je, 10 January 2025"

TLBS = (
    TLB("itlb-4k", 1, "I", ("4k",), 32, 8, f"256 entries: {MANUAL}; 8-way: {MEASURED}"),
    TLB("itlb-2m", 1, "I", ("2m",), 4, 8, f"32 entries: {MANUAL}; 8-way: {LEAF_18}"),
    TLB(
        "dtlb-4k",
        1,
        "D",
        ("4k",),
        16,
        6,
        f"96 entries, 6-way: {MANUAL} ({LEAF_18}: 4-way, 16 sets)",
    ),
    TLB("dtlb-2m", 1, "D", ("2m",), 8, 4, f"32 entries, 4-way: {MANUAL}"),
    TLB("dtlb-1g", 1, "D", ("1g",), 1, 8, f"8 entries: {MANUAL}; fully associative: {LEAF_18}"),
    TLB(
        "stlb",
        2,
        "ID",
        ("4k", "2m", "1g"),
        128,
        16,
        f"2,048 entries: {MANUAL}; two halves of 128 sets and 8 ways, one for 4 KiB and "
        f"2 MiB, one for 4 KiB and 1 GiB: {LEAF_18}; see notes",
    ),
)

LINEAR_PSC = (
    WalkCache("pml5e", 1, 2, "assumption: as many entries as pml4e"),
    *INTEL_PSC,
)

CACHES = (
    Cache(
        "L1D",
        48 * 1024,
        12,
        Cited(5, f"5 cycles: {MANUAL}. High: a cycle more, where the address is not simple", 5, 6),
        "48 KiB, 12-way: Hardware Times, Sapphire Rapids-SP cache hierarchy, 2021",
    ),
    Cache(
        "L2",
        2048 * 1024,
        16,
        Cited(
            16,
            f"16 cycles, one more than client Golden Cove: {SAPPHIRE}. Low: the client's. High: "
            "assumption: with what waits in its queues",
            15,
            20,
        ),
        f"2 MiB: {SAPPHIRE}; assumption: 16-way",
    ),
    Cache(
        "L3",
        1920 * 1024,
        15,
        Cited(
            125,
            f"33 ns: {SAPPHIRE}; at 3.8 GHz. Low: assumption: the nearest slices. High: 37 ns "
            f"({PERFMON_TMA}), at 3.8 GHz",
            100,
            141,
        ),
        "assumption: one slice of 1.875 MiB, 15-way, to each core",
    ),
)

PRESET = Preset(
    name="golden-cove",
    title="Intel Golden Cove (Xeon Scalable, Sapphire Rapids)",
    year=2023,
    tlbs=TLBS,
    walk_caches=(*LINEAR_PSC, *guest_physical(LINEAR_PSC), NTLB),
    caches=CACHES,
    page_table_share=PAGE_TABLE_SHARE,
    memory_latency=Cited(
        418,
        "assumption: 110 ns at 3.8 GHz; its L3 alone takes 33 ns. Low: 80 ns, as a Skylake-SP. "
        "High: assumption: 150 ns, with other cores' traffic",
        304,
        570,
    ),
    costs={
        **SOFTWARE,
        "l2_tlb_hit": Cited(
            7,
            f"5 cycles become 12: {MEASURED}; 7: {PERFMON_TMA}. A cycle to either side: "
            "assumption, by what is replayed",
            6,
            8,
        ),
    },
    va_levels=5,
    notes=(
        (
            "The data TLBs are those of loads; the 16-entry TLB of stores, which holds all page "
            "sizes, is not modelled: stores use the loads' TLBs."
        ),
        (
            "STLB: 2 MiB and 1 GiB pages can use all 16 ways here, only the 8 ways of one half "
            "each in the processor."
        ),
        (
            "LA57 exists in the server parts, and Linux uses it; client parts have 48-bit "
            "addresses (the Core i7-12700K says so in CPUID 8000_0008h)."
        ),
        "vm_exit is that of a processor without mitigations of speculative-execution attacks.",
    ),
)

"""Intel Golden Cove, as in Sapphire Rapids, the fourth Xeon Scalable (2023)."""

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
from mmulab.mmu.presets.preset import TLB, Cache, Preset, WalkCache

MANUAL = (
    "Intel 64 and IA-32 Architectures Optimization Reference Manual, volume 1, "
    "Golden Cove microarchitecture"
)
CLOCK = Cited(
    3.8,
    "highest of one core of a Xeon Platinum 8480+, 2.0 to 3.8 GHz: Intel, product specifications",
    2.0,
    3.8,
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
        f"2 MiB: {SAPPHIRE}; assumption: 16-way, neither inclusive nor exclusive of L1D",
    ),
    Cache(
        "L3",
        1920 * 1024,
        15,
        Cited(
            cycles(37, CLOCK),
            f"37 ns: {PERFMON_TMA}; 33 ns: {SAPPHIRE}. Low: the former at 2.0 GHz. High: "
            "assumption: 50 ns, with other cores' traffic",
            74,
            cycles(50, CLOCK),
        ),
        "assumption: one slice of 1.875 MiB, 15-way, to each core, filled with what L2 evicts",
        "exclusive",
    ),
)

PRESET = Preset(
    name="golden-cove",
    title="Intel Golden Cove (Xeon Scalable, Sapphire Rapids)",
    year=2023,
    tlbs=TLBS,
    walk_caches=(*LINEAR_PSC, *guest_physical(LINEAR_PSC), NTLB),
    caches=CACHES,
    memory_latency=Cited(
        cycles(109, CLOCK),
        f"109 ns: {PERFMON_TMA}. Low: those at 2.0 GHz. High: assumption: 150 ns, with other "
        "cores' traffic",
        218,
        cycles(150, CLOCK),
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
    clock_ghz=CLOCK,
    walkers=Cited(4, f"4 page table walkers: {MANUAL}; 4: {PAGE_WALKERS}"),
    miss_registers=Cited(16, f"16 fill buffers of L1D: {MANUAL}"),
    window=Cited(512, f"512 entries of the reorder buffer: {MANUAL}"),
    llc_size=Cited(105 << 20, "105 MB of a Xeon Platinum 8480+: Intel, product specifications"),
    llc_slices=Cited(56, "56 cores of a Xeon Platinum 8480+: Intel, product specifications"),
    walks_enter=Stated(
        WALKS_ENTER_L1D.names, f"assumption: as Haswell, where {WALKS_ENTER_L1D.source}"
    ),
    prefetchers=INTEL_PREFETCHERS,
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

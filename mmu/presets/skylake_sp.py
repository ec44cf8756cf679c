"""Intel Skylake-SP, the first Xeon Scalable (2017)."""

from __future__ import annotations

from mmulab.mmu.presets.cited import Cited, Stated
from mmulab.mmu.presets.common import (
    INTEL_PREFETCHERS,
    INTEL_PSC,
    KVM_2020,
    NTLB,
    PAGE_WALKERS,
    PERFMON_TMA,
    SOFTWARE,
    WALKS_ENTER_L1D,
    X86_VM_EXIT,
    cycles,
    guest_physical,
)
from mmulab.mmu.presets.preset import TLB, Cache, Preset

CLOCK = Cited(
    3.8,
    "highest of one core of a Xeon Platinum 8176, 2.1 to 3.8 GHz: Intel, product specifications",
    2.1,
    3.8,
)
LEAF_2 = "Intel SDM vol. 2A, CPUID leaf 02H, descriptor"
MANUAL = "Intel 64 and IA-32 Architectures Optimization Reference Manual (248966-045)"
ANANDTECH = (
    "AnandTech, Sizing Up Servers: Intel's Skylake-SP Xeon versus AMD's EPYC 7000, 2017, "
    "memory subsystem: latency"
)

TLBS = (
    TLB("itlb-4k", 1, "I", ("4k",), 16, 8, f"128 entries, 8-way: {MANUAL}, table 2-15"),
    TLB(
        "itlb-2m",
        1,
        "I",
        ("2m",),
        1,
        8,
        f"8 entries per thread: {MANUAL}, table 2-15; fully associative: {LEAF_2} 76H",
    ),
    TLB("dtlb-4k", 1, "D", ("4k",), 16, 4, f"64 entries, 4-way: {LEAF_2} 03H"),
    TLB("dtlb-2m", 1, "D", ("2m",), 8, 4, f"32 entries, 4-way: {LEAF_2} 63H"),
    TLB("dtlb-1g", 1, "D", ("1g",), 1, 4, f"4 entries, 4-way: {LEAF_2} 63H"),
    TLB(
        "stlb",
        2,
        "ID",
        ("4k", "2m"),
        128,
        12,
        f"1,536 entries: {LEAF_2} C3H; 12-way: WikiChip, Skylake (client), key changes "
        "(the descriptor says 6-way)",
    ),
    TLB("stlb-1g", 2, "ID", ("1g",), 4, 4, f"16 entries, 4-way: {LEAF_2} C3H"),
)

CACHES = (
    Cache(
        "L1D",
        32 * 1024,
        8,
        Cited(
            4,
            f"4 cycles: {ANANDTECH}. High: a cycle more, where the address is not simple",
            4,
            5,
        ),
        "32 KiB, 8-way: WikiChip, Skylake (client), memory hierarchy",
    ),
    Cache(
        "L2",
        1024 * 1024,
        16,
        Cited(14, f"lowest of 14 to 22 cycles: {ANANDTECH}", 14, 22),
        "1 MiB per core: Tom's Hardware, Intel Xeon Platinum 8176 review, 2017; assumption: "
        "16-way, neither inclusive nor exclusive of L1D",
    ),
    Cache(
        "L3",
        1408 * 1024,
        11,
        Cited(
            cycles(20.5, CLOCK),
            f"20.5 ns: {PERFMON_TMA}. Low: those at 2.1 GHz; 54 to 56 cycles within 4 to 8 MB were "
            f"measured ({ANANDTECH}). High: assumption: 35 ns, with other cores' traffic",
            43,
            cycles(35, CLOCK),
        ),
        "1.375 MiB per core, not inclusive: Vortez, Core i7-7800X review, 2017; assumption: "
        "11-way, filled with what L2 evicts",
        "exclusive",
    ),
)

PRESET = Preset(
    name="skylake-sp",
    title="Intel Skylake-SP (Xeon Scalable)",
    year=2017,
    tlbs=TLBS,
    walk_caches=(*INTEL_PSC, *guest_physical(INTEL_PSC), NTLB),
    caches=CACHES,
    memory_latency=Cited(
        cycles(80, CLOCK),
        f"80 ns: {PERFMON_TMA}. Low: those at 2.1 GHz. 89 to 91 ns were measured ({ANANDTECH}), "
        "with misses of the TLB among them. High: assumption: 120 ns, with other cores' traffic",
        168,
        cycles(120, CLOCK),
    ),
    costs={
        **SOFTWARE,
        "l2_tlb_hit": Cited(
            9,
            f"9 cycles: {PERFMON_TMA}. Low: as Golden Cove after it, 7 ({PERFMON_TMA}). High: "
            "assumption: a cycle more, by what is replayed",
            7,
            10,
        ),
        "vm_exit": Cited(
            X86_VM_EXIT.value,
            f"{X86_VM_EXIT.source}. On this processor: {KVM_2020}; high: assumption: a thousand "
            "more, for mitigations that it needs in software",
            X86_VM_EXIT.low,
            2559,
        ),
    },
    clock_ghz=CLOCK,
    walkers=Cited(2, f"2: {PAGE_WALKERS}"),
    miss_registers=Cited(
        12,
        "assumption: 12 fill buffers of L1D, as Sunny Cove after it; Haswell before it has 10",
        10,
        12,
    ),
    window=Cited(224, f"224 entries of the reorder buffer: {MANUAL}"),
    llc_size=Cited(
        38.5 * (1 << 20), "38.5 MB of a Xeon Platinum 8176: Intel, product specifications"
    ),
    llc_slices=Cited(28, "28 cores of a Xeon Platinum 8176: Intel, product specifications"),
    walks_enter=Stated(
        WALKS_ENTER_L1D.names, f"assumption: as Haswell, where {WALKS_ENTER_L1D.source}"
    ),
    prefetchers=INTEL_PREFETCHERS,
    notes=(
        "The instruction TLB holds 2 MiB fragments of 1 GiB pages.",
        "With hyper-threading the 2 MiB instruction TLB is per thread, the rest is shared.",
        "vm_exit is that of a processor without mitigations of speculative-execution attacks.",
    ),
)

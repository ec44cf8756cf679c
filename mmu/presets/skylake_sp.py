"""Intel Skylake-SP, the first Xeon Scalable (2017)."""

from __future__ import annotations

from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.presets.common import (
    INTEL_PSC,
    KVM_2020,
    NTLB,
    PAGE_TABLE_SHARE,
    PERFMON_TMA,
    SOFTWARE,
    X86_VM_EXIT,
    guest_physical,
)
from mmulab.mmu.presets.preset import TLB, Cache, Preset

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
        "1 MiB per core: Tom's Hardware, Intel Xeon Platinum 8176 review, 2017; assumption: 16-way",
    ),
    Cache(
        "L3",
        1408 * 1024,
        11,
        Cited(
            55,
            f"54 to 56 cycles within 4 to 8 MB: {ANANDTECH}. Low: 20.5 ns ({PERFMON_TMA}), at "
            "2.1 GHz. High: assumption: 35 ns, with other cores' traffic",
            43,
            74,
        ),
        "1.375 MiB per core, not inclusive: Vortez, Core i7-7800X review, 2017; assumption: 11-way",
    ),
)

PRESET = Preset(
    name="skylake-sp",
    title="Intel Skylake-SP (Xeon Scalable)",
    year=2017,
    tlbs=TLBS,
    walk_caches=(*INTEL_PSC, *guest_physical(INTEL_PSC), NTLB),
    caches=CACHES,
    page_table_share=PAGE_TABLE_SHARE,
    memory_latency=Cited(
        189,
        f"89 to 91 ns: {ANANDTECH}; times 2.1 GHz, the clock at which its 55 cycles of L3 "
        f"are its 25 to 27 ns. Low: 80 ns ({PERFMON_TMA}). High: assumption: 120 ns, with other "
        "cores' traffic",
        168,
        252,
    ),
    costs={
        **SOFTWARE,
        "l2_tlb_hit": Cited(
            7,
            "assumption: as Sandy Bridge before it (about 7: Chips and Cheese, Bulldozer: "
            f"Caching and Conclusion, 24 January 2023) and Golden Cove after it. High: "
            f"{PERFMON_TMA}",
            7,
            9,
        ),
        "vm_exit": Cited(
            X86_VM_EXIT.value,
            f"{X86_VM_EXIT.source}. On this processor: {KVM_2020}; high: assumption: a thousand "
            "more, for mitigations that it needs in software",
            X86_VM_EXIT.low,
            2559,
        ),
    },
    notes=(
        "The instruction TLB holds 2 MiB fragments of 1 GiB pages.",
        "With hyper-threading the 2 MiB instruction TLB is per thread, the rest is shared.",
        "vm_exit is that of a processor without mitigations of speculative-execution attacks.",
    ),
)

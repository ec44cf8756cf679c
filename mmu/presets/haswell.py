"""Intel Haswell, as in the Xeon E5 v3 (2014)."""

from __future__ import annotations

from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.presets.common import (
    FAULT_RANGE,
    HASWELL_FAULT,
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

MANUAL = (
    "Intel 64 and IA-32 Architectures Optimization Reference Manual, volume 1, Haswell "
    "microarchitecture"
)
CLOCK = Cited(
    3.6,
    "highest of one core of a Xeon E5-2699 v3, 2.3 to 3.6 GHz: Intel, product specifications",
    2.3,
    3.6,
)
LEAF_2 = "Intel SDM vol. 2A, CPUID leaf 02H, descriptor"
BROADWELL = (
    "as the Xeon E5-2699 v4 (Broadwell) in AnandTech, Sizing Up Servers: Intel's "
    "Skylake-SP Xeon versus AMD's EPYC 7000, 2017, memory subsystem: latency"
)

TLBS = (
    TLB(
        "itlb-4k",
        1,
        "I",
        ("4k",),
        32,
        4,
        f"128 entries, 4-way: {MANUAL}, TLB parameters; Skylake made it 8-way from 4: WikiChip, "
        "Skylake (client), key changes",
    ),
    TLB(
        "itlb-2m", 1, "I", ("2m",), 1, 8, f"8 entries, fully associative: {LEAF_2} 76H; per thread"
    ),
    TLB("dtlb-4k", 1, "D", ("4k",), 16, 4, f"64 entries, 4-way: {LEAF_2} 03H"),
    TLB("dtlb-2m", 1, "D", ("2m",), 8, 4, f"32 entries, 4-way: {LEAF_2} 63H"),
    TLB("dtlb-1g", 1, "D", ("1g",), 1, 4, f"4 entries, 4-way: {LEAF_2} 63H"),
    TLB("stlb", 2, "ID", ("4k", "2m"), 128, 8, f"1,024 entries, 8-way: {LEAF_2} C1H"),
)

CACHES = (
    Cache(
        "L1D",
        32 * 1024,
        8,
        Cited(
            4,
            f"assumption: 4 cycles, {BROADWELL}. High: a cycle more, where the address is not "
            "simple",
            4,
            5,
        ),
        "assumption: 32 KiB, 8-way, as every Intel core from Nehalem to Skylake",
    ),
    Cache(
        "L2",
        256 * 1024,
        8,
        Cited(12, f"assumption: lowest of 12 to 15 cycles, {BROADWELL}", 12, 15),
        "256 KiB; Skylake made it 4-way from 8: WikiChip, Skylake (client), key changes. Neither "
        f"inclusive nor exclusive: {MANUAL}, cache parameters",
    ),
    Cache(
        "L3",
        2560 * 1024,
        20,
        Cited(45, f"assumption: middle of 38 to 51 cycles, {BROADWELL}; 41: {PERFMON_TMA}", 38, 51),
        f"assumption: one slice of 2.5 MiB, 20-way, to each core. Inclusive: {MANUAL}",
        "inclusive",
    ),
)

PRESET = Preset(
    name="haswell",
    title="Intel Haswell (Xeon E5 v3)",
    year=2014,
    tlbs=TLBS,
    walk_caches=(*INTEL_PSC, *guest_physical(INTEL_PSC), NTLB),
    caches=CACHES,
    memory_latency=Cited(
        cycles(87, CLOCK),
        f"assumption: 87 ns, which 200 cycles ({PERFMON_TMA}) are at 2.3 GHz; 95 ns, {BROADWELL}. "
        "Low: those 200. High: assumption: 130 ns, with other cores' traffic",
        200,
        cycles(130, CLOCK),
    ),
    costs={
        **SOFTWARE,
        "l2_tlb_hit": Cited(
            8,
            f"8 cycles: {PERFMON_TMA}. Low: as Sandy Bridge before it, about 7 (Chips and Cheese, "
            "Bulldozer: Caching and Conclusion, 24 January 2023). High: assumption: a cycle more, "
            "by what is replayed",
            7,
            9,
        ),
        "guest_fault": Cited(1300, HASWELL_FAULT, *FAULT_RANGE),
    },
    clock_ghz=CLOCK,
    walkers=Cited(1, f"1: {PAGE_WALKERS}"),
    miss_registers=Cited(10, f"10 fill buffers of L1D: {MANUAL}"),
    window=Cited(192, f"192 entries of the reorder buffer: {MANUAL}"),
    llc_size=Cited(45 << 20, "45 MB of a Xeon E5-2699 v3: Intel, product specifications"),
    llc_slices=Cited(18, "18 cores of a Xeon E5-2699 v3: Intel, product specifications"),
    walks_enter=WALKS_ENTER_L1D,
    prefetchers=INTEL_PREFETCHERS,
    notes=(
        "1 GiB pages: none in the STLB; the instruction TLB holds 2 MiB fragments of them.",
        "With hyper-threading the 2 MiB instruction TLB is per thread, the rest is shared.",
    ),
)

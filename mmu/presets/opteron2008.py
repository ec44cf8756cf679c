"""AMD family 10h, "Barcelona": the processor of the 2-D page-walk study (2008)."""

from __future__ import annotations

from mmulab.mmu.presets.cited import Cited, Stated
from mmulab.mmu.presets.common import NTLB, SOFTWARE, cycles
from mmulab.mmu.presets.preset import TLB, Cache, Preset, WalkCache

CLOCK = Cited(2.3, "2.3 GHz of an Opteron 2356, which has no higher one: AMD, product data")
ALL_SIZES = ("4k", "2m", "1g")

STUDY = (
    "Bhargava et al., Accelerating Two-Dimensional Page Walks for Virtualized Systems, ASPLOS 2008"
)
CPUID_12H = (
    "CPUID 8000_0005h, 8000_0006h and 8000_0019h as an A6-3420M (family 12h, the same "
    "core, L2 data TLB doubled) reports them"
)
LINUX_10H = (
    'Linux boot log on family 10h: "Last level iTLB entries: 4KB 512, 2MB 16", '
    '"Last level dTLB entries: 4KB 512, 2MB 128"'
)
K10 = "AMD, Software Optimization Guide for AMD Family 10h Processors (40546), appendix A"
BULLDOZER = (
    "Chips and Cheese, Bulldozer, AMD's Crash Modernization: Caching and Conclusion, "
    "24 January 2023"
)

TLBS = (
    TLB("itlb-4k", 1, "I", ("4k",), 1, 32, f"32 entries, fully associative: {CPUID_12H}"),
    TLB("itlb-2m", 1, "I", ("2m",), 1, 16, f"16 entries, fully associative: {CPUID_12H}"),
    TLB(
        "dtlb",
        1,
        "D",
        ALL_SIZES,
        1,
        48,
        f"48 entries, fully associative, for each page size: {CPUID_12H}",
    ),
    TLB("l2-itlb", 2, "I", ("4k",), 128, 4, f"512 entries: {LINUX_10H}; 4-way: {CPUID_12H}"),
    TLB("l2-dtlb-4k", 2, "D", ("4k",), 128, 4, f"512 entries: {LINUX_10H}; 4-way: {CPUID_12H}"),
    TLB("l2-dtlb-2m", 2, "D", ("2m",), 64, 2, f"128 entries: {LINUX_10H}; 2-way: {CPUID_12H}"),
)

PWC = (
    f"24 entries of all levels, tagged by where they lie: {BULLDOZER}, and the README of RevAnC "
    f"(github.com/vusec/revanc); of both dimensions: {STUDY}; fully associative: assumption"
)
ONE_DIMENSIONAL = f"absent: instead of pwc, one dimension alone: {STUDY}"
WALK_CACHES = (
    WalkCache("pwc", 1, 24, PWC),
    WalkCache("guest_pwc", 1, 0, ONE_DIMENSIONAL),
    WalkCache("nested_pwc", 1, 0, ONE_DIMENSIONAL),
    NTLB,
)

CACHES = (
    Cache(
        "L1D",
        64 * 1024,
        2,
        Cited(3, f"3 cycles: {K10}. High: a cycle more, for the address of a segment", 3, 4),
        f"64 KB, 2-way: {K10}",
    ),
    Cache(
        "L2",
        512 * 1024,
        16,
        Cited(
            15,
            "assumption: 3 cycles of L1 and 12 beyond it. Low: the 12 alone. High: assumption: "
            "with what waits in its queues",
            12,
            20,
        ),
        "512 KB per core: Tom's Hardware, AMD CPU history, The Phenom: K10; 16-way: as "
        f"{CPUID_12H}. Exclusive of L1: {K10}",
        "exclusive",
    ),
    Cache(
        "L3",
        512 * 1024,
        32,
        Cited(
            49,
            "assumption: 21 ns; that of a Phenom II X4 945, thrice as large, takes 16.35 ns with "
            f"a faster northbridge ({BULLDOZER}). Low: that at 2.3 GHz. High: half as much again",
            cycles(16.35, CLOCK),
            74,
        ),
        "2 MB for four cores: Tom's Hardware, AMD CPU history, The Phenom: K10; "
        f"assumption: 32-way, a quarter to each core. Filled with what L2 evicts: {K10}",
        "exclusive",
    ),
)

PRESET = Preset(
    name="opteron-2008",
    title="AMD Opteron, family 10h (Barcelona)",
    year=2008,
    tlbs=TLBS,
    walk_caches=WALK_CACHES,
    caches=CACHES,
    memory_latency=Cited(
        cycles(90, CLOCK),
        "assumption: 90 ns at 2.3 GHz, registered DDR2 and two sockets; 57.8 ns on a "
        f"desktop Phenom II X6 1100T with DDR3: {BULLDOZER}. Low: that. High: assumption: 120 ns, "
        "with other cores' traffic",
        cycles(57.8, CLOCK),
        cycles(120, CLOCK),
    ),
    costs={
        **SOFTWARE,
        "l2_tlb_hit": Cited(3, f"2 to 3 cycles on K10: {BULLDOZER}", 2, 3),
        "pwc_hit": Cited(
            2,
            "assumption: an entry of the page walk cache in 2 cycles, since one array is less than "
            "the L1 TLB, L1D and the rest of a load in its 3. Low: 1. High: those 3",
            1,
            3,
        ),
        "page_zero": Cited(
            512,
            "assumption: 4,096 bytes at 8 bytes per cycle. From 16 bytes per cycle, all in L1, to "
            "3, from memory",
            256,
            1365,
        ),
        "page_copy": Cited(
            1024,
            "assumption: 4,096 bytes at 4 bytes per cycle. From 8 bytes per cycle, all in L1, to "
            "1.5, from and to memory",
            512,
            2731,
        ),
        "vm_exit": Cited(
            2000,
            "assumption: half as much again as the 1,344 to 1,376 cycles around VMRUN on an "
            "AMD server of 2020 (lkml.iu.edu/hypermail/linux/kernel/2012.2/00527.html). Low: "
            "those. High: assumption: twice the likely value, as exits fell by half and more over "
            "the first generations of processors that have them",
            1344,
            4000,
        ),
    },
    clock_ghz=CLOCK,
    walkers=Cited(1, "assumption: 1; AMD's cores of the next ten years had at most 2", 1, 2),
    miss_registers=Cited(8, f"assumption: 8 miss buffers of L1D; {K10} gives no number", 8, 8),
    window=Cited(72, f"72 macro-ops in flight: {K10}"),
    llc_size=Cited(2 << 20, "2 MB for four cores: Tom's Hardware, AMD CPU history, Phenom: K10"),
    llc_slices=Cited(4, "four cores share it: Tom's Hardware, AMD CPU history, Phenom: K10"),
    walks_enter=Stated(("L2",), "assumption: the walker's references do not look into L1D"),
    prefetchers=Stated(("stride",), f"strides, into L1D: {K10}"),
    pcid=False,  # as CPUID 1 of the A6-3420M says
    notes=(
        (
            "The page walk cache is one array, tagged by the physical address of the table entry "
            "(the unified page table cache of Barr et al., Translation Caching: Skip, Don't Walk "
            "(the Page Table), ISCA 2010): a walk goes through all levels, and what it finds there "
            "it need not reference; each hit is charged (cost.pwc_hit)."
        ),
        (
            "It holds neither leaves of the guest's tables nor the nested leaf of the page itself, "
            "which the TLB has; that it holds the nested leaves that locate a guest's table is an "
            "assumption. walk_cache.pwc.entries=0 with walk_cache.guest_pwc.entries=24 caches one "
            f"dimension, as the baseline of {STUDY}; with walk_cache.nested_pwc.entries=24, the "
            "other; walk_cache.ntlb.entries=0 leaves out the nested TLB."
        ),
        "Page-table references start at L2, not L1D: an assumption about the walker.",
        "The nested TLB is one of the options of that study; the product may differ.",
        "VPID stands for the ASID of AMD-V, EPT for nested paging (NPT).",
    ),
)

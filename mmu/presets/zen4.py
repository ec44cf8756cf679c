"""AMD Zen 4 (2022): Ryzen 7000 clocks and memory, EPYC 9004 where they differ."""

from __future__ import annotations

from mmulab.mmu.presets.cited import Cited, Stated
from mmulab.mmu.presets.common import (
    AMD_PREFETCHERS,
    ANANDTECH_ZEN_3,
    KVM_2024,
    NTLB,
    SOFTWARE,
    cycles,
    guest_physical,
)
from mmulab.mmu.presets.preset import TLB, Cache, Preset, WalkCache

CLOCK = Cited(
    5.7, "highest of one core of a Ryzen 9 7950X, 4.5 to 5.7 GHz: AMD, product page", 4.5, 5.7
)
ALL_SIZES = ("4k", "2m", "1g")

GUIDE = (
    "AMD Software Optimization Guide for the AMD Zen4 Microarchitecture, publication "
    "57647 rev. 1.01"
)
ZEN_4_PART_2 = (
    "Chips and Cheese, AMD's Zen 4, Part 2: Memory Subsystem and Conclusion, 8 November 2022"
)
SMASHED = (
    "1 GiB pages are held as 2 MiB pieces in L2 TLBs on Zen 2 (WikiChip, Zen 2, memory "
    "subsystem); assumption: still so"
)

TLBS = (
    TLB(
        "itlb",
        1,
        "I",
        ALL_SIZES,
        1,
        64,
        f"64 entries: {GUIDE}, 2.7.1; fully associative, all sizes: 7-cpu.com, Zen 2",
    ),
    TLB(
        "dtlb",
        1,
        "D",
        ALL_SIZES,
        1,
        72,
        f"72 entries, fully associative: {GUIDE}, 2.7.1; all sizes: as WikiChip, Zen 2",
    ),
    TLB(
        "l2-itlb",
        2,
        "I",
        ("4k", "2m"),
        64,
        8,
        f"512 entries: {GUIDE}, 2.7.2; 8-way: 7-cpu.com, Zen 2; {SMASHED}",
    ),
    TLB(
        "l2-dtlb",
        2,
        "D",
        ("4k", "2m"),
        128,
        24,
        f"3,072 entries, 24-way: {GUIDE}, 2.7.2; {SMASHED}",
    ),
)

PDC = (
    f"assumption: its part of the 64 entries of the page directory cache ({GUIDE}, 2.7.3), "
    "one array for all upper levels; see notes"
)
LINEAR_PSC = (
    WalkCache("pml5e", 1, 2, PDC),
    WalkCache("pml4e", 1, 14, PDC),
    WalkCache("pdpte", 1, 48, PDC),
    WalkCache(
        "pde",
        16,
        8,
        f"assumption: 128 entries; the L2 data TLB holds PDEs too ({GUIDE}, 2.7.2), and one "
        "of its 24 ways has 128",
    ),
)

CACHES = (
    Cache(
        "L1D",
        32 * 1024,
        8,
        Cited(4, f"4 cycles: {GUIDE}, 2.6.2; 5 where the address is not simple", 4, 5),
        f"32 KiB, 8-way: {GUIDE}, 2.6.2",
    ),
    Cache(
        "L2",
        1024 * 1024,
        8,
        Cited(
            14,
            f"at least 14 cycles: {GUIDE}, A.1. High: assumption: with what waits in its queues",
            14,
            18,
        ),
        f"1 MiB, 8-way, inclusive: {GUIDE}, 2.6.3",
        "inclusive",
    ),
    Cache(
        "L3",
        4096 * 1024,
        16,
        Cited(
            50,
            f"50 cycles on average: {GUIDE}, A.1. A tenth less to three tenths more: assumption: "
            "near and far slices, other cores' traffic",
            45,
            65,
        ),
        "32 MiB, 16-way, for a complex of eight cores: product data of the Ryzen 7000; an "
        f"eighth to each core. Filled with what L2 evicts: {GUIDE}. Hashed: assumption: as Zen 5",
        "exclusive",
        "hashed",
    ),
)

PRESET = Preset(
    name="zen-4",
    title="AMD Zen 4 (Ryzen 7000, EPYC 9004)",
    year=2022,
    tlbs=TLBS,
    walk_caches=(*LINEAR_PSC, *guest_physical(LINEAR_PSC), NTLB),
    caches=CACHES,
    memory_latency=Cited(
        cycles(73.35, CLOCK),
        f"73.35 ns on a Ryzen 9 7950X with DDR5-6000: {ZEN_4_PART_2}. Low: those at 4.5 GHz. High: "
        "120 ns, as on an EPYC 9754 (120.3 ns: Chips and Cheese, Arm's Neoverse V2, in AWS's "
        "Graviton 4, 22 July 2024)",
        330,
        cycles(120, CLOCK),
    ),
    costs={
        **SOFTWARE,
        "l2_tlb_hit": Cited(7, f"7 to 8 cycles: {ZEN_4_PART_2}", 7, 8),
        "vm_exit": Cited(
            1360,
            "assumption: as the 1,344 to 1,376 cycles around VMRUN on an AMD server of 2020 "
            "(lkml.iu.edu/hypermail/linux/kernel/2012.2/00527.html). Low: as Intel's: "
            f"{KVM_2024}. High: assumption: half as much again, for mitigations",
            1018,
            2040,
        ),
    },
    clock_ghz=CLOCK,
    walkers=Cited(6, f"assumption: 6, as Zen 3: {ANANDTECH_ZEN_3}"),
    miss_registers=Cited(
        24, "assumption: 24 miss address buffers of L1D; no number is published", 16, 32
    ),
    window=Cited(320, f"320 macro-ops of the retire control unit: {GUIDE}"),
    llc_size=Cited(32 << 20, "32 MiB of a complex of eight cores: product data of the Ryzen 7000"),
    llc_slices=Cited(8, "eight cores of a complex: product data of the Ryzen 7000"),
    walks_enter=Stated(("L1D",), "assumption: the walker's references look into L1D first"),
    prefetchers=AMD_PREFETCHERS,
    notes=(
        (
            "AMD's walk caches are page table caches, tagged by the physical address of the table "
            "entry (Barr et al., ISCA 2010, on processors of their time); the simulator's are "
            "tagged by address prefix and split by level."
        ),
        "PDEs do not take room from the L2 data TLB here.",
        "Coalescing of adjacent 4 KiB pages into one TLB entry is not modelled.",
        (
            "Five-level paging: assumption: EPYC 9004 has LA57, Ryzen 7000 has not; four levels "
            "are the default, and a pml5e cache is there for runs with five."
        ),
        "VPID stands for the ASID of AMD-V, EPT for nested paging (NPT).",
    ),
)

"""AMD Zen 5 (2024), as in the EPYC 9575F."""

from __future__ import annotations

from dataclasses import replace

from mmulab.mmu.presets.cited import Cited, Stated
from mmulab.mmu.presets.common import (
    AMD_PREFETCHERS,
    ANANDTECH_ZEN_3,
    NTLB,
    SOFTWARE,
    cycles,
    guest_physical,
)
from mmulab.mmu.presets.preset import TLB, Cache, Preset
from mmulab.mmu.presets.zen4 import ALL_SIZES, SMASHED
from mmulab.mmu.presets.zen4 import LINEAR_PSC as ZEN_4_PSC
from mmulab.mmu.presets.zen4 import PRESET as ZEN_4

GUIDE = "AMD Software Optimization Guide for the AMD Zen5 Microarchitecture, publication 58455"
REVIEW = f"Chen, AMD Zen 5 microarchitecture review, jia.je, 11 November 2024 ({GUIDE})"
ROARS = "Chips and Cheese, Lion Cove: Intel's P-Core Roars, 27 September 2024"
TURIN = "Chips and Cheese, Evaluating Uniform Memory Access Mode on AMD's Turin, 26 November 2025"
ONE_OFFSET = (
    "a chase through 12,288 lines at one page offset finds them in 26 ns on an EPYC of the 9005 "
    "series, memory takes 110 and more; one set of 64 would hold 8,192"
)
CLOCK = Cited(
    5.0, "highest of one core of an EPYC 9575F, 3.3 to 5.0 GHz: AMD, product page", 3.3, 5.0
)

TLBS = (
    TLB("itlb", 1, "I", ALL_SIZES, 1, 64, f"64 entries, fully associative: {REVIEW}"),
    TLB("dtlb", 1, "D", ALL_SIZES, 1, 96, f"96 entries, fully associative: {REVIEW}"),
    TLB("l2-itlb", 2, "I", ("4k", "2m"), 256, 8, f"2,048 entries, 8-way: {REVIEW}; {SMASHED}"),
    TLB("l2-dtlb", 2, "D", ("4k", "2m"), 256, 16, f"4,096 entries, 16-way: {REVIEW}"),
    TLB("l2-dtlb-1g", 2, "D", ("1g",), 256, 4, f"1,024 entries, 4-way: {ROARS}"),
)

LINEAR_PSC = tuple(
    replace(unit, source=f"assumption: as Zen 4, there {unit.source}") for unit in ZEN_4_PSC
)

CACHES = (
    Cache(
        "L1D",
        48 * 1024,
        12,
        Cited(4, f"4 cycles: {REVIEW}; 5 where the address is not simple", 4, 5),
        f"48 KiB, 12-way: {REVIEW}",
    ),
    Cache(
        "L2",
        1024 * 1024,
        16,
        Cited(
            14,
            f"14 cycles: {REVIEW}. High: assumption: with what waits in its queues",
            14,
            18,
        ),
        f"1 MiB, 16-way, inclusive: {REVIEW}",
        "inclusive",
    ),
    Cache(
        "L3",
        4096 * 1024,
        16,
        Cited(
            47,
            "assumption: 3.5 cycles less than the 50 of Zen 4 (Wikipedia, Zen 5, 2024). A tenth "
            "less to three tenths more: assumption: near and far slices, other cores' traffic",
            42,
            61,
        ),
        f"16-way, filled with what L2 evicts: {REVIEW}; 32 MiB for a complex of eight cores: "
        f"product data of the EPYC 9005; an eighth to each core. Hashed: {ONE_OFFSET}",
        "exclusive",
        "hashed",
    ),
)

PRESET = Preset(
    name="zen-5",
    title="AMD Zen 5 (EPYC 9575F)",
    year=2024,
    tlbs=TLBS,
    walk_caches=(*LINEAR_PSC, *guest_physical(LINEAR_PSC), NTLB),
    caches=CACHES,
    memory_latency=Cited(
        cycles(130, CLOCK),
        f"about 130 ns on an EPYC 9355P, of the same family, one node a socket: {TURIN}. Low: "
        "those at 3.3 GHz. High: 220 ns, with two sockets as one node: same",
        cycles(130, Cited(3.3, "")),
        cycles(220, CLOCK),
    ),
    costs={
        **SOFTWARE,
        "l2_tlb_hit": Cited(
            7, f"4 cycles become 11: {REVIEW}. A cycle to either side: assumption", 6, 8
        ),
        "vm_exit": replace(
            ZEN_4.costs["vm_exit"], source=f"as Zen 4: {ZEN_4.costs['vm_exit'].source}"
        ),
    },
    clock_ghz=CLOCK,
    walkers=Cited(6, f"assumption: 6, as Zen 3: {ANANDTECH_ZEN_3}"),
    miss_registers=Cited(
        24, "assumption: 24 miss address buffers of L1D; no number is published", 16, 48
    ),
    window=Cited(448, f"224 entries of two macro-ops for each thread: {REVIEW}"),
    llc_size=Cited(32 << 20, "32 MiB of a complex of eight cores: product data of the EPYC 9005"),
    llc_slices=Cited(8, "eight cores of a complex: product data of the EPYC 9005"),
    walks_enter=Stated(("L1D",), "assumption: the walker's references look into L1D first"),
    prefetchers=AMD_PREFETCHERS,
    va_levels=5,
    notes=(
        *ZEN_4.notes[:3],
        "Five-level paging: assumption: EPYC 9005 has LA57, as EPYC 9004.",
        ZEN_4.notes[-1],
    ),
)

"""Arm Neoverse V2, as in AWS Graviton4 (2024)."""

from __future__ import annotations

from dataclasses import replace

from mmulab.mmu.presets.cited import Cited, Stated
from mmulab.mmu.presets.common import NTLB, cycles, guest_physical
from mmulab.mmu.presets.neoverse_n1 import LINEAR_PSC as N1_PSC
from mmulab.mmu.presets.neoverse_n1 import PRESET as N1
from mmulab.mmu.presets.neoverse_n1 import SOFTWARE_ON_ARM
from mmulab.mmu.presets.preset import TLB, Cache, Preset

TRM = "Arm Neoverse V2 Core Technical Reference Manual (102375)"
REVIEW = f"Chen, Arm Neoverse V2 microarchitecture review, jia.je, 7 November 2024 ({TRM})"
GRAVITON4 = "Chips and Cheese, Arm's Neoverse V2, in AWS's Graviton 4, 22 July 2024"
CLOCK = Cited(2.8, f"2.8 GHz with one socket, 2.7 GHz with two: {GRAVITON4}", 2.7, 2.8)

TLBS = (
    TLB("l1-itlb", 1, "I", ("4k", "2m"), 1, 48, f"48 entries, fully associative: {REVIEW}"),
    TLB("l1-dtlb", 1, "D", ("4k", "2m"), 1, 48, f"48 entries, fully associative: {REVIEW}"),
    TLB("l2-tlb", 2, "ID", ("4k", "2m", "1g"), 256, 8, f"2,048 entries, 8-way: {REVIEW}"),
)

LINEAR_PSC = tuple(
    replace(unit, source=f"assumption: as Neoverse N1, there {unit.source}") for unit in N1_PSC
)

CACHES = (
    Cache(
        "L1D",
        64 * 1024,
        4,
        Cited(4, f"4 cycles, 5 across a line: {REVIEW}", 4, 5),
        f"64 KiB, 4-way: {REVIEW}",
    ),
    Cache(
        "L2",
        2048 * 1024,
        8,
        Cited(
            11,
            f"11 cycles: {GRAVITON4}; low: 10 cycles: {REVIEW}. High: assumption: with what waits "
            "in its queues",
            10,
            15,
        ),
        f"2 MiB: {GRAVITON4}; 8-way: {REVIEW}; assumption: inclusive of L1D, as Neoverse N1",
        "inclusive",
    ),
    Cache(
        "SLC",
        384 * 1024,
        12,
        Cited(
            68,
            f"68 cycles, 25 ns: {GRAVITON4}. A quarter less to half as much again: assumption: "
            "near and far parts of the mesh",
            51,
            102,
        ),
        f"36 MiB for 96 cores: {GRAVITON4}; assumption: 12-way, neither inclusive nor exclusive",
    ),
)

PRESET = Preset(
    name="neoverse-v2",
    title="Arm Neoverse V2 (AWS Graviton4)",
    year=2024,
    tlbs=TLBS,
    walk_caches=(*LINEAR_PSC, *guest_physical(LINEAR_PSC), NTLB),
    caches=CACHES,
    memory_latency=Cited(
        cycles(114.08, CLOCK),
        f"114.08 ns: {GRAVITON4}. Low: assumption: 100 ns. High: assumption: 160 ns, with other "
        "cores' traffic",
        cycles(100, CLOCK),
        cycles(160, CLOCK),
    ),
    costs={
        **SOFTWARE_ON_ARM,
        "l2_tlb_hit": Cited(
            5, f"5 cycles, measured; high: 6 cycles, of the manual: {REVIEW}", 5, 6
        ),
    },
    arch="aarch64",
    clock_ghz=CLOCK,
    walkers=Cited(4, "assumption: 4; no number is published", 2, 8),
    miss_registers=Cited(
        32, f"assumption: 32 of L1D; its L2 has 92 to 96 transactions at once: {GRAVITON4}", 20, 92
    ),
    window=Cited(320, f"320 macro-ops of the reorder buffer: {REVIEW}"),
    llc_size=Cited(36 << 20, f"36 MiB: {GRAVITON4}"),
    llc_slices=Cited(96, f"96 cores share it: {GRAVITON4}"),
    walks_enter=Stated(("L1D",), "assumption: the walker's references look into L1D first"),
    prefetchers=Stated(
        ("stride", "region", "temporal"),
        f"a temporal one (correlated misses): {REVIEW}; assumption: strides and regions",
    ),
    notes=N1.notes,
)

"""Arm Neoverse N1, as in AWS Graviton2 (2019)."""

from __future__ import annotations

from mmulab.mmu.presets.cited import DALL_2017, Cited, Stated
from mmulab.mmu.presets.common import NTLB, SOFTWARE, cycles, guest_physical
from mmulab.mmu.presets.preset import TLB, Cache, Preset, WalkCache

CLOCK = Cited(2.5, "2.5 GHz of AWS Graviton2, always: AWS, instance types")
TRM = "Arm Neoverse N1 Core Technical Reference Manual (100616)"
DEEP_DIVE = "Chips and Cheese, Deep Diving Neoverse N1, 22 October 2021"
GRAVITON2 = (
    "AnandTech, article 15578 (Amazon's Graviton2 against AMD and Intel), 2020, memory "
    "subsystem & latency"
)

TLBS = (
    TLB(
        "l1-itlb",
        1,
        "I",
        ("4k", "2m"),
        1,
        48,
        f"48 entries, fully associative, no 1 GiB entries: {TRM}, 6.2.1",
    ),
    TLB(
        "l1-dtlb",
        1,
        "D",
        ("4k", "2m"),
        1,
        48,
        f"48 entries, fully associative, no 1 GiB entries: {TRM}, 6.2.2",
    ),
    TLB(
        "l2-tlb",
        2,
        "ID",
        ("4k", "2m", "1g"),
        256,
        5,
        f"1,280 entries, 5-way: {TRM}, table 6-4",
    ),
)

SHARED = (
    f"walks leave intermediate results in the L2 TLB ({TRM}, table 6-4), with no number "
    "of entries of their own"
)
LINEAR_PSC = (
    WalkCache("pml4e", 1, 2, f"assumption: 2 entries for level 0; {SHARED}"),
    WalkCache("pdpte", 1, 4, f"assumption: 4 entries for level 1; {SHARED}"),
    WalkCache(
        "pde",
        16,
        4,
        "assumption: 64 entries, 4-way, for level 2, as the walk cache of Cortex-A53 has "
        f"them (Chips and Cheese on the A53); {SHARED}",
    ),
)

CACHES = (
    Cache(
        "L1D",
        64 * 1024,
        4,
        Cited(
            4,
            f"4 cycles: {GRAVITON2}. High: assumption: a cycle more, where the address is not "
            "simple",
            4,
            5,
        ),
        f"64 KiB, 4-way: {TRM}, 7.1",
    ),
    Cache(
        "L2",
        1024 * 1024,
        8,
        Cited(
            11,
            f"11 cycles: {GRAVITON2}. A cycle less to four more: assumption: what waits in its "
            "queues",
            10,
            15,
        ),
        f"1 MiB: {GRAVITON2}; assumption: 8-way. Inclusive of L1D: {TRM}",
        "inclusive",
    ),
    Cache(
        "SLC",
        512 * 1024,
        16,
        Cited(
            80,
            "assumption: 80 cycles; on an Ampere Altra over twice that of Zen 2's L3: "
            f"{DEEP_DIVE}. A quarter less to half as much again: assumption: near and far parts of "
            "the mesh",
            60,
            120,
        ),
        "assumption: system-level cache of 32 MiB, 16-way, shared by 64 cores, neither inclusive "
        "nor exclusive",
    ),
)

HOST_ALLOCATION = Cited(
    1500,
    "assumption: an exit that the host kernel handles costs 1,604 cycles, 852 more "
    f"than a null hypercall, for emulated I/O on Cortex-A57 ({DALL_2017}); frame "
    "allocation and mapping brought up to 1,500. Low: those 852 alone. High: assumption: thrice "
    "the likely value, where locks and accounting of memory are contended",
    852,
    4500,
)

#: What software on Arm costs otherwise than on x86-64.
SOFTWARE_ON_ARM: dict[str, Cited] = {
    **SOFTWARE,
    "invlpg": Cited(
        100,
        "assumption: TLBI and DSB on one core, not broadcast. From half of it to what a "
        "broadcast over a mesh takes: assumption",
        50,
        400,
    ),
    "cr3_load": Cited(
        50,
        "assumption: write of TTBR0_EL1 with a new ASID, and ISB. From a refill of the "
        "pipeline to three times the likely value: assumption",
        15,
        150,
    ),
    "vm_exit": Cited(
        752,
        "assumption: as Cortex-A57: null hypercall, 752 cycles with the host kernel in "
        f"EL2, minimal dispatch included ({DALL_2017}). Low: assumption: two thirds, on a "
        "wider core. High: assumption: twice, for mitigations and more state to save",
        500,
        1504,
    ),
    "nested.ept_violation": HOST_ALLOCATION,
    "shadow.backing": HOST_ALLOCATION,
}

PRESET = Preset(
    name="neoverse-n1",
    title="Arm Neoverse N1 (AWS Graviton2)",
    year=2019,
    tlbs=TLBS,
    walk_caches=(*LINEAR_PSC, *guest_physical(LINEAR_PSC), NTLB),
    caches=CACHES,
    memory_latency=Cited(
        203,
        f"81 ns, structural estimate: {GRAVITON2}. Low: assumption: 75 ns. High: assumption: "
        "120 ns, with other cores' traffic",
        cycles(75, CLOCK),
        cycles(120, CLOCK),
    ),
    costs={
        **SOFTWARE_ON_ARM,
        "l2_tlb_hit": Cited(
            5,
            f"5 cycles: {DEEP_DIVE}. A cycle to either side: assumption, by what is replayed",
            4,
            6,
        ),
    },
    arch="aarch64",
    clock_ghz=CLOCK,
    walkers=Cited(4, "assumption: 4; no number is published", 2, 8),
    miss_registers=Cited(20, "assumption: 20; no number is published for this core", 12, 32),
    window=Cited(128, "128 entries of the reorder buffer: WikiChip, Neoverse N1", 128, 128),
    llc_size=Cited(32 << 20, f"32 MiB of system-level cache: {GRAVITON2}"),
    llc_slices=Cited(64, f"64 cores share it: {GRAVITON2}"),
    walks_enter=Stated(("L1D",), "assumption: the walker's references look into L1D first"),
    prefetchers=Stated(("stride", "stream"), "assumption: strides and streams"),
    notes=(
        (
            "Tables have a granule of 4 KiB. Names of x86 stand for those of Arm (CR3: TTBR, "
            "INVLPG: TLBI, PCID: ASID, VPID: VMID, EPT: stage 2, EPT violation: stage-2 fault, "
            "PML4E: level 0)."
        ),
        (
            "A guest has 40-bit intermediate physical addresses, as under KVM unless told "
            "otherwise: three levels of stage 2, not four."
        ),
        "Page sizes that x86-64 lacks (16 KiB, 64 KiB, 32 MiB, 512 MiB) are not modelled.",
        (
            "Walk caches do not take room from the L2 TLB here; it also holds IPA to PA mappings "
            "of 2 MiB and 1 GiB blocks, for which the ntlb and ept_ caches stand."
        ),
    ),
)

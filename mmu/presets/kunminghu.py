"""XiangShan Kunminghu, an open RISC-V core with the H extension (its default configuration, 2026).

The core is published as its source, so that sizes are what the source says; latencies are not
numbers there, and are assumed.
"""

from __future__ import annotations

from dataclasses import replace

from mmulab.mmu.presets.cited import Cited, Stated
from mmulab.mmu.presets.common import NTLB, SOFTWARE, cycles, guest_physical
from mmulab.mmu.presets.preset import TLB, Cache, Preset, WalkCache

_COMMIT = "github.com/OpenXiangShan/XiangShan, afe381898 of March 2026"
PARAMETERS = f"{_COMMIT}, src/main/scala/xiangshan/Parameters.scala"
CONFIGS = f"{_COMMIT}, src/main/scala/top/Configs.scala, TLConfig"
L2_TLB = f"{_COMMIT}, src/main/scala/xiangshan/cache/mmu/MMUConst.scala, L2TLBParameters"
CLOCK = Cited(3, "assumption: 3 GHz, what its designers aim at in a 7 nm process", 2, 3)

TLBS = (
    TLB(
        "l1-itlb", 1, "I", ("4k", "2m", "1g"), 1, 48, f"48 entries, fully associative: {PARAMETERS}"
    ),
    TLB(
        "l1-dtlb",
        1,
        "D",
        ("4k", "2m", "1g"),
        1,
        48,
        f"48 entries, fully associative, for loads; stores have 48 of their own: {PARAMETERS}",
    ),
    TLB(
        "l2-tlb",
        2,
        "ID",
        ("4k",),
        512,
        4,
        f"64 sets of 4 ways of 8 entries, which lie in one line of the table: {L2_TLB}; here "
        "as 512 sets of 4 ways",
    ),
    TLB("l2-super", 2, "ID", ("2m", "1g"), 1, 16, f"16 entries, fully associative: {L2_TLB}"),
)

LINEAR_PSC = (
    WalkCache("pml4e", 1, 16, f"16 entries (l3), fully associative: {L2_TLB}"),
    WalkCache("pdpte", 1, 16, f"16 entries (l2), fully associative: {L2_TLB}"),
    WalkCache(
        "pde",
        32,
        2,
        f"4 sets of 2 ways of 8 entries (l1), which lie in one line of the table: {L2_TLB}; here "
        "as 32 sets of 2 ways",
    ),
)

_FIVE = WalkCache("pml5e", 1, 2, "assumption: 2 entries, for Sv57, which the core does not have")

CACHES = (
    Cache(
        "L1D",
        64 * 1024,
        4,
        Cited(
            4, "assumption: 4 cycles, a pipeline of as many stages. A cycle to either side", 3, 5
        ),
        f"64 KiB, 4-way: {CONFIGS}",
    ),
    Cache(
        "L2",
        1024 * 1024,
        8,
        Cited(
            18,
            "assumption: 18 cycles. From 14, as cores of this size, to half as much again",
            14,
            27,
        ),
        f"1 MiB, 8-way, inclusive: {CONFIGS}",
        "inclusive",
    ),
    Cache(
        "L3",
        16 * 1024 * 1024,
        16,
        Cited(60, "assumption: 60 cycles. From 45, near, to twice the low value, far", 45, 90),
        f"16 MiB, 16-way, not inclusive: {CONFIGS}",
    ),
)

PRESET = Preset(
    name="kunminghu",
    title="XiangShan Kunminghu (open RISC-V core, default configuration)",
    year=2026,
    tlbs=TLBS,
    walk_caches=(
        *LINEAR_PSC,
        _FIVE,
        *guest_physical((*LINEAR_PSC, _FIVE)),
        replace(
            NTLB,
            source="assumption: 16 entries, fully associative; arrays of the L2 TLB hold leaves of "
            "the guest-physical stage, too, beside those of the other: "
            f"{L2_TLB}, and PTWCache",
        ),
    ),
    caches=CACHES,
    memory_latency=Cited(
        cycles(90, CLOCK),
        "assumption: 90 ns. From 70, one controller near by, to 130, with other cores' traffic",
        cycles(70, CLOCK),
        cycles(130, CLOCK),
    ),
    costs={
        **SOFTWARE,
        "l2_tlb_hit": Cited(
            10,
            "assumption: 10 cycles; the L2 TLB is reached by a queue that all L1 TLBs share, "
            "and is looked up in several stages. From 7 to twice the likely value",
            7,
            20,
        ),
        "invlpg": Cited(
            100,
            "assumption: SFENCE.VMA of one address, which empties the pipeline. From half to four "
            "times",
            50,
            400,
        ),
        "cr3_load": Cited(
            50,
            "assumption: write of satp with a new ASID, and SFENCE.VMA where one is due. From a "
            "refill of the pipeline to three times the likely value",
            15,
            150,
        ),
        "vm_exit": Cited(
            1000,
            "assumption: trap from VS to HS, 31 registers and some twenty CSRs saved and restored "
            "by KVM (Linux, arch/riscv/kvm/vcpu_switch.S). From what Arm takes with the host "
            "kernel in EL2 to twice the likely value",
            700,
            2000,
        ),
    },
    arch="riscv64",
    clock_ghz=CLOCK,
    walkers=Cited(
        6,
        f"llptwsize, 6 walks whose last level is read at once; upper ones one at a time: {L2_TLB}",
        1,
        6,
    ),
    miss_registers=Cited(16, f"nMissEntries, 16: {PARAMETERS}"),
    window=Cited(352, f"RobSize, 352: {PARAMETERS}"),
    llc_size=Cited(16 << 20, f"16 MiB: {CONFIGS}"),
    llc_slices=Cited(1, f"one core in the default configuration: {CONFIGS}", 1, 4),
    walks_enter=Stated(("L2",), "the page walker has a port to L2: XiangShan, L2TLB.scala"),
    prefetchers=Stated(
        ("stride", "stream", "region", "temporal"),
        f"prefetcher and L2CacheParamsOpt (spatial, stride, best offset, temporal): {PARAMETERS}",
    ),
    pcid=True,
    vpid=True,
    ept_ad=True,
    notes=(
        (
            "Names of x86 stand for those of RISC-V: CR3 for satp and vsatp, INVLPG for "
            "SFENCE.VMA, PCID for ASID, VPID for VMID, EPT for the G-stage, EPT violation for a "
            "guest-page fault, PML4E for the root of Sv48."
        ),
        (
            "The core leaves A and D bits to software, by page faults (Svade); here hardware sets "
            "them, as Svadu has it."
        ),
        "An L1 TLB entry covers up to 8 pages that lie together; here it covers one.",
        "The core has Sv39 and Sv48; Sv57 is the architecture's.",
    ),
)

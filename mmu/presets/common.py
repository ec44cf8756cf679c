"""Numbers and structures that several presets share, each with its source.

The cost of VMM work is software's and is nowhere published per event for the
processors modelled here, so most of it is assumed, from the few measurements
cited; what a study finds should be checked against other values of these.
"""

from __future__ import annotations

from mmulab.mmu.presets.cited import DALL_2017, Cited, Stated
from mmulab.mmu.presets.preset import WalkCache

DALL_2016 = (
    "Dall et al., ARM Virtualization: Performance and Architectural Implications, "
    "ISCA 2016, table II"
)
TORVALDS_2014 = "L. Torvalds, post on the cost of page faults, Google+, 30 April 2014"
_TMA = "Intel, github.com/intel/perfmon, TMA_Metrics-full.csv 5.2"
PERFMON_TMA = f"{_TMA}, auxiliary constants"
REVANC = (
    "van Schaik et al., RevAnC: A Framework for Reverse Engineering Hardware Page "
    "Table Caches, EuroSec 2017 (artifact, github.com/vusec/revanc)"
)
HASWELL_FAULT = (
    "1,050 cycles for #PF (715) and IRET (330), 80.7 % of a fault that maps the zero "
    f"page, so 1,050 / 0.807 in all ({TORVALDS_2014}); no frame is allocated in that. Low: #PF "
    "and IRET alone. High: a few thousand cycles with the allocation (Tirumalasetty et al., "
    "Reducing Minor Page Fault Overheads through Enhanced Page Walker, ACM TACO 2022, abstract), "
    "without zeroing"
)
#: Of a guest's page fault, in cycles.
FAULT_RANGE = (1050, 3000)
LINUX_PTI = "Linux, Documentation/arch/x86/pti.rst, runtime cost"
SDM_PSC = "Intel SDM vol. 3A, 4.10.3 (which structures exist; sizes are not published)"

PAGE_WALKERS = (
    f"the divisor of the utilization of its page walkers in {_TMA}, Page_Walks_Utilization"
)
ANANDTECH_ZEN_3 = (
    "AnandTech, article 16214 (AMD Zen 3 Ryzen deep dive), November 2020, load/store and L3 cache"
)


def cycles(nanoseconds: float, clock: Cited) -> int:
    """A time in core cycles.

    One rule for all presets: clock is the highest that the maker gives for one core of the part
    that the preset names. One core runs here, on a machine with nothing else to do, as where
    latencies are measured; caches that all cores share and memory keep their own clocks, so that
    their latencies are constant in ns. With all cores busy the clock is lower, and so are those
    latencies in cycles: that is in their ranges.
    """
    return round(nanoseconds * clock.value)


KVM_2024 = (
    "CPUID exit, 1,018 cycles: S. Christopherson, Drop the kvm_has_noapic_vcpu optimization, "
    "kvm@vger.kernel.org, 9 December 2024"
)
KVM_2020 = (
    "null hypercall on a Skylake server, 1,559 cycles: W. Li, Micro-optimize vmexit time when not "
    "exposing PMU, kvm@vger.kernel.org, 13 March 2020"
)

X86_VM_EXIT = Cited(
    1300,
    f"assumption: as Sandy Bridge: null hypercall under x86 KVM on a Xeon E5-2450, "
    f"1,300 cycles, minimal dispatch included ({DALL_2016}); 1,437 in {DALL_2017}. "
    f"Low: {KVM_2024}. High: assumption: what mitigations of speculative-execution attacks add "
    f"to a {KVM_2020}",
    1018,
    2000,
)

#: Costs in cycles that no published measurement tells apart between processors.
SOFTWARE: dict[str, Cited] = {
    "work_per_access": Cited(
        2.5,
        "assumption: 1 cycle per instruction and 0.4 data accesses per instruction; "
        "0.43 (x86-64, Zen 2) and 0.27 (AArch64, Neoverse N1) were measured for one "
        "program in Chips and Cheese, Deep Diving Neoverse N1, 22 October 2021. From 4 "
        "instructions per cycle at 0.43 to half an instruction per cycle at 0.27",
        0.58,
        7.4,
    ),
    "guest_fault": Cited(1300, f"assumption: as Haswell: {HASWELL_FAULT}", *FAULT_RANGE),
    "page_zero": Cited(
        256,
        "assumption: 4,096 bytes at 16 bytes per cycle, half of a 32-byte store per "
        "cycle, because most of the page misses L1. From 32 bytes per cycle, all in L1, to 4, "
        "as 10 GB/s of memory bandwidth are at 2.5 GHz",
        128,
        1024,
    ),
    "page_copy": Cited(
        512,
        "assumption: 4,096 bytes at 8 bytes per cycle, read and written. From 16 bytes per cycle, "
        "all in L1, to 2, from and to memory",
        256,
        2048,
    ),
    "invlpg": Cited(
        150,
        "assumption: a serialising microcoded instruction, without the refill. Low: as the move to "
        f"CR3 ({LINUX_PTI}). High: about 100 ns a page, loop and refills included "
        "(Linux, arch/x86/mm/tlb.c, tlb_single_page_flush_ceiling), at 3.5 GHz",
        100,
        350,
    ),
    "cr3_load": Cited(
        250,
        "assumption: a serialising microcoded instruction, without refills. Low: on the order of a "
        f"hundred cycles ({LINUX_PTI}). High: assumption: twice the likely value",
        100,
        500,
    ),
    "vm_exit": X86_VM_EXIT,
}

INTEL_PREFETCHERS = Stated(
    ("next-line", "stride", "stream", "adjacent-line"),
    "Intel, Disclosure of Hardware Prefetcher Control on Some Intel Processors (MSR 1A4H): of the "
    "L1 data cache the next line and strides by instruction pointer, of L2 streams and pairs of "
    "lines",
)
AMD_PREFETCHERS = Stated(
    ("stream", "stride", "region", "adjacent-line"),
    "AMD64 Architecture Programmer's Manual, volume 2, prefetch control (MSR C000_0108H): of L1 "
    "streams, strides and regions, of L2 streams and pairs of lines (up/down)",
)
WALKS_ENTER_L1D = Stated(
    ("L1D",),
    "performance events of Haswell count loads of the page walker that hit in L1D: Intel "
    "(github.com/intel/perfmon, HSX, PAGE_WALKER_LOADS.DTLB_L1)",
)

#: Paging-structure caches of linear addresses as the Intel presets assume them.
INTEL_PSC = (
    WalkCache(
        "pml4e",
        1,
        2,
        f"assumption: 2 entries, fully associative, cover 1 TiB; {SDM_PSC}",
    ),
    WalkCache(
        "pdpte",
        1,
        4,
        "assumption: 4 entries, fully associative, as on Ivy Bridge and older, where "
        f"the README of {REVANC} has them",
    ),
    WalkCache(
        "pde",
        1,
        32,
        "assumption: 32 entries, as the L1 data TLB for 2 MiB pages, by which "
        f"{REVANC} sizes its search; fully associative; {SDM_PSC}",
    ),
)


def guest_physical(linear: tuple[WalkCache, ...]) -> tuple[WalkCache, ...]:
    """The same paging-structure caches once more, for guest-physical addresses."""
    return tuple(
        WalkCache(
            f"ept_{unit.name}",
            unit.sets,
            unit.ways,
            f"assumption: as many entries as {unit.name}, which is for linear addresses; "
            "Intel SDM vol. 3C, 29.4 lets processors cache guest-physical mappings "
            "and publishes no sizes",
            unit.policy,
        )
        for unit in linear
    )


NTLB = WalkCache(
    "ntlb",
    1,
    16,
    "assumption: 16 entries, fully associative; Bhargava et al., Accelerating "
    "Two-Dimensional Page Walks for Virtualized Systems, ASPLOS 2008, propose the "
    "structure, no size is published for a product",
)

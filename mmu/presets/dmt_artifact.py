"""The machine that the artifacts of DMT (2024) and SagePTE (2026) simulate: no processor."""

from __future__ import annotations

from mmulab.mmu.presets.cited import Cited, Stated
from mmulab.mmu.presets.common import PAGE_WALKERS, SOFTWARE
from mmulab.mmu.presets.preset import TLB, Cache, Preset, WalkCache

RUN = "xlab-uiuc/dmt, simulator-virt/run_common.sh"
SIMULATOR = "xlab-uiuc/dmt, simulator-virt, cache_simulator.cpp"
FORMULA = "xlab-uiuc/dmt, processor/Formula.cs, Constants"
ANY_SIZE = "; one array for all page sizes: assumption, the artifact has 4 KiB alone"


def _exact(cycles: int) -> Cited:
    return Cited(cycles, f"{cycles} cycles: {FORMULA}. No range: it is a model's own")


def _walk_caches(prefix: str, whose: str) -> tuple[WalkCache, ...]:
    sizes = (("pml4e", 2, 1), ("pdpte", 1, 4), ("pde", 8, 4))
    return tuple(
        WalkCache(
            prefix + name,
            sets,
            ways,
            f"{sets * ways} entries, {ways} ways, of {whose}: {SIMULATOR}, PWC_SIZE and PWC_ASSOC; "
            "an entry there spans 8 of these, and a hit costs 1 cycle",
        )
        for name, sets, ways in sizes
    )


PRESET = Preset(
    name="dmt-artifact",
    title="the machine of the artifacts of DMT and SagePTE",
    year=2024,
    tlbs=(
        TLB("itlb", 1, "I", ("4k", "2m", "1g"), 16, 8, f"128 entries, 8-way: {RUN}{ANY_SIZE}"),
        TLB("dtlb", 1, "D", ("4k", "2m", "1g"), 16, 4, f"64 entries, 4-way: {RUN}{ANY_SIZE}"),
        TLB("stlb", 2, "ID", ("4k", "2m", "1g"), 128, 12, f"1,536, 12-way: {RUN}{ANY_SIZE}"),
    ),
    walk_caches=(
        *_walk_caches("", "the guest's walk"),
        *_walk_caches("ept_", "the host's walks of the guest's tables"),
        WalkCache("ntlb", 1, 0, f"none: {SIMULATOR}"),
    ),
    caches=(
        Cache("L1D", 32 << 10, 8, _exact(4), f"32 KiB, 8-way: {RUN}"),
        Cache("L2", 1 << 20, 16, _exact(14), f"1 MiB, 16-way: {RUN}"),
        Cache("LLC", 22 << 20, 11, _exact(54), f"22 MiB, 11-way, of all 20 cores: {RUN}"),
    ),
    memory_latency=_exact(200),
    costs={**SOFTWARE, "l2_tlb_hit": Cited(7, "assumption: as Skylake-SP; the artifact has none")},
    clock_ghz=Cited(3.0, "assumption: of no consequence, since all latencies are in cycles", 2, 4),
    walkers=Cited(1, f"assumption: one, as Skylake has two ({PAGE_WALKERS}) and the artifact adds"),
    miss_registers=Cited(10, "assumption: as Skylake-SP; the artifact has none"),
    window=Cited(224, "assumption: as Skylake-SP; the artifact has none"),
    llc_size=Cited(22 << 20, f"22 MiB: {RUN}"),
    llc_slices=Cited(20, f"20 cores: {RUN}"),
    walks_enter=Stated(("L1D",), f"walks go to the first data cache: {SIMULATOR}, make_request()"),
    prefetchers=Stated((), f"none: {RUN}"),
    final_walk_cached=False,
    notes=(
        "The last host walk, for the page itself, never asks the host's walk cache "
        "(final_walk_cached=false), which flatters what drops it.",
        "The artifact's walk caches miss where they are asked for the same entry twice in a row "
        "(caching_device_t::request() returns NOT_FOUND for the last tag); these hit.",
    ),
)

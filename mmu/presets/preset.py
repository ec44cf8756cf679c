"""What a preset is: a processor's published parameters, each with its source.

A number without a published source is an assumption and says so: its source
begins with the word "assumption". `mmulab presets NAME` prints all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mmulab.mmu.presets.cited import Cited, Stated

PAGE_SIZES = ("4k", "2m", "1g")
POLICIES = ("lru", "fifo", "plru", "random")
#: Of a cache towards the one before it: it has all lines of that one; it is filled with what
#: that one evicts; it is filled on a miss, and what it evicts stays in that one.
INCLUSIONS = ("inclusive", "exclusive", "neither")

#: How a cache finds a line's set, see `hardware.caches`.
INDICES = (STRAIGHT, HASHED) = ("straight", "hashed")
PREFETCHERS = ("next-line", "adjacent-line", "stream", "stride", "region", "temporal")
#: What predicts pages whose translations are fetched ahead: see `hardware.tlb_prefetch`.
TLB_PREFETCHERS = ("sequential", "distance")
ARCHITECTURES = ("x86-64", "aarch64", "riscv64")


@dataclass(frozen=True)
class TLB:
    """One TLB array.

    level: 1 or 2. kinds: "I" (instruction fetches), "D" (loads, stores) or "ID".
    page_sizes: the sizes it holds; a TLB that holds several indexes each by its own
    page number. Full associativity: sets = 1. policy: of replacement, POLICIES.
    """

    name: str
    level: int
    kinds: str
    page_sizes: tuple[str, ...]
    sets: int
    ways: int
    source: str
    policy: str = "lru"


@dataclass(frozen=True)
class WalkCache:
    """A structure that shortens page walks.

    name: "pml5e", "pml4e", "pdpte", "pde" (paging-structure caches of linear
    addresses; combined mappings when EPT is on), "ept_pml5e", "ept_pml4e",
    "ept_pdpte", "ept_pde" (the same for guest-physical addresses), "ept_pte" (a cuckoo walk cache,
    that no processor has), "ntlb" (nested TLB: gfn -> hfn of page-table pages), or "pwc" (page walk
    cache: table entries of both dimensions by system-physical address; "guest_pwc" and
    "nested_pwc" are of one). ways: 0 where it is absent.
    """

    name: str
    sets: int
    ways: int
    source: str
    policy: str = "lru"


@dataclass(frozen=True)
class Cache:
    """A cache that data and page-table references go through, first level first.

    size in bytes for one core (a slice, where it is shared), line 64 bytes,
    latency in cycles from the start of the reference (load-to-use). inclusion: of
    INCLUSIONS, towards the cache before it. index: of INDICES.
    """

    name: str
    size: int
    ways: int
    latency: Cited
    source: str
    inclusion: str = "neither"
    index: str = STRAIGHT


@dataclass(frozen=True)
class Preset:
    """A processor: geometry, latencies in core cycles, features.

    clock_ghz: the clock by which latencies in ns are cycles here, see `common.CLOCK`. walkers: page
    walks at once. miss_registers: misses of the first data cache at once. window: instructions
    in flight. llc_size: bytes of the last cache that the core reaches without leaving its die or
    complex of cores, whole. llc_slices: cores that share it. walks_enter: name of the first
    cache that walks look into. coalescing: neighbouring 4 KiB pages that one TLB entry can stand
    for (`hardware.walks.coalescing`); 1: none. prefetchers: of PREFETCHERS, into any data cache.
    tlb_prefetch: one of TLB_PREFETCHERS, or none; its numbers: entries of the buffer, pages that
    sequential prefetch fetches, distances of a row of the distance table, and rows.
    base: the preset that a file changes. final_walk_cached: whether the nested walk of the page
    itself asks paging-structure caches, as the walks that locate tables do.
    """

    name: str
    title: str
    year: int
    tlbs: tuple[TLB, ...]
    walk_caches: tuple[WalkCache, ...]
    caches: tuple[Cache, ...]
    memory_latency: Cited
    #: Costs in cycles by name; the names are those of `mmu.report.cost.COSTS`.
    costs: dict[str, Cited]
    clock_ghz: Cited
    walkers: Cited
    miss_registers: Cited
    window: Cited
    llc_size: Cited
    llc_slices: Cited
    walks_enter: Stated
    prefetchers: Stated
    coalescing: Cited = Cited(1, "none; what a core finds by itself is left out unless asked for")
    tlb_prefetch: Stated = Stated((), "none; what a core may have is left out unless asked for")
    tlb_prefetch_entries: Cited = Cited(16, "Kandiraju and Sivasubramaniam, ISCA 2002, remembered")
    tlb_prefetch_degree: Cited = Cited(1, "sequential prefetch as published: the next page")
    tlb_prefetch_slots: Cited = Cited(2, "Kandiraju and Sivasubramaniam, ISCA 2002, remembered")
    tlb_prefetch_rows: Cited = Cited(256, "Kandiraju and Sivasubramaniam, ISCA 2002, remembered")
    arch: str = "x86-64"
    va_levels: int = 4  # 5 where LA57 exists and is on by default
    pcid: bool = True
    vpid: bool = True
    ept_ad: bool = True
    final_walk_cached: bool = True
    notes: tuple[str, ...] = field(default=())
    base: str = field(default="", compare=False)


#: Fields of a preset that are single numbers, lists of names, and flags, under their own names.
NUMBERS = (
    "memory_latency",
    "clock_ghz",
    "walkers",
    "miss_registers",
    "window",
    "llc_size",
    "llc_slices",
    "coalescing",
    "tlb_prefetch_entries",
    "tlb_prefetch_degree",
    "tlb_prefetch_slots",
    "tlb_prefetch_rows",
)
STATED = {"walks_enter": (), "prefetchers": PREFETCHERS, "tlb_prefetch": TLB_PREFETCHERS}
FLAGS = ("arch", "va_levels", "pcid", "vpid", "ept_ad", "final_walk_cached")

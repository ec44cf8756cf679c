"""Builds a core, its TLBs, walk caches and cache model, and vCPUs, from a preset."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.errors import InputError, unknown
from mmulab.mmu.hardware.assoc import INVALID, PADDING, PADDING_AGE, padded
from mmulab.mmu.hardware.caches import MISSED, NOTED, shape_of
from mmulab.mmu.hardware.contexts import make_contexts
from mmulab.mmu.hardware.fetch_ahead import HINTS
from mmulab.mmu.hardware.lines import LINE_SHIFT, LINES_SHIFT
from mmulab.mmu.hardware.pml import PML_ENTRIES
from mmulab.mmu.hardware.replay import TOUCH_AGE, TOUCH_BY_POLICY, TOUCH_NOTHING
from mmulab.mmu.hardware.state import (
    CACHE,
    CACHE_LEVELS,
    COALESCED,
    CORE_RECORD,
    DISTANCE,
    FIRST_TOUCHES,
    GUEST_ENTRIES,
    HASHED_HOST,
    HASHED_WAY,
    HASHING,
    HINT,
    LOG,
    MAX_COUNTERS,
    MAX_REASONS,
    MENDING,
    MOST_PREDICTED,
    MOST_WAYS,
    NESTED_ENTRIES,
    PAGE_SIZES,
    PREDICTOR_SIZE,
    RANGE,
    RANGE_ENTRIES,
    RANGE_ENTRY,
    RANGES,
    REGS,
    ROUTE,
    ROUTE_COLUMNS,
    ROUTE_EPT_PSC,
    ROUTE_L1D,
    ROUTE_L1I,
    ROUTE_L2D,
    ROUTE_L2I,
    ROUTE_NTLB,
    ROUTE_PREFETCH,
    ROUTE_PSC,
    ROUTE_PWC,
    ROUTE_ROWS,
    STATS,
    TLB_SIZES,
    UNIT,
    VCPU,
    Core,
)
from mmulab.mmu.hardware.tlb import NO_PAGE
from mmulab.mmu.kernels.vectors import WIDE
from mmulab.mmu.memory.entries import SIZE_NAMES, SIZES
from mmulab.mmu.memory.status import NIL
from mmulab.mmu.presets.geometry import MAX_ENTRIES, check_geometry, check_tlb
from mmulab.mmu.presets.preset import HASHED, POLICIES, TLB, TLB_PREFETCHERS, Preset

LINE_BYTES = 1 << LINE_SHIFT
_SHIFTS = [size.bit_length() - 1 for size in SIZES]
#: Lines of all caches, sets padded: 2 GiB of tags, an assumption.
MOST_SLOTS = 1 << 29
_TLB_ROWS = {(1, "I"): ROUTE_L1I, (1, "D"): ROUTE_L1D, (2, "I"): ROUTE_L2I, (2, "D"): ROUTE_L2D}
_WALK_CACHE_LEVELS = {"pte": 1, "pde": 2, "pdpte": 3, "pml4e": 4, "pml5e": 5}
_PAGE_WALK_CACHES = {
    "pwc": (GUEST_ENTRIES, NESTED_ENTRIES),
    "guest_pwc": (GUEST_ENTRIES,),
    "nested_pwc": (NESTED_ENTRIES,),
}


#: The most of each number of TLB prefetch: of what hardware could search at once, of what a walk
#: has room for, and of rows.
_MOST_OF_PREFETCH = {
    "tlb_prefetch_entries": 1024,
    "tlb_prefetch_degree": MOST_PREDICTED,
    "tlb_prefetch_slots": MOST_PREDICTED,
    "tlb_prefetch_rows": 1 << 16,
}


class _Builder:
    """Collects units, then lays their slots out one after another."""

    def __init__(self, seed: int, coalescing: int) -> None:
        """coalescing: log2 of the 4 KiB pages that an entry can stand for."""
        self.units: list[tuple[int, int, int]] = []  # sets, ways, policy
        self.names: list[str] = []
        self.route = np.full((ROUTE_ROWS, ROUTE_COLUMNS), NIL, np.int64)
        self.seed = seed
        self.shifts = [*_SHIFTS, _SHIFTS[0] + coalescing]

    def add(self, name: str, sets: int, ways: int, policy: str) -> int:
        check_geometry(name, sets, ways, policy)
        self.units.append((sets, ways, POLICIES.index(policy)))
        self.names.append(name)
        return len(self.units) - 1

    def connect(self, row: int, column: int, number: int) -> None:
        if self.route[row, column] != NIL:
            other = self.names[self.route[row, column]]
            raise InputError(f"{self.names[number]} and {other} serve the same translations")
        self.route[row, column] = number

    def unit_array(self) -> tuple[np.ndarray, int, int]:
        """(UNIT records, slots in all, words of tree-PLRU bits in all)."""
        unit = np.zeros(len(self.units), UNIT)
        slots, words = WIDE, 0
        for number, (sets, ways, policy) in enumerate(self.units):
            unit[number]["base"] = slots
            unit[number]["sets"] = sets
            unit[number]["ways"] = ways
            stride = padded(ways)
            unit[number]["stride"] = stride
            unit[number]["policy"] = policy
            unit[number]["random"] = (self.seed * 0x9E3779B97F4A7C15 + number) % (1 << 62) + 1
            unit[number]["tree"] = words
            unit[number]["group"] = unit[number]["digit"] = NIL
            slots += -(-sets * stride // WIDE) * WIDE
            words += sets
        if slots > MAX_ENTRIES:
            raise InputError(
                f"{slots:,} entries in all TLBs and walk caches; expected at most {MAX_ENTRIES:,}"
            )
        return unit, slots, words

    def route_array(self, unit: np.ndarray) -> np.ndarray:
        """ROUTE records of `Core.route`, from the units that serve them."""
        route = np.zeros(self.route.size, ROUTE)
        route["unit"] = self.route.ravel()
        there = route["unit"] != NIL
        serving = unit[route["unit"][there]]
        for name in ("base", "stride"):
            route[name][there] = serving[name]
        route["set_mask"][there] = serving["sets"] - 1
        by_size = route.reshape(self.route.shape)[: ROUTE_PREFETCH + 1, :TLB_SIZES]
        by_size["shift"] = self.shifts
        return route


def _add_tlb(builder: _Builder, tlb: TLB) -> None:
    check_tlb(tlb)
    number = builder.add(f"TLB {tlb.name}", tlb.sets, tlb.ways, tlb.policy)
    for kind in tlb.kinds:
        for size in tlb.page_sizes:
            builder.connect(_TLB_ROWS[tlb.level, kind], SIZE_NAMES.index(size), number)
        if SIZE_NAMES[0] in tlb.page_sizes:
            builder.connect(_TLB_ROWS[tlb.level, kind], COALESCED, number)


def _touch_mode(policies: set[str]) -> int:
    if policies == {"lru"}:
        return TOUCH_AGE
    return TOUCH_NOTHING if policies <= {"fifo", "random"} else TOUCH_BY_POLICY


def build_core(
    preset: Preset,
    seed: int = 1,
    walk_caches: bool = True,
    log_size: int = 0,
    caches: str = "off",
    llc: str | int = "socket",
    model: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[Core, list[str]]:
    """A cold core, and the names of its units by number.

    seed: of random replacement. walk_caches: False removes paging-structure caches and nested
    TLB. log_size: references that can be logged. caches, llc: as in `Config`. model: its caches, of
    `cache_model`, where it shares one with others. Raises InputError where the geometry is
    impossible or no L1 TLB holds 4 KiB pages.
    """
    coalescing = _coalescing(preset)
    builder = _Builder(seed, coalescing)
    first_level = [tlb for tlb in preset.tlbs if tlb.level == 1]
    for tlb in first_level:
        _add_tlb(builder, tlb)
    l1_units = len(builder.units)
    for tlb in preset.tlbs:
        if tlb.level != 1:
            _add_tlb(builder, tlb)
    _add_prefetch_buffer(builder, preset)
    for row, what in ((ROUTE_L1I, "instructions"), (ROUTE_L1D, "data")):
        if builder.route[row, 0] == NIL:
            raise InputError(f"preset {preset.name}: no L1 TLB for {what} holds 4k pages")
    for cache in preset.walk_caches if walk_caches else ():
        if not cache.ways:  # absent
            continue
        number = builder.add(f"walk cache {cache.name}", cache.sets, cache.ways, cache.policy)
        name = cache.name.removeprefix("ept_")
        if cache.name == "ntlb":
            builder.connect(ROUTE_NTLB, 0, number)
        elif cache.name in _PAGE_WALK_CACHES:
            for dimension in _PAGE_WALK_CACHES[cache.name]:
                builder.connect(ROUTE_PWC, dimension, number)
        elif name in _WALK_CACHE_LEVELS:
            row = ROUTE_PSC if name == cache.name else ROUTE_EPT_PSC
            builder.connect(row, _WALK_CACHE_LEVELS[name], number)
        else:
            raise InputError(f"walk cache {cache.name!r}: not a name in mmu.presets.preset")
    core = _arrays(builder, preset, l1_units, log_size, *(model or cache_model(preset, llc)))
    record = core.record[0]
    record["data"] = caches != "off" and bool(preset.caches)
    record["levels"] = len(preset.caches)
    record["coalescing"] = coalescing
    record["prefetch"] = prefetch_of(preset)
    record["prefetch_degree"] = preset.tlb_prefetch_degree.value
    record["prefetch_slots"] = preset.tlb_prefetch_slots.value
    record["final_uncached"] = not preset.final_walk_cached
    names = [cache.name for cache in preset.caches]
    record["enter"] = _entered(preset, names)
    prefetchers = set(preset.prefetchers.names if len(names) > 1 else ())  # into the second cache
    record["next_line"] = "next-line" in prefetchers
    record["adjacent_line"] = "adjacent-line" in prefetchers
    record["stream"] = bool({"stream", "stride"} & prefetchers)
    return core, builder.names


def prefetch_of(preset: Preset) -> int:
    """How pages are predicted, 0 where they are not: see `tlb_prefetch`. Raises InputError where
    there can be no such prefetch."""
    for name, most in _MOST_OF_PREFETCH.items():
        number = getattr(preset, name).value
        if number not in range(1, most + 1):
            raise InputError(f"{name}: {number:g}; expected a whole number from 1 to {most:,}")
    rows = int(preset.tlb_prefetch_rows.value)
    if rows & (rows - 1):
        raise InputError(f"tlb_prefetch_rows: {rows:,}; expected a power of two")
    names = preset.tlb_prefetch.names
    if len(names) > 1:
        raise InputError(f"tlb_prefetch: {' and '.join(names)}; expected one of them")
    if names and preset.coalescing.value > 1:
        raise InputError(
            "tlb_prefetch and coalescing: a prefetch has no groups of pages; expected one of them"
        )
    return TLB_PREFETCHERS.index(names[0]) + 1 if names else 0


def _add_prefetch_buffer(builder: _Builder, preset: Preset) -> None:
    if prefetch_of(preset):
        entries = int(preset.tlb_prefetch_entries.value)
        number = builder.add("TLB prefetch buffer", 1, entries, "fifo")
        for size in range(PAGE_SIZES):
            builder.connect(ROUTE_PREFETCH, size, number)


def _coalescing(preset: Preset) -> int:
    """Log2 of the pages of a group. Raises InputError where they are no power of two to 16: the
    most that hardware takes, Arm's contiguous pages of 4 KiB."""
    pages = preset.coalescing.value
    if pages not in (1, 2, 4, 8, 16):
        raise InputError(f"coalescing: {pages:g} pages; expected 1 (none), 2, 4, 8 or 16")
    return int(pages).bit_length() - 1


def _entered(preset: Preset, names: list[str]) -> int:
    """The level that walks look into first."""
    if not names:
        return 0
    (name, *_) = preset.walks_enter.names
    if name not in names[:2]:
        raise unknown("walks_enter", name, names[:2])
    return names.index(name)


def size_of_last(preset: Preset, llc: str | int) -> int:
    """Bytes of the last cache that a VM has. llc: as in `Config`."""
    if llc == "socket":
        return int(preset.llc_size.value)
    return preset.caches[-1].size if llc == "slice" else int(llc)


def fold_of(index: str) -> int:
    """How far a line's name is shifted to take part in its row: all of it where it does not."""
    return LINES_SHIFT if index == HASHED else 63


def cache_model(preset: Preset, llc: str | int) -> tuple[np.ndarray, np.ndarray]:
    """(CACHE records, lines, all invalid)."""
    if len(preset.caches) > CACHE_LEVELS - 1:
        raise InputError(f"{len(preset.caches)} cache levels; expected at most {CACHE_LEVELS - 1}")
    cache = np.zeros(CACHE_LEVELS - 1, CACHE)
    slots, last = 0, len(preset.caches) - 1
    for number, level in enumerate(preset.caches):
        size = size_of_last(preset, llc) if number == last > 0 else level.size
        check_geometry(f"cache {level.name}", 1, level.ways, "lru")
        colours, rows = shape_of(size // (LINE_BYTES * level.ways))
        stride = padded(level.ways)
        cache[number] = (slots, colours, rows - 1, fold_of(level.index), stride, level.ways)
        slots += colours * rows * stride
        if slots > MOST_SLOTS:
            raise InputError(f"cache {level.name}: {size:,} bytes; expected fewer in all caches")
    line = aligned(slots, np.int32)
    line[:] = INVALID
    return cache, line


def aligned(length: int, dtype: type = np.int64) -> np.ndarray:
    """Zeros that begin at a cache line."""
    raw: np.ndarray = np.zeros(length + LINE_BYTES // np.dtype(dtype).itemsize, dtype)
    first = -raw.ctypes.data % LINE_BYTES // raw.itemsize
    return raw[first : first + length]


def build_vcpu(sites: int) -> VCPU:
    """A vCPU that has counted nothing, of a walk with so many sites."""
    regs = np.zeros(1, REGS)
    regs[0]["root"] = NIL
    return VCPU(
        regs=regs,
        stats=np.zeros(1, STATS),
        exits=np.zeros(MAX_REASONS, np.int64),
        own=np.zeros(MAX_COUNTERS, np.int64),
        references=np.zeros((sites + 2) * CACHE_LEVELS, np.int64),
        hidden=np.zeros((sites + 2) * CACHE_LEVELS, np.int64),
        way=np.zeros((HASHED_HOST + 1) * PAGE_SIZES * MOST_WAYS, HASHED_WAY),
        hashing=np.zeros(1, HASHING),
        found=np.zeros(PAGE_SIZES * MOST_WAYS, np.int64),
        range=np.zeros(RANGES, RANGE),
        size=np.zeros(512, np.int8),
        first=np.zeros(1, FIRST_TOUCHES),
        first_exits=np.zeros(MAX_REASONS, np.int64),
        first_own=np.zeros(MAX_COUNTERS, np.int64),
        before=np.zeros(1, MENDING),
        before_exits=np.zeros(MAX_REASONS, np.int64),
        before_own=np.zeros(MAX_COUNTERS, np.int64),
        pml=np.zeros(PML_ENTRIES, np.int64),
    )


def _arrays(
    builder: _Builder,
    preset: Preset,
    l1_units: int,
    log_size: int,
    cache: np.ndarray,
    line: np.ndarray,
) -> Core:
    unit, slots, words = builder.unit_array()
    l1_slots = int(unit[l1_units]["base"]) if l1_units < len(unit) else slots
    record = np.zeros(1, CORE_RECORD)
    record[0]["clock"] = 2
    record[0]["logging"] = NIL
    record[0]["touch"] = _touch_mode({tlb.policy for tlb in preset.tlbs if tlb.level == 1})
    data_units, instruction_units = (set(builder.route[row]) for row in (ROUTE_L1D, ROUTE_L1I))
    record[0]["joined"] = bool(data_units & instruction_units - {NIL})
    record[0]["derived"] = NIL
    for number in range(l1_units):
        alone = number not in data_units and not record[0]["joined"]
        unit[number]["group"] = 1 if alone else 0
    owner = np.zeros(l1_slots, np.int64)
    for number in range(l1_units):
        owner[unit[number]["base"] :] = number
    tag, digest, age = aligned(slots), aligned(slots, np.int32), aligned(slots, np.int32)
    tag[:], digest[:], age[:] = INVALID, INVALID, np.arange(slots)
    for each in unit:
        sets = slice(each["base"], each["base"] + each["sets"] * each["stride"])
        tag[sets].reshape(-1, each["stride"])[:, each["ways"] :] = PADDING
        age[sets].reshape(-1, each["stride"])[:, each["ways"] :] = PADDING_AGE
    return Core(
        record=record,
        context=make_contexts(),
        shift=np.array(builder.shifts, np.int64),
        log=np.zeros(max(1, log_size), LOG),
        unit=unit,
        route=builder.route_array(unit),
        tag=tag,
        digest=digest,
        age=age,
        data=np.zeros(slots, np.int64),
        tree=np.zeros(max(1, words), np.int64),
        owner=owner,
        first=np.full(l1_slots, NO_PAGE, np.int64),
        span=np.full(l1_slots, -1, np.int64),
        weight=np.zeros(l1_slots, np.int64),
        hint=np.full(2 * HINTS, NIL, HINT),
        cache=cache,
        line=line,
        noted=np.zeros(NOTED, np.int64),
        noted_as=np.zeros(NOTED, np.int64),
        served=np.zeros(NOTED, np.int8),
        missed=np.zeros(MISSED, np.int64),
        missed_as=np.zeros(MISSED, np.int64),
        range_tlb=np.zeros(RANGE_ENTRIES, RANGE_ENTRY),
        distance=np.zeros(int(preset.tlb_prefetch_rows.value), DISTANCE),
        predictor=np.zeros(PREDICTOR_SIZE, np.int32),
    )

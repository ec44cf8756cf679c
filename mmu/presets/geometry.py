"""What arrays of entries can be built."""

from __future__ import annotations

from mmulab.mmu.errors import InputError, unknown
from mmulab.mmu.presets.preset import INCLUSIONS, INDICES, PAGE_SIZES, POLICIES, TLB, Preset

#: A slot's number must fit beside time stamps in an age (`hardware.clocks`); far above any
#: real structure.
MAX_ENTRIES = 1 << 20


def check_geometry(name: str, sets: int, ways: int, policy: str) -> None:
    """Raises InputError where no such array can be built."""
    if sets < 1 or sets & (sets - 1):
        raise InputError(f"{name}: {sets} sets; the index needs a power of two")
    if ways < 1:
        raise InputError(f"{name}: {ways} ways; expected at least 1")
    if sets * ways > MAX_ENTRIES:
        raise InputError(f"{name}: {sets} x {ways} entries; expected at most {MAX_ENTRIES}")
    if policy not in POLICIES:
        raise unknown(f"policy of {name}", policy, POLICIES)
    if policy == "plru" and (ways & (ways - 1) or ways > 64):
        raise InputError(f"{name}: tree-PLRU needs a power of two of at most 64 ways, not {ways}")


def check_tlb(tlb: TLB) -> None:
    """Raises InputError where there can be no such TLB."""
    name = f"TLB {tlb.name}"
    check_geometry(name, tlb.sets, tlb.ways, tlb.policy)
    if tlb.level not in (1, 2):
        raise InputError(f"{name}: level {tlb.level}; expected 1 or 2")
    if not tlb.kinds or set(tlb.kinds) - set("ID"):
        raise InputError(f"{name}: kinds {tlb.kinds!r}; expected I, D or ID")
    for size in tlb.page_sizes:
        if size not in PAGE_SIZES:
            raise InputError(f"{name}: page size {size!r}; expected {', '.join(PAGE_SIZES)}")


def check(preset: Preset) -> None:
    """Raises InputError where a structure of a preset cannot be built."""
    for tlb in preset.tlbs:
        check_tlb(tlb)
    for unit in preset.walk_caches:
        if unit.ways:
            check_geometry(f"walk cache {unit.name}", unit.sets, unit.ways, unit.policy)
    for cache in preset.caches:
        check_geometry(f"cache {cache.name}", 1, cache.ways, "lru")
        if cache.inclusion not in INCLUSIONS:
            raise unknown(f"inclusion of cache {cache.name}", cache.inclusion, INCLUSIONS)
        if cache.index not in INDICES:
            raise unknown(f"index of cache {cache.name}", cache.index, INDICES)

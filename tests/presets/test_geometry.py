"""Geometries of presets: well formed, and as the processors' documents state them."""

from __future__ import annotations

import pytest

from mmulab.mmu import presets
from mmulab.mmu.presets.preset import INCLUSIONS, PAGE_SIZES, POLICIES

WALK_CACHES = {"pml5e", "pml4e", "pdpte", "pde"}
PAGE_WALK_CACHES = {"pwc", "guest_pwc", "nested_pwc"}
LINE = 64

# Entries that the processors' documents state, by preset and TLB.
PUBLISHED = {
    ("opteron-2008", "dtlb"): 48,
    ("opteron-2008", "l2-dtlb-4k"): 512,
    ("opteron-2008", "l2-dtlb-2m"): 128,
    ("haswell", "dtlb-4k"): 64,
    ("haswell", "stlb"): 1024,
    ("skylake-sp", "itlb-4k"): 128,
    ("skylake-sp", "dtlb-2m"): 32,
    ("skylake-sp", "stlb"): 1536,
    ("skylake-sp", "stlb-1g"): 16,
    ("neoverse-n1", "l1-dtlb"): 48,
    ("neoverse-n1", "l2-tlb"): 1280,
    ("zen-4", "dtlb"): 72,
    ("zen-4", "l2-itlb"): 512,
    ("zen-4", "l2-dtlb"): 3072,
    ("golden-cove", "itlb-4k"): 256,
    ("golden-cove", "dtlb-4k"): 96,
    ("golden-cove", "stlb"): 2048,
    ("sapphire-rapids", "dtlb-4k"): 96,
    ("lion-cove", "dtlb-4k"): 128,
    ("lion-cove", "stlb"): 2048,
    ("zen-5", "dtlb"): 96,
    ("zen-5", "l2-dtlb"): 4096,
    ("zen-5", "l2-itlb"): 2048,
    ("neoverse-v2", "l1-dtlb"): 48,
    ("neoverse-v2", "l2-tlb"): 2048,
}


def power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def test_tlb_geometry(preset):
    assert len({tlb.name for tlb in preset.tlbs}) == len(preset.tlbs)
    for tlb in preset.tlbs:
        assert tlb.level in (1, 2)
        assert tlb.kinds in ("I", "D", "ID")
        assert tlb.page_sizes and set(tlb.page_sizes) <= set(PAGE_SIZES)
        assert power_of_two(tlb.sets) and tlb.ways > 0
        assert tlb.policy in POLICIES
        assert tlb.policy != "plru" or power_of_two(tlb.ways)


def test_each_kind_and_page_size_has_one_tlb_a_level(preset):
    for level in (1, 2):
        for kind in "ID":
            sizes = [
                size
                for tlb in preset.tlbs
                if tlb.level == level and kind in tlb.kinds
                for size in tlb.page_sizes
            ]
            assert len(sizes) == len(set(sizes))
            assert "4k" in sizes


def test_walk_cache_geometry(preset):
    names = [unit.name for unit in preset.walk_caches]
    assert len(set(names)) == len(names)
    linear = {name for name in names if name in WALK_CACHES}
    if "pwc" in names:  # instead of paging-structure caches
        assert set(names) == {*PAGE_WALK_CACHES, "ntlb"}
    else:
        assert {"pml4e", "pdpte", "pde"} <= linear
        assert set(names) == linear | {f"ept_{name}" for name in linear} | {"ntlb"}
    assert preset.va_levels in (4, 5)
    assert preset.va_levels == 4 or "pml5e" in linear
    for unit in preset.walk_caches:
        assert power_of_two(unit.sets)
        assert unit.ways > 0 or unit.name in ("guest_pwc", "nested_pwc")  # variants of pwc
        assert unit.policy in POLICIES
        assert unit.policy != "plru" or power_of_two(unit.ways)


def test_caches_grow_slower_with_depth_and_memory_is_slowest(preset):
    assert 1 <= len(preset.caches) <= 4
    assert len({cache.name for cache in preset.caches}) == len(preset.caches)
    for cache in preset.caches:
        sets, rest = divmod(cache.size, cache.ways * LINE)
        assert rest == 0 and power_of_two(sets)
        assert cache.inclusion in INCLUSIONS
    latencies = [cache.latency.value for cache in preset.caches] + [preset.memory_latency.value]
    assert latencies == sorted(set(latencies))


@pytest.mark.parametrize(("name", "tlb"), PUBLISHED)
def test_published_number_of_entries(name, tlb):
    (found,) = [unit for unit in presets.load(name).tlbs if unit.name == tlb]
    assert found.sets * found.ways == PUBLISHED[name, tlb]


def test_opteron_walk_cache_has_24_entries():
    sizes = {u.name: u.sets * u.ways for u in presets.load("opteron-2008").walk_caches}
    assert sizes == {"pwc": 24, "guest_pwc": 0, "nested_pwc": 0, "ntlb": sizes["ntlb"]}

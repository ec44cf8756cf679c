"""Every number that docs/results.md names, against small traces that are counted by hand.

Each scenario says what it must count and why. test_documented_keys.py reads the tables of the
document: a name that none of the scenarios counts fails it.
"""

from __future__ import annotations

from typing import Any

import pytest
from drivers.traces import Script

import mmulab
from mmulab.mmu import presets
from mmulab.mmu.presets.preset import TLB
from mmulab.mmu.report.results import Comparison
from mmulab.mmu.trace import (
    EXEC,
    EXIT,
    FETCH,
    FORK,
    LOAD,
    MMAP,
    MPROTECT,
    MUNMAP,
    STORE,
    SWITCH,
)  # fmt: skip

PAGE = 4096
HEAP = 0x4000_0000  # begins a page of 1 GiB
READ, WRITE, SMALL, LARGE, HUGE = 1, 2, 1 << 8, 2 << 8, 3 << 8
SHADOWS = ("shadow", "shadow:policy=trap")  # the first with unsync
TECHNIQUES = ("native", *SHADOWS, "nested")

Expected = dict[str, Any]


def page(number: int, kind: int = STORE, within: int = 0, size: int = 1) -> tuple[int, int, int]:
    return HEAP + number * PAGE + within, kind, size


def event(kind: int, pid: int = 1, start: int = 0, length: int = 0, value: int = 0) -> tuple:
    return ("event", kind, pid, start, length, value)


def compared(*steps: tuple, techniques: tuple[str, ...] = TECHNIQUES, **options: Any) -> Comparison:
    options = {"memory": "256M", "preset": "skylake-sp", **options}
    return mmulab.compare(Script(*steps), techniques=list(techniques), check=True, **options)


def flat(result: Any) -> Expected:
    """Numbers by the names that the document has for them."""
    plain = result.to_dict()
    exits = {f"exits.{name}": n for name, n in plain["exits"].items()}
    arrays = {
        f"{name} {what}": n
        for name, counted in plain["structures"].items()
        for what, n in counted.items()
    }
    counted = plain["counts"] | plain["events"] | plain["frames"] | exits | arrays
    return plain | counted


def check(comparison: Comparison, technique: str, expected: Expected) -> None:
    found = flat(comparison[technique])
    wrong = {
        name: (found.get(name, 0), value)
        for name, value in expected.items()
        if found.get(name, 0) != value
    }
    assert not wrong, f"{technique}: (found, expected) {wrong}"


# --- First touches -------------------------------------------------------------------

TOUCHED = 5

#: Stores to pages not touched before, in one leaf table. The first makes the three tables below
#: the root, each page is an entry of the leaf table.
FIRST_TOUCHES: Expected = {
    "accesses": TOUCHED, "loads": 0, "stores": TOUCHED, "fetches": 0, "straddles": 0,
    "l1_tlb_misses": TOUCHED, "l1_data_tlb_misses": TOUCHED, "l1_instruction_tlb_misses": 0,
    "l2_tlb_hits": 0, "l2_tlb_misses": TOUCHED, "dirty_walks": 0,
    "kernel_entries": TOUCHED, "guest_faults": TOUCHED, "demand_fills": TOUCHED,
    "cow_breaks": 0, "granted": 0,
    "faults_4k": TOUCHED, "faults_2m": 0, "faults_1g": 0,
    "pages_zeroed": TOUCHED, "pages_copied": 0, "pte_writes": TOUCHED + 3,
    "invlpgs": 0, "cr3_loads": 0,
    "TLB dtlb-4k hits": 0, "TLB dtlb-4k misses": TOUCHED,
    "TLB stlb hits": 0, "TLB stlb misses": TOUCHED,
    "merged page": 0, "balloon": 0,
}  # fmt: skip

# Frames of the guest's: pages, three tables, the root.
USED = TOUCHED + 4

# Of the root's entry and of those below it, one line each comes from memory.
SITES = [
    {"site": f"gL{level}", "dimension": "guest", "level": level, "served_by": [hits, 0, 0, 1]}
    for level, hits in ((1, 2 * TOUCHED - 2), (2, 2 * TOUCHED - 2), (3, 2 * TOUCHED - 2),
                        (4, 2 * TOUCHED - 1))
]  # fmt: skip

# Each fault is one walk that faults, and one more. Without walk caches the first walk ends at the
# root's entry; the others read four entries each.
REFERENCES = 1 + 4 * (2 * TOUCHED - 1)

ONE_FAULT_EACH: Expected = {"repeated_lookups": TOUCHED, "walks": 2 * TOUCHED}

# Under shadow paging each page faults a second time, for its sPTE.
TWO_FAULTS_EACH: Expected = {
    "repeated_lookups": 2 * TOUCHED, "walks": 3 * TOUCHED,
    "exits.reflected_fault": TOUCHED, "exits.shadow_fill": TOUCHED, "shadow_fills": TOUCHED,
    "exits.backing": USED, "exits.invlpg": 0, "exits.cr3_load": 0,
    "synced_entries": 0, "unshadowed_pages": 0,
    "guest page": USED, "gPT": 0, "sPT": 4, "nPT": 0,
}  # fmt: skip

OF_TECHNIQUE: dict[str, Expected] = {
    # The entries read are one in each upper table and one line of the leaf table: four lines. The
    # lines of the pages are in the first cache, since the kernel has just zeroed them.
    "native": ONE_FAULT_EACH | {
        "guest page": TOUCHED, "gPT": 4, "sPT": 0, "nPT": 0,
        "references": SITES,
        "references_per_walk": REFERENCES / (2 * TOUCHED),
        "data": {"served_by": [TOUCHED, 0, 0, 0]},
        "cache L1D hits": REFERENCES - 4 + TOUCHED, "cache L1D misses": 4,
        "cache L3 hits": 0, "cache L3 misses": 4,
    },
    # The root is write-protected from the start, the leaf table once the first page is filled:
    # with unsync its next write gives write access back, with trap each exits.
    "shadow": TWO_FAULTS_EACH | {"exits.pte_write": 2, "unsynced_pages": 1},
    "shadow:policy=trap": TWO_FAULTS_EACH | {"exits.pte_write": TOUCHED, "unsynced_pages": 0},
    # The guest kernel touches each frame first, so that no walk stops at the nested table. A
    # nested walk of four references locates each gPT page that is read, and the page.
    "nested": ONE_FAULT_EACH | {
        "exits.ept_violation": USED, "exits.pml_full": 0, "splintered": 0, "ntlb_hits": 0,
        "guest page": USED, "gPT": 0, "sPT": 0, "nPT": 4,
    },
}  # fmt: skip


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_first_touches(technique: str) -> None:
    steps = [page(number) for number in range(TOUCHED)]
    comparison = compared(*steps, techniques=(technique,), walk_caches=False)
    check(comparison, technique, FIRST_TOUCHES | OF_TECHNIQUE[technique])
    if technique == "nested":
        result = comparison[technique]
        assert result.references_in("guest") == REFERENCES
        assert result.references_in("nested") == 4 * (REFERENCES + TOUCHED)


def test_cycles_of_first_touches() -> None:
    preset = presets.load("skylake-sp")
    cost, memory = preset.costs, preset.memory_latency
    l1 = preset.caches[0].latency
    steps = [page(number) for number in range(TOUCHED)]
    result = compared(*steps, techniques=("native",), walk_caches=False)["native"]
    assert {name: charged for name, charged in result.charges.items() if charged} == {
        "work": {"cost.work_per_access": TOUCHED},
        "guest_kernel": {"cost.guest_fault": TOUCHED, "cost.page_zero": TOUCHED},
        "l2_tlb": {"cost.l2_tlb_hit": 2 * TOUCHED},  # before each walk
        "guest_walk": {"cache.L1D.latency": REFERENCES - 4, "memory_latency": 4},
    }
    # Of a script nothing is known: likely is half way between no overlap and two walkers. Least is
    # waited for where two walk at once, and the program works meanwhile: half an access a walk.
    walk = ((REFERENCES - 4) * l1.value + 4 * memory.value) / (2 * TOUCHED)
    least = 1 / 2 - cost["work_per_access"].value / 2 / walk
    assert result.to_dict()["overlap"] == {
        "walks": {"low": pytest.approx(least), "likely": 0.75, "high": 1.0},
        "window": 90,
        "independent": {"least": 1.0, "most": 90.0},
    }
    waited = result.overlap.of("walks")
    total = 0.0
    for end, of in (("low", "low"), ("likely", "value"), ("high", "high")):
        at = {name: getattr(cited, of) for name, cited in cost.items()}
        work = TOUCHED * at["work_per_access"]
        kernel = TOUCHED * (at["guest_fault"] + at["page_zero"])
        tlb = 2 * TOUCHED * at["l2_tlb_hit"]
        walks = (REFERENCES - 4) * getattr(l1, of) + 4 * getattr(memory, of)
        walks *= getattr(waited, end)
        found = {name: getattr(n, end) for name, n in result.cycles.items() if n.likely}
        assert found == pytest.approx(
            {"work": work, "guest_kernel": kernel, "l2_tlb": tlb, "guest_walk": walks}
        )
        total = work + kernel + tlb + walks
        assert getattr(result.total_cycles, end) == pytest.approx(total)
        assert getattr(result.range_per_access, end) == pytest.approx(total / TOUCHED)
        if end == "likely":
            translation = 100 * (tlb + walks) / total
            assert result.translation_percent == pytest.approx(translation)
            plain = result.to_dict()
            assert plain["cycles_per_access"]["likely"] == result.cycles_per_access
            (core,) = plain["cores"]
            assert core["accesses"] == TOUCHED
            assert core["cycles"]["likely"] == pytest.approx(total)


def test_shootdowns() -> None:
    """Two threads use a page, and the first unmaps it once."""
    one_unmap = "munmap:threads=2,work=10,accesses=23"
    comparison = mmulab.compare(
        one_unmap, techniques="nested", preset="skylake-sp", memory="64M", cores=2
    )
    plain = comparison["nested"].to_dict()
    told = {name: count for name, count in plain["shootdowns"].items() if count}
    assert told == {"shootdowns": 1, "ipis_sent": 1, "ipis_received": 1}
    first, second = plain["cores"]
    assert first["shootdowns"]["ipis_sent"] == second["shootdowns"]["ipis_received"] == 1
    assert (first["accesses"], second["accesses"]) == (12, 11)
    assert plain["charges"]["shootdown"] == {
        "cost.shootdown": 1, "cost.ipi_send": 1, "cost.ipi_receive": 1, "cost.virtual_ipi": 1,
        "cost.vm_exit": 1,
    }  # fmt: skip


# --- Look-ups ------------------------------------------------------------------------


def test_lookups() -> None:
    steps = (
        page(0, LOAD),  # misses, faults, is looked up again: two walks
        page(0, LOAD),
        page(0, STORE),  # hits, but D is clear: a walk
        page(0, FETCH),  # misses the instruction TLB, hits L2
        page(0, LOAD, 4092, 8),  # page 0 hits; page 1 misses and faults: both again
        page(0, LOAD),
    )
    expected: Expected = {
        "accesses": 6, "loads": 4, "stores": 1, "fetches": 1, "straddles": 1,
        "l1_tlb_misses": 3, "l1_data_tlb_misses": 2, "l1_instruction_tlb_misses": 1,
        "l2_tlb_hits": 1, "l2_tlb_misses": 2, "dirty_walks": 1,
        "repeated_lookups": 3, "repeated_l2_hits": 0, "walks": 5,
        "TLB dtlb-4k hits": 4, "TLB dtlb-4k misses": 2,
        "TLB itlb-4k hits": 0, "TLB itlb-4k misses": 1,
        "TLB stlb hits": 1, "TLB stlb misses": 2,
    }  # fmt: skip
    for technique in ("native", "nested"):
        check(compared(*steps), technique, expected)


def test_a_denied_entry_is_a_hit() -> None:
    """Of a page that is in L2 alone, with D clear: neither served nor missed."""
    tlbs = (
        TLB("one", 1, "ID", ("4k",), 1, 1, "test"), TLB("two", 2, "ID", ("4k",), 1, 4, "test"),
    )  # fmt: skip
    preset = presets.load("skylake-sp")
    preset = type(preset)(**{**vars(preset), "tlbs": tlbs})
    steps = (page(0, LOAD), page(1, LOAD), page(0, STORE))
    expected: Expected = {
        "l1_tlb_misses": 3, "l2_tlb_hits": 0, "l2_tlb_misses": 2, "dirty_walks": 1, "walks": 5,
        "TLB one hits": 0, "TLB one misses": 3, "TLB two hits": 1, "TLB two misses": 2,
    }  # fmt: skip
    check(compared(*steps, techniques=("native",), preset=preset), "native", expected)


def test_page_walk_cache() -> None:
    """Two pages of 4 KiB."""
    area = event(MMAP, 1, HEAP, 2 << 20, READ | WRITE)
    comparison = compared(area, page(0), page(1), techniques=("native",), preset="opteron-2008")
    # Walks: one that ends at the root's entry; one of four entries, of which the upper three stay;
    # one that finds these and ends at the leaf; one that finds them again.
    check(comparison, "native", {
        "walks": 4, "guest_pwc_hits": 6,
        "walk cache pwc hits": 6, "walk cache pwc misses": 1 + 4 + 1 + 1,
    })  # fmt: skip


def test_caches_of_two_dimensional_walks() -> None:
    """Two pages of 4 KiB of a guest's large page; the host's pages are small."""
    area = event(MMAP, 1, HEAP, 2 << 20, READ | WRITE | LARGE)
    comparison = compared(area, page(0), page(1), techniques=("nested",))
    # Walks: one that ends at the root's entry; one from the root to the leaf at level 2; one that
    # begins below the cached entry of level 3. Each located gPT page, root, level 3 and level 2,
    # is in the nested TLB from then on: the second walk finds the root there.
    check(comparison, "nested", {
        "walks": 3, "splintered": 2, "ntlb_hits": 1, "faults_2m": 1, "faults_4k": 0,
        "guest_faults": 1, "pages_zeroed": 512, "pte_writes": 3,
        "exits.ept_violation": 1 + 2 + 512,
        "walk cache ntlb hits": 1, "walk cache ntlb misses": 3,
        "walk cache pde hits": 0, "walk cache pde misses": 3,
        "walk cache pdpte hits": 1, "walk cache pdpte misses": 2,
        "walk cache pml4e hits": 0, "walk cache pml4e misses": 2,
        # Nested walks: root, all cold; tables of levels 3 and 2, beside it; the page, in another
        # 2 MiB of the same GiB; its neighbour.
        "walk cache ept_pde hits": 3, "walk cache ept_pde misses": 2,
        "walk cache ept_pdpte hits": 1, "walk cache ept_pdpte misses": 1,
        "walk cache ept_pml4e hits": 0, "walk cache ept_pml4e misses": 1,
    })  # fmt: skip
    result = comparison["nested"]
    assert result.references_in("guest") == 1 + 3 + 1
    assert result.references_in("nested") == 4 + 1 + 1 + 2 + 1


# --- The guest OS --------------------------------------------------------------------


def test_pages_of_each_size() -> None:
    """A mapping of 5 MiB from 1 MiB on: two large pages fit, what is left is small."""
    mib = 1 << 20
    steps = (
        event(MMAP, 1, HEAP + mib, 5 * mib, READ | WRITE),
        event(MMAP, 1, 2 * HEAP, 1 << 30, READ | WRITE | HUGE),
        *((HEAP + number * mib, STORE, 1) for number in range(1, 6)),
        (2 * HEAP, STORE, 1),
        (2 * HEAP + (1 << 29), STORE, 1),
    )
    options: dict[str, Any] = {"page_size": "2m", "memory": "4G", "techniques": ("native",)}
    # Touches at 1 MiB (small), 2 and 3 (one large page), 4 and 5 (another), the huge page twice.
    check(compared(*steps, **options), "native", {
        "faults_4k": 1, "faults_2m": 2, "faults_1g": 1, "demand_fills": 4, "guest_faults": 4,
        "pages_zeroed": 1 + 2 * 512 + 512 * 512, "pte_writes": 4 + 3,
        "guest page": 1 + 2 * 512 + 512 * 512, "gPT": 4,
        "TLB dtlb-4k hits": 0, "TLB dtlb-4k misses": 1,
        "TLB dtlb-2m hits": 2, "TLB dtlb-2m misses": 2,
        "TLB dtlb-1g hits": 1, "TLB dtlb-1g misses": 1,
        "TLB stlb hits": 0, "TLB stlb misses": 3, "TLB stlb-1g hits": 0, "TLB stlb-1g misses": 1,
    })  # fmt: skip


FAMILY = (
    event(MMAP, 1, HEAP, 40 * PAGE, READ | WRITE | SMALL),
    event(MMAP, 1, HEAP + 64 * PAGE, PAGE, READ | SMALL),
    page(0), page(1), page(2), page(3, LOAD),
    page(64),  # granted: the mapping is read-only
    event(FORK, 1, value=2),  # five leaves: each is written, and three tables and five leaves anew
    event(SWITCH, 2),
    page(0),  # a copy
    event(SWITCH, 1),
    page(0),  # the last one that shares it: no copy
    event(MUNMAP, 1, HEAP + PAGE, PAGE),
    event(MPROTECT, 1, HEAP, PAGE, READ),
    page(0),  # granted
    event(EXIT, 2),  # five leaves and three tables go; it is not the one that runs
)  # fmt: skip


def test_the_guest_os() -> None:
    comparison = compared(*FAMILY)
    guest: Expected = {
        "guest_faults": 5 + 1 + 1 + 1, "demand_fills": 5, "cow_breaks": 2, "granted": 2,
        "pages_zeroed": 5, "pages_copied": 1, "faults_4k": 5,
        "pte_writes": (3 + 5) + (5 + 3 + 5) + 1 + 1 + 1 + 1 + 1 + (5 + 3),
        "invlpgs": 1 + 1 + 1 + 1 + 1,  # each page that the running process changes
        "cr3_loads": 1 + 2,  # fork flushes all; two switches
    }  # fmt: skip
    for technique in TECHNIQUES:
        check(comparison, technique, guest)
    check(comparison, "native", {"guest page": 4, "gPT": 4})
    # A root, three tables and five pages; the child's root and tables; its copy.
    used = 9 + 4 + 1
    check(comparison, "nested", {"exits.ept_violation": used, "guest page": used, "nPT": 4})
    for technique in SHADOWS:
        check(comparison, technique, {
            "exits.backing": used, "guest page": used, "exits.reflected_fault": 8,
            "exits.invlpg": 5, "exits.cr3_load": 3,
        })  # fmt: skip


def test_an_nPT_is_as_deep_as_memory_is_spread() -> None:
    """Three large guest pages: their frames lie in three tables of the nested table's lowest
    level, those of the guest's tables in a fourth."""
    area = event(MMAP, 1, HEAP, 6 << 20, READ | WRITE | LARGE)
    steps = [page(512 * number) for number in range(3)]
    comparison = compared(area, *steps, techniques=("nested", "nested:host_page_size=2m"))
    check(comparison, "nested", {"nPT": 3 + 4, "guest page": 3 * 512 + 3, "splintered": 3})
    # With large host pages there is no lowest level. The tables' frames are backed by one, too.
    check(comparison, "nested:host_page_size=2m", {
        "nPT": 3, "guest page": 4 * 512, "splintered": 0, "exits.ept_violation": 4,
    })  # fmt: skip


def test_a_shadow_is_brought_up_to_date() -> None:
    steps = (
        page(0), page(1),  # the leaf table's second write leaves it writable
        event(MUNMAP, 1, HEAP, PAGE),  # one entry is compared
        event(SWITCH, 2), event(SWITCH, 1),  # and all that is left of the table's: one
        page(1),
    )  # fmt: skip
    check(compared(*steps), "shadow", {
        "unsynced_pages": 1, "synced_entries": 2, "unshadowed_pages": 0, "exits.cr3_load": 2,
        "exits.invlpg": 1, "shadow_fills": 2, "sPT": 4 + 1,
    })  # fmt: skip


def test_a_shadow_goes_with_its_table() -> None:
    steps = (page(0), event(EXEC, 1), page(0))
    for technique in SHADOWS:
        # The tables of three levels, then made again.
        check(compared(*steps), technique, {"unshadowed_pages": 3, "shadow_fills": 2, "sPT": 4})

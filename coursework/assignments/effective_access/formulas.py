"""The numbers of one student, and the right answers: formulas, and the simulator's counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmulab.coursework.draws import Draws

PAGES = {"4k": 4 << 10, "2m": 2 << 20, "1g": 1 << 30}

#: References of a cold walk (g + 1)(h + 1) - 1, for g = h levels read in each dimension
#: (Bhargava et al., ASPLOS 2008, section 2).
NATIVE, NESTED, NESTED_2M = 4, 24, 15


def draw(draws: Draws) -> dict[str, Any]:
    """Plain data; ranges are assumptions that keep the answers realistic and apart."""
    sets, ways = draws.choice([16, 32, 64, 128]), draws.choice([4, 6, 8, 12])
    entries = draws.choice([1024, 1536, 2048])
    # The table needs 2 MiB pages, or 1 GiB pages as it is beyond the reach of 2 MiB ones.
    table = draws.choice([draws.between(24, 900) << 20, draws.between(10, 30) << 29])
    return {
        "memory_ns": draws.between(60, 120),
        "lookup_ns": draws.between(1, 2),
        "hit_permille": draws.between(930, 990),
        "limit_percent": draws.between(5, 9),
        "l1_miss_permille": draws.between(20, 80),
        "l2_miss_percent": draws.between(10, 40),
        "l2_cycles": draws.between(7, 12),
        "reference_cycles": draws.between(15, 45),
        "entries": entries,
        "entries_1g": 16,
        "table": table,
        "sets": sets,
        "ways": ways,
        "gva": draws.between(1 << 28, (1 << 34) - 1) << 12 | draws.between(1, 4095),
        "scans": _scans(draws, sets, ways),
    }


def _scans(draws: Draws, sets: int, ways: int) -> dict[str, dict[str, int]]:
    """Size, stride and accesses of each; every scan passes over its array a whole number
    of times. small: fits. large: some sets get a page too many. strided: all in one set."""
    pages = {
        "small": sets * ways - draws.between(1, sets * ways // 2),
        "large": sets * ways + draws.between(1, sets - 1),
        "strided": ways + draws.between(1, 5),
    }
    scans = {}
    for name, count in pages.items():
        stride = sets << 12 if name == "strided" else 1 << draws.between(9, 12)
        step = max(stride, 1 << 12)
        passes = draws.between(5, 12)
        scans[name] = {
            "size": count * step,
            "stride": stride,
            "passes": passes,
            "accesses": passes * count * (step // stride),
        }
    return scans


def spec(scan: Mapping[str, int]) -> str:
    """The scan as a trace that mmulab's commands take."""
    return f"scan:size={scan['size']},stride={scan['stride']},accesses={scan['accesses']}"


def misses(scan: Mapping[str, int], sets: int, ways: int) -> int:
    """Misses of a one-level LRU TLB of 4 KiB pages, counted by the simulator."""
    from mmulab import workloads
    from mmulab.mmu.tlb_stream.levels import Geometry
    from mmulab.mmu.tlb_stream.stream import TLBStream

    tlb = TLBStream(Geometry(sets, ways), Geometry(1, 1))
    for chunk in workloads.resolve(spec(scan)).chunks():
        tlb.run(chunk.address)
    return tlb.counts.l1_misses


def answer(p: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The right answers, as [part][key]."""
    memory, miss = p["memory_ns"], 1 - p["hit_permille"] / 1000
    eat = p["lookup_ns"] + memory + miss * NATIVE * memory
    slowdown = eat / memory - 1
    allowed = (p["limit_percent"] / 100 - p["lookup_ns"] / memory) / NATIVE
    reach = {size: p["entries"] * PAGES[size] for size in ("4k", "2m")}
    reach["1g"] = p["entries_1g"] * PAGES["1g"]
    smallest = next(size for size in PAGES if reach[size] >= p["table"])
    smaller = list(PAGES)[list(PAGES).index(smallest) - 1]
    sets, ways, scans = p["sets"], p["ways"], p["scans"]
    return {
        "formula": {"eat": eat, "slowdown": 100 * slowdown, "miss_ratio": 100 * allowed},
        "levels": {
            "native": _translation(p, NATIVE),
            "nested": _translation(p, NESTED),
            "nested_2m": _translation(p, NESTED_2M),
        },
        "reach": {
            **{f"reach_{size}": value for size, value in reach.items()},
            "smallest": smallest,
            "hit_ratio": 100 * reach[smaller] / p["table"],
        },
        "sets": {"set": (p["gva"] >> 12) % sets, "stride": sets << 12, "fit": ways},
        "scan": {
            "small": misses(scans["small"], sets, ways),
            "large": misses(scans["large"], sets, ways),
            "associative": misses(scans["large"], 1, sets * ways),
            "strided": misses(scans["strided"], sets, ways),
        },
    }


def _translation(p: Mapping[str, Any], references: int) -> float:
    """Cycles per access: every L1 miss asks L2; some of them walk besides."""
    walk = references * p["reference_cycles"]
    return p["l1_miss_permille"] / 1000 * (p["l2_cycles"] + p["l2_miss_percent"] / 100 * walk)


def show(p: Mapping[str, Any]) -> dict[str, object]:
    """The numbers as the handout and the explanation print them."""
    plain = {key: value for key, value in p.items() if key not in ("scans", "table", "gva")}
    scans = {f"{name}_scan": spec(scan) for name, scan in p["scans"].items()}
    table = p["table"]
    return {
        **plain,
        **scans,
        "hit": f"{p['hit_permille'] / 10:g} %",
        "l1_miss": f"{p['l1_miss_permille'] / 10:g} %",
        "table": f"{table / (1 << 30):g} GiB" if table >= 1 << 30 else f"{table >> 20} MiB",
        "table_bytes": f"{table:,}",
        "gva": f"{p['gva']:#x}",
        "all": p["sets"] * p["ways"],
    }


def show_answers(p: Mapping[str, Any], right: Mapping[str, Mapping[str, Any]]) -> dict[str, object]:
    """Answers and intermediate steps for the explanation."""
    sets, ways, large = p["sets"], p["ways"], p["scans"]["large"]
    pages = large["size"] >> 12
    over = pages - sets * ways
    values = {
        f"{part}_{key}": f"{value:,.4f}" if isinstance(value, float) else f"{value}"
        for part, questions in right.items()
        for key, value in questions.items()
    }
    return {
        **values,
        "miss": f"{1 - p['hit_permille'] / 1000:.3f}",
        "page": hex(p["gva"] >> 12),
        "small_pages": p["scans"]["small"]["size"] >> 12,
        "large_pages": pages,
        "large_passes": large["passes"],
        "over": over,
        "good": sets - over,
        "one_more": ways + 1,
        "strided_pages": p["scans"]["strided"]["size"] // p["scans"]["strided"]["stride"],
        "strided_passes": p["scans"]["strided"]["passes"],
    }

"""Assignment 2: exact arithmetic and a plain model of a TLB agree with the answers."""

from __future__ import annotations

from collections import OrderedDict
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from mmulab.coursework import answers, assignments
from mmulab.coursework.assignment import Submission
from mmulab.coursework.assignments.effective_access import formulas
from mmulab.coursework.draws import Draws

EAT = assignments.get("effective-access")


def problem_of(student: str) -> Any:
    return EAT.problem(Draws("a seed for tests", student, "effective-access"))


def lru_misses(scan: dict[str, int], sets: int, ways: int) -> int:
    """Of the scan as the handout describes it, in a dictionary a set."""
    tlb: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(sets)]
    misses, at = 0, 0
    for _ in range(scan["accesses"]):
        page = at >> 12
        ways_of = tlb[page % sets]
        if page in ways_of:
            ways_of.move_to_end(page)
        else:
            misses += 1
            ways_of[page] = None
            if len(ways_of) > ways:
                ways_of.popitem(last=False)
        at += scan["stride"]
        if at >= scan["size"]:
            at = 0
    return misses


def closed_forms(p: Any) -> dict[str, int]:
    """Misses of the scans by counting pages in sets."""
    sets, ways, scans = p["sets"], p["ways"], p["scans"]
    pages = {name: scan["size"] // max(scan["stride"], 4096) for name, scan in scans.items()}
    over = pages["large"] - sets * ways
    assert 0 < over < sets and pages["small"] < sets * ways and pages["strided"] > ways
    return {
        "small": pages["small"],
        "large": over * (ways + 1) * scans["large"]["passes"] + (sets - over) * ways,
        "associative": pages["large"] * scans["large"]["passes"],
        "strided": pages["strided"] * scans["strided"]["passes"],
    }


@pytest.mark.parametrize("number", range(12))
def test_predictions_agree_with_the_simulator(number: int) -> None:
    p = problem_of(f"student {number}")
    assert formulas.answer(p)["scan"] == closed_forms(p)


@pytest.mark.parametrize("number", range(2))
def test_a_plain_model_of_the_tlb_agrees(number: int) -> None:
    p = problem_of(f"student {number}")
    sets, ways, scans = p["sets"], p["ways"], p["scans"]
    assert formulas.answer(p)["scan"] == {
        "small": lru_misses(scans["small"], sets, ways),
        "large": lru_misses(scans["large"], sets, ways),
        "associative": lru_misses(scans["large"], 1, sets * ways),
        "strided": lru_misses(scans["strided"], sets, ways),
    }


@pytest.mark.parametrize("number", range(30))
def test_times_in_exact_arithmetic(number: int) -> None:
    p = problem_of(f"student {number}")
    right = formulas.answer(p)
    memory, lookup = p["memory_ns"], p["lookup_ns"]
    hit = Fraction(p["hit_permille"], 1000)
    eat = hit * (lookup + memory) + (1 - hit) * (lookup + 5 * memory)
    assert right["formula"]["eat"] == pytest.approx(float(eat))
    assert right["formula"]["slowdown"] == pytest.approx(float(100 * (eat - memory) / memory))
    miss = Fraction(right["formula"]["miss_ratio"]) / 100
    assert miss > 0
    limited = lookup + memory + miss * 4 * memory
    assert float(limited / memory - 1) == pytest.approx(p["limit_percent"] / 100)
    l1, l2 = Fraction(p["l1_miss_permille"], 1000), Fraction(p["l2_miss_percent"], 100)
    for key, levels in (("native", None), ("nested", 4), ("nested_2m", 3)):
        references = (levels + 1) ** 2 - 1 if levels else 4
        each = p["l2_cycles"] + l2 * references * p["reference_cycles"]
        assert right["levels"][key] == pytest.approx(float(l1 * each))


@pytest.mark.parametrize("number", range(30))
def test_reach_and_sets(number: int) -> None:
    p = problem_of(f"student {number}")
    reach, sets = formulas.answer(p)["reach"], formulas.answer(p)["sets"]
    covering = [size for size in ("4k", "2m", "1g") if reach[f"reach_{size}"] >= p["table"]]
    assert reach["smallest"] == covering[0] in ("2m", "1g")
    assert 0 < reach["hit_ratio"] < 100
    pages = [(p["gva"] + k * sets["stride"]) >> 12 for k in range(20)]
    assert {page % p["sets"] for page in pages} == {sets["set"]}
    assert len({(p["gva"] + sets["stride"] // 2 * k) >> 12 & p["sets"] - 1 for k in (0, 1)}) == 2


def test_uniform_references_hit_as_often_as_predicted() -> None:
    # 300 pages in a fully associative LRU TLB of 100 entries: in the long run a third hits.
    import numpy as np

    from mmulab.mmu.tlb_stream.levels import Geometry
    from mmulab.mmu.tlb_stream.stream import TLBStream

    tlb = TLBStream(Geometry(1, 100), Geometry(1, 1))
    tlb.run(np.random.default_rng(1).integers(0, 300, 300_000) << 12)
    hits = 1 - tlb.counts.l1_misses / tlb.counts.accesses
    assert hits == pytest.approx(1 / 3, abs=0.005)


# --- wrong submissions lose what they should, and no more -------------------------------


def lost(changes: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Marks that are lost, by part, when these answers stand in the solution."""
    problem = problem_of("ada")
    right = EAT.expected(problem)
    given = {part: {**right[part], **changes.get(part, {})} for part in right}
    text = answers.write("t", EAT.parts, EAT.questions(problem), given)
    results = EAT.grade(problem, Submission(Path("."), {answers.FILE: text}))
    marks = {r.part.key: round(r.part.points - r.earned, 3) for r in results}
    return {key: value for key, value in marks.items() if value}


def test_one_reference_a_miss() -> None:
    # The one-level formula of the textbook: a miss costs one reference, not four.
    p = problem_of("ada")
    eat = p["lookup_ns"] + p["memory_ns"] * (2 - p["hit_permille"] / 1000)
    wrong = {"eat": eat, "slowdown": 100 * (eat / p["memory_ns"] - 1)}
    assert lost({"formula": wrong}) == {"formula": round(20 * 2 / 3, 3)}


def test_walk_of_4_x_4_references() -> None:
    # 16 instead of 24: the products of the levels, without the guest's own entries.
    p = problem_of("ada")
    each = p["l2_cycles"] + p["l2_miss_percent"] / 100 * 16 * p["reference_cycles"]
    wrong = {"nested": p["l1_miss_permille"] / 1000 * each}
    assert lost({"levels": wrong}) == {"levels": round(20 / 3, 3)}


def test_sets_forgotten() -> None:
    # As if the TLB were fully associative throughout.
    p = problem_of("ada")
    entries = p["sets"] * p["ways"]
    scans = closed_forms(p)
    pages = p["scans"]["strided"]["size"] // p["scans"]["strided"]["stride"]
    wrong = {
        "sets": {"fit": entries},
        "scan": {"large": scans["associative"], "strided": pages},
    }
    assert lost(wrong) == {"sets": 5, "scan": 12.5}


def test_decimal_mebibytes() -> None:
    p = problem_of("ada")
    wrong = {"reach_2m": p["entries"] * 2_000_000, "reach_4k": p["entries"] * 4000}
    assert lost({"reach": wrong}) == {"reach": 8}

"""Assignments 3, 6 and 8 to 10 against the simulator; wrong answers lose what they should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmulab.coursework import answers, assignments
from mmulab.coursework.assignment import Submission
from mmulab.coursework.assignments.double_paging import runs
from mmulab.coursework.assignments.ksm_scan_rate import population
from mmulab.coursework.assignments.two_d_walk import tables
from mmulab.coursework.draws import Draws
from mmulab.mmu import presets
from mmulab.mmu.by_hand import walkthrough
from mmulab.mmu.memory.entries import FRAME


def problem_of(name: str, student: str = "ada") -> Any:
    return assignments.get(name).problem(Draws("a seed for tests", student, name))


def lost(name: str, changes: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Marks that are lost, by part, when these answers stand in the solution."""
    assignment: Any = assignments.get(name)
    problem = problem_of(name)
    right = assignment.expected(problem)
    given = {part: {**right[part], **changes.get(part, {})} for part in right}
    text = answers.write("t", assignment.parts, assignment.questions(problem), given)
    results = assignment.grade(problem, Submission(Path("."), {answers.FILE: text}))
    marks = {r.part.key: round(r.part.points - r.earned, 3) for r in results}
    return {key: value for key, value in marks.items() if value}


# --- 3: the two-dimensional walk ---------------------------------------------------------


@pytest.mark.parametrize("number", range(20))
def test_walk_follows_the_entries(number: int) -> None:
    """Each reference's address comes from the entries before it, read as the manual says."""
    p = problem_of("two-d-walk", f"student {number}")
    references = tables.walk(p)
    assert len(references) == 24
    memory = dict(references)
    assert len(memory) >= 15  # upper tables are shared

    def nested(gpa: int) -> int:
        frame = p["nested"][tables._table_key(p["gfns"][0], 4)]
        for shift in (39, 30, 21, 12):
            frame = (memory[frame << 12 | (gpa >> shift & 511) << 3] & FRAME) >> 12
        return frame

    gpa = p["gfns"][0] << 12
    for shift in (39, 30, 21, 12):
        gpa = memory[nested(gpa) << 12 | (p["gva"] >> shift & 511) << 3] & FRAME
    assert nested(gpa) << 12 | p["gva"] & 4095 == tables.answer(p)["final"]["hpa"]


def test_order_is_that_of_the_simulator() -> None:
    p = problem_of("two-d-walk")
    walk = walkthrough.walk(p["gva"], "nested", presets.load("skylake-sp"))
    shape = [(r.guest_level, r.host_level) for r in walk.references]
    mine = [(4 - n // 5, 0 if n % 5 == 4 else 4 - n % 5) for n in range(24)]
    assert shape == mine
    guest = [r.index for r in walk.references if not r.is_nested]
    assert guest == tables.answer(p)["split"]["guest"]


def test_wrong_walks_lose_their_rows() -> None:
    p = problem_of("two-d-walk")
    right = tables.answer(p)
    # The guest's own entries forgotten: one of five in each of four rows of the five.
    rows = {k: [*v[:4], 0] for k, v in right["walk"].items() if k != "page"}
    assert lost("two-d-walk", {"walk": rows}) == {"walk": round(45 * 4 / 5 / 5, 3)}
    # Each index of the first row off by one.
    wrong = [a ^ 8 for a in right["walk"]["level_4"]]
    assert lost("two-d-walk", {"walk": {"level_4": wrong}}) == {"walk": 9}
    # 16 instead of 24, and all references left in case B.
    assert lost("two-d-walk", {"cached": {"psc": list(range(1, 25))}})["cached"] > 0
    assert lost("two-d-walk", {"counts": {"first": 16}}) == {"counts": round(10 / 3, 3)}


# --- 8: page merging ---------------------------------------------------------------------


@pytest.mark.parametrize("number", range(4))
def test_counters_have_closed_forms(number: int) -> None:
    p = problem_of("ksm-scan-rate", f"student {number}")
    right = population.answer(p)
    vms, kept = p["vms"], p["shared"] + 1 + p["vms"] * p["twins"]
    sites = vms * (p["shared"] + p["zeros"]) + vms * 2 * p["twins"]
    assert right["counters"] == {
        "shared": kept, "sharing": sites - kept, "unshared": vms * p["unique"],
    }  # fmt: skip
    assert right["scans"] == {"first": 0, "needed": 2}
    left = p["copies"] % p["limit"]
    pages = p["copies"] - (left == 1)
    frames = -(-pages // p["limit"])
    assert right["limit"] == {"shared": frames, "sharing": pages - frames}


def test_wrong_counters_lose_their_share() -> None:
    p = problem_of("ksm-scan-rate")
    right = population.answer(p)
    counted = right["counters"]["shared"] + right["counters"]["sharing"]
    # All sites counted as saved: two of four weights.
    assert lost("ksm-scan-rate", {"counters": {"sharing": counted}}) == {"counters": 15}
    assert lost("ksm-scan-rate", {"scans": {"first": 9, "needed": 1}}) == {"scans": 15}
    one = {"merge": right["time"]["scan"]}
    assert lost("ksm-scan-rate", {"time": one}) == {"time": 7.5}


# --- 9: double paging --------------------------------------------------------------------


def test_choices_are_judged_by_running_them() -> None:
    host = problem_of("double-paging")["host"]
    # A guest that knows how little there is does not trigger anything.
    assert lost("double-paging", {"trigger": {"memory": host - 2}}) == {"trigger": 20}
    assert lost("double-paging", {"trigger": {"memory": 1}}) == {"trigger": 20}
    assert lost("double-paging", {"cure": {"balloon": 1}}) == {"cure": 15}
    swapped = "the host swaps out the guest's page tables"
    wrong = {"why": swapped, "large": "yes"}
    assert lost("double-paging", {"cause": wrong}) == {"cause": 10}


def test_a_neighbour_of_the_chosen_guest_is_as_good() -> None:
    p = problem_of("double-paging")
    assert runs.double_faults(p, runs.trigger(p)) > 0
    assert lost("double-paging", {"trigger": {"memory": runs.trigger(p)}}) == {}


# --- 6: page sizes -----------------------------------------------------------------------


def test_wrong_page_sizes_lose_their_share() -> None:
    right = assignments.get("page-sizes").expected(problem_of("page-sizes"))  # type: ignore
    # The guest's size throughout, as if the host's did not matter: three of six are right.
    sizes = ["4k"] * 3 + ["2m"] * 3
    wrong = sum(a != b for a, b in zip(sizes, right["entries"]["sizes"], strict=True))
    assert lost("page-sizes", {"entries": {"sizes": sizes}}) == {"entries": 15 * wrong / 6}
    large = {"small": right["reach"]["large"]}
    assert lost("page-sizes", {"reach": large}) == {"reach": 10}
    of_needed = {"percent": 100 * right["waste"]["percent"] / (100 - right["waste"]["percent"])}
    assert lost("page-sizes", {"waste": of_needed}) == {"waste": 12.5}
    assert lost("page-sizes", {"choose": {"best": right["choose"]["worst"]}}) == {"choose": 12.5}


# --- 10: shadow or nested ----------------------------------------------------------------


def test_both_techniques_win_somewhere() -> None:
    for student in ("ada", "bob", "eve"):
        problem = problem_of("shadow-or-nested", student)
        right = assignments.get("shadow-or-nested").expected(problem)  # type: ignore
        assert set(right["predict"]["winners"]) == {"shadow", "nested"}
        # The break-even by another way: where the two lines of cost cross.
        measured, derived = right["measure"], right["derive"]
        native = measured["nested"] - derived["per_walk"] * measured["walks"] / 1000
        assert native == pytest.approx(
            measured["shadow"] - derived["per_write"] * measured["pte_writes"] / 1000
        )


def test_wrong_break_evens_lose_their_share() -> None:
    right = assignments.get("shadow-or-nested").expected(problem_of("shadow-or-nested"))  # type: ignore
    inverse = {"break_even": 1 / right["derive"]["break_even"]}
    assert lost("shadow-or-nested", {"derive": inverse}) == {"derive": round(40 / 3, 3)}
    every = {"winners": ["nested"] * 4}
    assert lost("shadow-or-nested", {"predict": every}) == {
        "predict": 20 * right["predict"]["winners"].count("shadow") / 4
    }
    per_access = {name: right["measure"][name] / 1000 for name in ("walks", "pte_writes")}
    assert lost("shadow-or-nested", {"measure": per_access}) == {"measure": 20}

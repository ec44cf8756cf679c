"""Assignment 1: a walker of its own, over the text that students read, agrees."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mmulab.coursework import answers, assignments
from mmulab.coursework.assignment import Submission
from mmulab.coursework.assignments.page_walk import tables
from mmulab.coursework.draws import Draws

PAGE_WALK = assignments.get("page-walk")
WRITE, USER, FETCH = 2, 4, 16


def problem_of(student: str) -> Any:
    return PAGE_WALK.problem(Draws("a seed for tests", student, "page-walk"))


def memory_of(dump: str) -> dict[int, int]:
    """Words by address, as a student reads memory.txt."""
    memory = {}
    for line in dump.splitlines():
        if found := re.fullmatch(r"([0-9a-f]+): ((?:[0-9a-f]{16} ?){4})", line):
            for place, word in enumerate(found[2].split()):
                memory[int(found[1], 16) + 8 * place] = int(word, 16)
    return memory


def walk(memory: dict[int, int], cr3: int, gva: int, access: int) -> dict[str, Any]:
    """By the manual (Intel SDM vol. 3A, 4.5 to 4.7), on words; access: W/R, U/S, I/D bits."""
    table, path = cr3, []
    for shift in (39, 30, 21, 12):
        at = table + 8 * (gva >> shift & 511)
        entry = memory.get(at, 0)
        path.append((at, entry))
        if not entry & 1:
            return {"path": path, "physical": None, "code": access}
        if shift == 12 or entry & 0x80:
            break
        table = entry & 0x000F_FFFF_FFFF_F000
    entries = [entry for _, entry in path]
    denied = (
        access & WRITE and not all(entry & 2 for entry in entries)
        or access & USER and not all(entry & 4 for entry in entries)
        or access & FETCH and any(entry >> 63 for entry in entries)
    )  # fmt: skip
    if denied:
        return {"path": path, "physical": None, "code": access | 1}
    low = (1 << shift) - 1
    physical = entries[-1] & 0x000F_FFFF_FFFF_F000 & ~low | gva & low
    return {"path": path, "physical": physical, "code": None}


def code_of(access: str, user: bool) -> int:
    return {"load": 0, "store": WRITE, "fetch": FETCH}[access] | (USER if user else 0)


@pytest.mark.parametrize("number", range(60))
def test_an_independent_walk_of_the_dump_finds_the_same(number: int) -> None:
    problem = problem_of(f"student {number}")
    memory = memory_of(tables.dump(problem["tables"]))
    for letter, told in problem["walks"].items():
        found = walk(memory, problem["cr3"], told["gva"], code_of(told["access"], told["user"]))
        assert found["path"] == [(step["at"], step["entry"]) for step in told["steps"]]
        assert (found["physical"], found["code"]) == (told["physical"], told["code"])
        assert (told["code"] is None) == (letter in "abc")
        assert len(found["path"]) == (3 if letter == "c" else len(found["path"]))
    for letter, permitted in problem["permitted"].items():
        gva = problem["walks"][letter]["gva"]
        assert permitted == [
            name
            for name, (access, user) in tables.ACCESSES.items()
            if walk(memory, problem["cr3"], gva, code_of(access, user))["code"] is None
        ]
    store = problem["walks"]["c"]
    assert store["after"] == store["steps"][-1]["entry"] | 0x60 != store["steps"][-1]["entry"]


@pytest.mark.parametrize("number", range(20))
def test_the_entry_that_is_blamed_for_a_fault_is_the_reason(number: int) -> None:
    problem = problem_of(f"student {number}")
    for letter in "de":
        told = problem["walks"][letter]
        memory = memory_of(tables.dump(problem["tables"]))
        blamed = told["steps"][4 - told["level"]]["at"]
        memory[blamed] = memory[blamed] & ~(1 << 63) | 7  # present, and all rights
        access = code_of(told["access"], told["user"])
        assert walk(memory, problem["cr3"], told["gva"], access)["code"] is None


def test_every_kind_of_fault_is_drawn() -> None:
    walks = [w for n in range(40) for w in problem_of(f"student {n}")["walks"].values()]
    assert {w["reason"] for w in walks if "reason" in w} == {tables.ABSENT, *tables.REFUSALS}
    assert {w["level"] for w in walks if "level" in w} == {1, 2, 3, 4}


def test_pages_of_the_dump_are_apart() -> None:
    problem = problem_of("ada")
    assert len(problem["tables"]) > 30
    frames = set(problem["tables"])
    for letter in "abc":
        assert problem["walks"][letter]["physical"] >> 12 not in frames


# --- wrong submissions lose what they should, and no more -------------------------------


def earned(changes: dict[str, dict[str, Any]], student: str = "ada") -> dict[str, float]:
    """Marks that are lost, by part, when these answers stand in the solution."""
    problem = problem_of(student)
    right = PAGE_WALK.expected(problem)
    given = {part: {**right[part], **changes.get(part, {})} for part in right}
    text = answers.write("t", PAGE_WALK.parts, PAGE_WALK.questions(problem), given)
    results = PAGE_WALK.grade(problem, Submission(Path("."), {answers.FILE: text}))
    lost = {r.part.key: round(r.part.points - r.earned, 3) for r in results}
    return {key: marks for key, marks in lost.items() if marks}


def test_flags_left_in_the_physical_address() -> None:
    walk_a = problem_of("ada")["walks"]["a"]
    wrong = walk_a["steps"][-1]["entry"] + (walk_a["gva"] & 0xFFF)
    assert earned({"walk": {"physical": wrong & (1 << 52) - 1}}) == {"walk": 6}


def test_a_2m_page_taken_for_a_4k_page() -> None:
    told = problem_of("ada")["walks"]["c"]
    frame = told["steps"][-1]["entry"] & 0x000F_FFFF_FFFF_F000
    offset = told["gva"] & 0xFFF
    wrong = {"offset": offset, "physical": frame | offset}
    assert earned({"large": wrong}) == {"large": 9}


def test_rights_of_the_leaf_alone() -> None:
    # The leaves of a and b allow everything to the user and to the kernel, respectively.
    everything = list(tables.ACCESSES)
    kernel = [name for name in everything if name.startswith("supervisor")]
    problem = problem_of("ada")
    lost = 0.0
    for letter, claimed in (("a", everything), ("b", kernel)):
        right = problem["permitted"][letter]
        lost += min(1.0, (len(claimed) - len(right)) / len(right))
    wrong = {"permitted_a": everything, "permitted_b": kernel}
    assert earned({"rights": wrong}) == {"rights": round(5 * lost, 3)}


def test_user_bit_forgotten_in_the_error_code() -> None:
    walks = problem_of("ada")["walks"]
    wrong = {f"fault-{letter}": {"code": walks[letter]["code"] ^ USER} for letter in "de"}
    assert earned(wrong) == {"fault-d": 5, "fault-e": 5}


def test_indices_in_the_wrong_order() -> None:
    right = PAGE_WALK.expected(problem_of("ada"))["split"]
    swapped = {"a_pml4": right["a_pt"], "a_pt": right["a_pml4"]}
    assert earned({"split": swapped}) == {"split": 2}

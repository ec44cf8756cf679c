"""Assignment 5: what a VMM left in the tables is judged, operation by operation."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mmulab.coursework import assignments
from mmulab.coursework.assignment import Submission
from mmulab.coursework.assignments.shadow_sync import layout, marking
from mmulab.coursework.assignments.shadow_sync.judge import Judge, Wrong
from mmulab.coursework.assignments.shadow_sync.world import CR3, KINDS, STORE, sequences
from mmulab.coursework.draws import Draws
from mmulab.coursework.sandbox import Limits

SHADOW = assignments.get("shadow-sync")
PROBLEM = SHADOW.problem(Draws("s", "ada", SHADOW.name))
GOOD = SHADOW.solution(PROBLEM)["shadow.py"]
FULL = {part.key: part.points for part in SHADOW.parts}


def marks(source: str) -> dict[str, float]:
    results = SHADOW.grade(PROBLEM, Submission(Path("."), {"shadow.py": source}))
    return {result.part.key: result.earned for result in results}


def lost(source: str) -> set[str]:
    """Parts that lose marks."""
    return {key for key, earned in marks(source).items() if earned < FULL[key]}


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


def test_the_solution_has_full_marks() -> None:
    assert marks(GOOD) == FULL
    # It may also be written from scratch: no shadows kept at all, all filled again.
    assert lost(GOOD + SIMPLE) == {"kept"}


def test_entries_go_there_and_back() -> None:
    rng = np.random.default_rng(5)
    entries = rng.integers(-(1 << 63), 1 << 63, 1000, np.int64)
    for number in range(20):
        bits = layout.draw(Draws("s", str(number), "layout"))
        there = layout.given(entries, bits)
        assert (layout.taken(there, bits) == entries).all()
        for x86, bit in zip(layout.X86, bits, strict=True):
            assert ((entries >> x86 & 1) == (there >> bit & 1)).all()
        assert ((entries ^ there) & (((1 << 40) - 1) << 12) == 0).all()
    assert (layout.given(entries, list(layout.X86)) == entries).all()


SIMPLE = """
def load_cr3(vm, gfn):
    for table in list(vm.spt):
        vm.free_table(table)
    for table in list(vm.gpt):
        vm.unprotect(table)
    vm.data.clear()
    vm.data["unsync"] = set()
    vm.data["cr3"] = gfn
    vm.set_root(shadow_of(vm, gfn, vm.levels))
"""

WRONG = {
    "INVLPG forgotten": (
        changed("def invlpg(vm, gva):\n", "def invlpg(vm, gva):\n    return\n"),
        {"rights", "writes", "invlpg", "kept"},  # whose sequences execute it, too
    ),
    "CR3 brings nothing up to date": (
        changed("        sync(vm, leaf)\n        vm.protect(leaf)\n", "        pass\n"),
        {"writes", "cr3", "lazy"},  # where stores have no INVLPG
    ),
    "rights of A and D forgotten": (
        changed("    return spte if entry & D else spte & ~RW", "    return spte"),
        {"rights"},
    ),
    "an exit for each store": (
        changed(
            "        vm.unprotect(gfn)\n        vm.data[\"unsync\"].add(gfn)\n",
            "        if vm.spt[shadows[gfn, 1]][i]:\n"
            "            vm.spt[shadows[gfn, 1]][i] = compose(vm, value)\n",
        ),
        {"lazy"},
    ),
    "stores above the leaf tables forgotten": (
        changed("            vm.spt[shadows[gfn, level]][i] = 0", "            pass"),
        {"writes"},
    ),
    "stores above the directories forgotten": (
        changed("range(2, vm.levels + 1)", "range(2, 3)"),
        {"writes"},
    ),
    "of what was out of sync, only the table that is pointed at": (
        changed(
            "for leaf in vm.data[\"unsync\"]:\n",
            "for leaf in vm.data[\"unsync\"] & {frame(entry)}:\n",
        ),
        {"writes"},
    ),
    "what was out of sync while it was away": (
        changed("                    sync(vm, leaf)  #", "                    pass  #"),
        {"writes"},
    ),
    "all faults are the guest's": (
        changed("    return False\n", "    return True\n"),
        set(FULL),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_ones_lose_what_they_should(name: str) -> None:
    source, parts = WRONG[name]
    assert lost(source) == parts


HARM = {
    "delete": "import os\nos.remove({canary!r})\n",
    "delete by hand": "import posix\nposix.unlink({canary!r})\n",
    "overwrite": "open({canary!r}, 'w').write('x')\n",
    "delete at a fault": (
        "_fault = shadow_fault\ndef shadow_fault(*arguments):\n    import os\n"
        "    os.remove({canary!r})\n    return _fault(*arguments)\n"
    ),
    "exit": "import os\nos._exit(0)\n",
    "forge": "import os\nos.write(3, b'{{}}')\nos._exit(0)\n",
}


@pytest.mark.parametrize("name", HARM)
def test_harm_is_stopped(tmp_path: Path, name: str) -> None:
    canary = tmp_path / "canary"
    canary.write_text("the secret")
    source = GOOD + HARM[name].format(canary=str(canary))
    results = SHADOW.grade(PROBLEM, Submission(Path("."), {"shadow.py": source}))
    assert sum(result.earned for result in results) == 0
    assert canary.read_text() == "the secret" and os.access(canary, os.W_OK)


def test_a_loop_without_end_costs_the_parts_that_meet_it(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(cpu=1, wall=30, memory=1 << 29)
    monkeypatch.setattr(marking, "_TOGETHER", limits)
    monkeypatch.setattr(marking, "_ALONE", limits)
    monkeypatch.setattr(marking, "KINDS", {part: KINDS[part] for part in ("fill", "invlpg")})
    source = GOOD + "\ndef invlpg(vm, gva):\n    while True:\n        pass\n"
    found = marking.check(PROBLEM, source)
    assert found["fill"] == (4, 4, "")
    right, count, told = found["invlpg"]
    assert (right, count) == (0, 5) and "CPU time" in told


# --- The judge, by itself -------------------------------------------------------------


def test_records_that_lie_are_seen_through() -> None:
    """What the child says it did is played again: it can only hurt itself."""
    sequence = sequences("fill", PROBLEM["levels"], PROBLEM["processes"], 1)[0]
    assert sequence.operations[0][0] == CR3
    nothing = np.zeros((0, 5), np.int64)
    with pytest.raises(Wrong, match="but it gets no fault|still does not permit"):
        Judge(sequence).judge(nothing)
    table = next(iter(sequence.tables))
    for row, told in [
        ((0, 3, table, 0, 1 << 12 | 7), "the guest has stored"),
        ((0, 3, 1 << 40, 0, 7), "no table of the guest's"),
        ((0, 9, 0, 0, 0), "no change"),
    ]:
        with pytest.raises(Wrong, match=told):
            Judge(sequence).judge(np.array([row], np.int64))
    with pytest.raises(Wrong, match="out of order"):
        Judge(sequence).judge(np.array([(5, 1, 0, 0, 0), (2, 1, 0, 0, 0)], np.int64))


def test_sequences_do_what_the_handout_says() -> None:
    for part in FULL:
        for sequence in sequences(part, 4, 3, 7):
            kinds = [operation[0] for operation in sequence.operations]
            assert kinds[0] == CR3 and len(kinds) > 90
            assert (STORE in kinds) == (part != "fill")
            # A store is to a table of the guest's; no frame is a table and a page at once.
            for kind, gfn, index, value in sequence.operations:
                if kind == STORE:
                    assert gfn in sequence.tables and 0 <= index < 512 and 0 <= value < 1 << 64

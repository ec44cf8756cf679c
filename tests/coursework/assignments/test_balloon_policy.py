"""Assignment 7: policies, good and bad, drive the balloons of real runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmulab.coursework import assignments
from mmulab.coursework.assignment import Submission
from mmulab.coursework.assignments.balloon_policy import marking, workload
from mmulab.coursework.draws import Draws
from mmulab.coursework.sandbox import Limits
from mmulab.mmu.errors import InputError, Notice

BALLOON = assignments.get("balloon-policy")
PROBLEM = {**BALLOON.problem(Draws("s", "ada", BALLOON.name)), "block": 1}
GOOD = BALLOON.solution(PROBLEM)["policy.py"]
FULL = {part.key: part.points for part in BALLOON.parts}


def graded(source: str) -> tuple[dict[str, float], str]:
    """(marks by part, all feedback)."""
    results = BALLOON.grade(PROBLEM, Submission(Path("."), {"policy.py": source}))
    earned = {result.part.key: result.earned for result in results}
    return earned, "\n".join(result.feedback for result in results)


def marks(source: str) -> dict[str, float]:
    return graded(source)[0]


def test_the_solution_has_full_marks() -> None:
    assert marks(GOOD) == FULL


def test_another_good_policy_has_full_marks() -> None:
    """Memory goes to VMs that page, and slowly away from those that do not."""
    assert marks(BY_PAGING) == FULL


def test_targets_are_multiples_of_the_block() -> None:
    problem = {**PROBLEM, "block": 31}
    others = BALLOON.solution({**PROBLEM, "block": 37})["policy.py"]
    results = BALLOON.grade(problem, Submission(Path("."), {"policy.py": others}))
    earned = {result.part.key: result.earned for result in results}
    assert earned.pop("answers") < 5 and set(earned.values()) == {0}
    assert all("expected a multiple of 31" in result.feedback for result in results)


def test_where_there_is_no_worked_solution(monkeypatch: pytest.MonkeyPatch) -> None:
    def text(self: object, name: str, values: object) -> str:
        raise InputError("no solution here")

    monkeypatch.setattr(type(BALLOON), "text", text)
    with pytest.warns(Notice, match="no solution here; without it, part 'slowdown' has no marks"):
        earned, feedback = graded(GOOD)
    assert earned == {**FULL, "slowdown": 0} and "not marked here" in feedback


BY_PAGING = """
goals = {}

def targets(vms, free, total):
    room = 0.93 * total
    for vm in vms:
        goals.setdefault(vm["name"], room / len(vms))
        paged = vm["guest_swap_ins"] + vm["host_swap_ins"]
        goals[vm["name"]] = goals[vm["name"]] + 2 * paged if paged > 5 else 0.98 * goals[vm["name"]]
    scale = room / sum(goals[vm["name"]] for vm in vms)
    for vm in vms:
        goals[vm["name"]] = min(vm["memory"], max(150, scale * goals[vm["name"]]))
    return [int(vm["memory"] - goals[vm["name"]]) for vm in vms]
"""

WRONG = {
    "no balloons": (
        "def targets(vms, free, total):\n    return [0] * len(vms)\n",
        {"host", "slowdown"},
    ),
    "an equal split": (
        "def targets(vms, free, total):\n"
        "    return [max(0, vm['memory'] - int(0.93 * total) // len(vms)) for vm in vms]\n",
        {"slowdown"},
    ),
    "all the memory": (
        "def targets(vms, free, total):\n    return [vm['memory'] for vm in vms]\n",
        {"room", "host", "slowdown"},
    ),
    "fractions where a host has no free frame": (
        GOOD + "\n_targets = targets\n"
        "def targets(vms, free, total):\n"
        "    answer = _targets(vms, free, total)\n"
        "    return [each / 1 for each in answer] if free == 0 else answer\n",
        {"answers"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_ones_lose_what_they_should(name: str) -> None:
    source, parts = WRONG[name]
    earned = marks(source)
    assert {key for key, points in earned.items() if points < FULL[key]} == parts
    if parts != {"answers"}:
        assert {key for key, points in earned.items() if points == 0} == parts
    else:
        assert earned["answers"] == pytest.approx(FULL["answers"] * 6 / 9, abs=1e-3)


UNUSABLE = {
    "return None": "returned None; expected a list",
    "return [0] * (len(vms) + 1)": "numbers; expected one for each VM",
    "return [0.5] * len(vms)": "is 0.5; expected a whole number",
    "return [True] * len(vms)": "is True; expected a whole number",
    "return [10 ** 9] * len(vms)": "is 1000000000; its memory is",
    "return [-1] * len(vms)": "is -1; its memory is",
    "return {}": "returned {}; expected a list",
    "return ['\\n' * 1000] * len(vms)": "expected a whole number",
    "return 1 / 0": "ZeroDivisionError",
    "raise SystemExit": "ended the program by itself",
}


@pytest.mark.parametrize("body", UNUSABLE)
def test_answers_that_cannot_be_used_are_told(body: str) -> None:
    source = f"def targets(vms, free, total):\n    {body}\n"
    earned, told = graded(source)
    assert sum(earned.values()) == 0 and UNUSABLE[body] in told


HARM = {
    "delete": "import os\nos.remove({canary!r})\n",
    "delete by hand": "import posix\nposix.unlink({canary!r})\n",
    "overwrite": "open({canary!r}, 'w').write('x')\n",
    "delete when asked": (
        "_targets = targets\ndef targets(*arguments):\n    import os\n"
        "    os.remove({canary!r})\n    return _targets(*arguments)\n"
    ),
    "exit": "import os\nos._exit(0)\n",
    "forge": "import os\nos.write(3, b'{{}}')\nos._exit(0)\n",
}


@pytest.mark.parametrize("name", HARM)
def test_harm_is_stopped(tmp_path: Path, name: str) -> None:
    canary = tmp_path / "canary"
    canary.write_text("the secret")
    assert sum(marks(GOOD + HARM[name].format(canary=str(canary))).values()) == 0
    assert canary.read_text() == "the secret" and os.access(canary, os.W_OK)


def test_a_loop_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marking, "LIMITS", Limits(cpu=2, wall=60, call=30, memory=1 << 29))
    source = GOOD + (
        "\n_targets = targets\ncalls = 0\n"
        "def targets(vms, free, total):\n"
        "    global calls\n    calls += 1\n"
        "    while calls > 20:\n        pass\n"
        "    return _targets(vms, free, total)\n"
    )
    earned, told = graded(source)
    assert earned == {"answers": 10.0, "room": 0.0, "host": 0.0, "slowdown": 0.0}
    assert "call 21" in told


def test_a_run_without_progress_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 frames for each VM: they wait for their disks."""
    monkeypatch.setattr(marking, "TOO_LONG", 3)
    monkeypatch.setattr(workload, "ROOMY", workload.HOST)
    earned, told = graded(
        "def targets(vms, free, total):\n    return [vm['memory'] - 100 for vm in vms]\n"
    )
    assert earned == {"answers": 10.0, "room": 0.0, "host": 0.0, "slowdown": 0.0}
    assert "had not ended after 3 s" in told


def test_what_programs_need_is_as_the_handout_says() -> None:
    """Much at times and little at others, never all at once; less than the host has."""
    for student in range(50):
        phases = workload.draw_phases(Draws("s", str(student), BALLOON.name))
        needs = [[phase["pages"] for phase in vm] for vm in phases]
        assert len(needs) == workload.VMS
        assert all(max(vm) >= workload.BUSY[0] and min(vm) <= workload.QUIET[1] for vm in needs)
        for phase in zip(*needs, strict=True):
            assert sum(phase) < 0.85 * workload.HOST / workload.PAGE
            assert 1 <= sum(pages >= workload.BUSY[0] for pages in phase) <= 2

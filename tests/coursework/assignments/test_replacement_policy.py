"""Assignment 4: policies are marked by what they choose; harm is stopped and earns nothing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mmulab.coursework import assignments
from mmulab.coursework.assignment import Submission
from mmulab.coursework.assignments import replacement_policy
from mmulab.coursework.assignments.replacement_policy import replay
from mmulab.coursework.draws import Draws

POLICY = assignments.get("replacement-policy")
PROBLEM = {**POLICY.problem(Draws("s", "ada", POLICY.name)), "accesses": 40_000}
GOOD = POLICY.solution(PROBLEM)["policy.py"]


HARM = {
    "endless loop": "while True:\n    pass\n",
    "delete": "import os\nos.remove({canary!r})\n",
    "delete by hand": "import posix\nposix.unlink({canary!r})\n",
    "overwrite": "open({canary!r}, 'w').write('x')\n",
    "read": "raise ValueError(open({canary!r}).read())\n",
    "subprocess": "import subprocess\nsubprocess.run(['rm', {canary!r}])\n",
    "fork": "import os\nwhile True: os.fork()\n",
    "network": "import socket\nsocket.create_connection(('127.0.0.1', 9))\n",
    "kill": "import os\nos.kill(os.getppid(), 9)\n",
}


@pytest.mark.parametrize("name", HARM)
def test_harm_is_stopped(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "endless loop":
        monkeypatch.setattr(replacement_policy, "CPU_SECONDS", 3)
    canary = tmp_path / "canary"
    canary.write_text("the secret")
    source = HARM[name].format(canary=str(canary))
    results = POLICY.grade(PROBLEM, Submission(Path("."), {"policy.py": source + GOOD}))
    assert sum(result.earned for result in results) == 0
    assert all("secret" not in result.feedback for result in results)
    assert canary.read_text() == "the secret" and os.access(canary, os.W_OK)


def marks(source: str) -> dict[str, float]:
    results = POLICY.grade(PROBLEM, Submission(Path("."), {"policy.py": source}))
    return {r.part.key: round(r.earned, 2) for r in results}


def test_the_solution_has_full_marks_and_fifo_none() -> None:
    assert marks(GOOD) == {"valid": 10, "zipf": 30, "python": 30, "mixed": 30}
    fifo = (
        "def on_hit(state, way):\n    pass\n"
        "def on_fill(state, way):\n    state[0] = way + 1\n"
        "def victim(state):\n"
        f"    way = state[0] % {PROBLEM['ways']}\n"
        f"    while way in {tuple(PROBLEM['wired'])}:\n"
        f"        way = (way + 1) % {PROBLEM['ways']}\n"
        "    return way\n"
    )
    assert marks(fifo) == {"valid": 10, "zipf": 0, "python": 0, "mixed": 0}


def test_wrong_policies_lose_what_they_should() -> None:
    # The most recently used way goes: worse than FIFO everywhere.
    newest = GOOD.replace("state[way] < state[oldest]", "state[way] > state[oldest]")
    assert marks(newest) == {"valid": 10, "zipf": 0, "python": 0, "mixed": 0}
    # A way that does not exist.
    outside = GOOD.replace("return oldest", "return WAYS")
    assert sum(marks(outside).values()) == 0
    # A way that is wired.
    wired = GOOD.replace("way not in WIRED and ", "")
    assert sum(marks(wired).values()) == 0
    # Hits forgotten: FIFO with another name.
    deaf = GOOD.replace("    state[WAYS] += 1\n    state[way] = state[WAYS]", "    pass", 1)
    assert marks(deaf) == {"valid": 10, "zipf": 0, "python": 0, "mixed": 0}
    # Results in place of choices: too few victims are no valid ones.
    forged = 'import os\nos.write(3, b\'{"error": "", "layers": []}\')\nos._exit(0)\n'
    assert sum(marks(forged).values()) == 0


def test_known_policies_against_plain_lists() -> None:
    rng = np.random.default_rng(3)
    pages = rng.zipf(1.3, 3000).astype(np.int64) % 97
    for policy in (replay.FIFO, replay.LRU, replay.OPT):
        assert replay.known(pages, 4, 3, policy) == plain(pages.tolist(), 4, 3, policy)
        for wired in ((0,), (1, 2), (0, 2)):
            expected = plain(pages.tolist(), 4, 3, policy, wired)
            assert replay.known(pages, 4, 3, policy, wired) == expected
    opt, lru = (replay.known(pages, 4, 3, policy) for policy in (replay.OPT, replay.LRU))
    assert opt < lru


def plain(pages: list[int], sets: int, ways: int, policy: int, wired: tuple[int, ...] = ()) -> int:
    held: list[list[int]] = [[] for _ in range(sets)]
    kept: list[list[int]] = [[] for _ in range(sets)]  # in ways that are wired
    misses = 0
    for at, page in enumerate(pages):
        mine, fixed = held[page % sets], kept[page % sets]
        if page in fixed:
            continue
        if page in mine:
            if policy == replay.LRU:
                mine.remove(page)
                mine.append(page)
            continue
        misses += 1
        if len(mine) + len(fixed) in wired:  # the way that is filled next
            fixed.append(page)
            continue
        if len(mine) == ways - len(wired):
            rest = pages[at + 1 :]
            far = [rest.index(p) if p in rest else len(pages) for p in mine]
            mine.pop(far.index(max(far)) if policy == replay.OPT else 0)
        mine.append(page)
    return misses
